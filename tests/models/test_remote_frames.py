"""What comes from a model's socket, whole, in pieces, in any order of keys, or broken."""

from __future__ import annotations

import random
import re
from typing import Any

import orjson
import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.remote import Listening, connected
from tests.models.upstream import Upstream

from perhop.call.legs import EndReason
from perhop.models.remote import RemoteModel
from perhop.models.remote_endpoint import Endpoint
from perhop.models.remote_loss import FATAL_CODES, Loss
from perhop.models.remote_session import RemoteSession
from perhop.models.steps import in_turn
from perhop.realtime.events import ServerEvent, UnknownServerEvent
from perhop.realtime.session import SessionConfig

PCM = bytes(range(256)) * 4
DELTA: dict[str, Any] = {
    "type": "response.output_audio.delta",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "output_index": 1,
    "content_index": 2,
    "delta": pybase64.b64encode_as_string(PCM),
    "obfuscation": "x" * 40,
}


def told(frame: bytes) -> Listening:
    """What a live leg makes of one frame."""

    class Live(RemoteModel):
        def __init__(self) -> None:
            super().__init__(Endpoint("ws://model.test/v1"))
            self._sink, self._live = sink, True
            self._session = RemoteSession(SessionConfig.default(), transcription_model="m", new_id=str)

    sink = Recording()
    Live().on_message(frame)
    return sink


class Recording(Listening):
    """Needs no event loop."""

    def __init__(self) -> None:
        self.events, self.chunks, self.closed = [], [], None
        self._changed = type("Nobody", (), {"set": staticmethod(lambda: None)})


@given(order=st.permutations(list(DELTA)), indent=st.booleans(), head=st.integers(0, 400))
def test_audio_is_audio_however_it_is_written(order: list[str], indent: bool, head: int) -> None:
    event = {"padding": "y" * head} | {name: DELTA[name] for name in order}
    sink = told(orjson.dumps(event, option=orjson.OPT_INDENT_2 if indent else None))
    assert not sink.events
    chunk = sink.chunks[0]
    assert (chunk.response_id, chunk.item_id, chunk.output_index, chunk.content_index) == ("resp_1", "item_1", 1, 2)
    assert chunk.audio == PCM


@pytest.mark.parametrize("wrong", [{"delta": "***"}, {"delta": 7}, {"delta": None}, {"output_index": "x"}])
def test_audio_that_is_none_reaches_nobody(wrong: dict[str, Any]) -> None:
    sink = told(orjson.dumps(DELTA | wrong))
    assert not sink.chunks


def test_words_about_audio_are_words() -> None:
    text = '"response.output_audio.delta"'
    event = {"type": "response.output_text.delta", "event_id": "e", "response_id": "r", "item_id": "i"}
    sink = told(orjson.dumps({**event, "output_index": 0, "content_index": 0, "delta": text}))
    assert sink.events[0].delta == text
    sink = told(orjson.dumps({"type": "future", "about": "response.output_audio.delta"}))
    assert isinstance(sink.events[0], UnknownServerEvent)


@given(st.binary(max_size=300))
def test_no_frame_of_a_model_breaks_the_leg(frame: bytes) -> None:
    told(frame)


VALUES = st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=9)


@given(st.dictionaries(st.text(max_size=20), VALUES))
def test_every_object_with_a_type_is_passed_on_whole(fields: dict[str, Any]) -> None:
    event = {**fields, "type": "response.of_the_future"}
    try:
        frame = orjson.dumps(event)
    except (TypeError, orjson.JSONEncodeError):
        return  # numbers and letters that JSON does not have
    sink = told(frame)
    assert orjson.loads(sink.events[0].to_json()) == orjson.loads(frame)


async def test_messages_in_pieces_and_binary_ones_are_put_together() -> None:
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url) as (_, sink):
        frame = orjson.dumps({"type": "future", "event_id": "e", "n": list(range(100))})
        upstream.last.say_raw(frame[:1], b"", frame[1:50], frame[50:])
        upstream.last.say_raw(frame, binary=True)
        upstream.last.say_raw(b"[not an", b" event]")
        upstream.last.say_raw(*[orjson.dumps(DELTA)[at : at + 100] for at in range(0, 2_000, 100)])
        await sink.until(lambda: bool(sink.chunks))
        assert [event.raw["n"][-1] for event in sink.of("future")] == [99, 99]
        assert sink.audio == PCM


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_message_that_is_too_large_ends_the_session(pieces: int) -> None:
    async with (
        Upstream.scripted(in_turn()) as upstream,
        connected(upstream.url, max_message_bytes=65_536) as (_, sink),
    ):
        upstream.last.say_raw(*[b" " * (150_000 // pieces)] * pieces)
        reason, _, fatal = await sink.ended()
        assert (reason, fatal) == (EndReason.MODEL_FAILED, False)


async def test_no_log_holds_the_key_or_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    async with (
        Upstream.scripted(in_turn()) as upstream,
        connected(upstream.url, {"instructions": "canary"}) as (_, sink),
    ):
        upstream.last.say_raw(b"canary is no JSON")
        upstream.kill()
        await sink.ended()
    async with (
        Upstream.scripted(in_turn(), key="sk-other") as upstream,
        connected(upstream.url, {"instructions": "canary"}, ready=False) as (_, sink),
    ):
        await sink.ended()
    ours = [record for record in caplog.records if not record.name.startswith("picows.server")]
    assert len(ours) < len(caplog.records), "the test server's log would have it"
    assert not [record for record in ours if "sk-upstream" in record.getMessage() or "canary" in record.getMessage()]


async def test_a_fault_behind_the_leg_ends_the_session_and_is_logged_without_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url) as (_, sink):
        heard = sink.on_model_event

        def break_down(event: ServerEvent) -> None:
            heard(event)
            if event.type == "future":
                raise ValueError("canary")

        sink.on_model_event = break_down
        upstream.last.say({"type": "future"})
        upstream.last.say({"type": "later"})
        assert await sink.ended() == (EndReason.MODEL_FAILED, "internal error", False)
        assert not sink.of("later")
        await upstream.until(lambda: not upstream.live())
    assert "canary" not in caplog.text


# -- why it ended -------------------------------------------------------------------------------------------------


@given(code=st.integers(1000, 4999) | st.none(), reason=st.text(max_size=123), error=st.none() | st.text(max_size=40))
def test_every_close_is_one_loss_that_repeats_no_sentence(code: int | None, reason: str, error: str | None) -> None:
    loss = Loss.of_close(code, reason, error=error)
    assert loss.reason in (EndReason.MODEL_CLOSED, EndReason.MODEL_FAILED)
    assert re.fullmatch(r"(close \d{4}|connection lost( after)?)( [\w.:-]+)?", loss.detail, re.ASCII)


@pytest.mark.parametrize("code", sorted(FATAL_CODES))
def test_a_fatal_error_is_fatal_with_every_close(code: str) -> None:
    for close in (None, 1000, 1001, 1011, random.Random(7).randint(3000, 4999)):
        assert Loss.of_close(close, "", error=code).fatal
