"""A remote model leg against a strict server on a real socket."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest
from tests.models.remote import connected
from tests.models.upstream import Upstream

from perhop.call.legs import EndReason
from perhop.models.azure import AzureModel
from perhop.models.steps import call, close, emit, error, in_turn, say, tone, wait
from perhop.realtime.events import (
    ConversationItemCreate,
    InputAudioBufferCommit,
    ResponseCreate,
    SessionUpdate,
    UnknownClientEvent,
    UnknownServerEvent,
)
from perhop.realtime.items import ContentPart, FunctionCallOutputItem, MessageItem

FRAME = 960


def spoken(ms: int = 500, silence_ms: int = 600) -> list[bytes]:
    audio = tone(ms) + bytes(silence_ms * 48)
    return [audio[at : at + FRAME] for at in range(0, len(audio), FRAME)]


def user(text: str) -> ConversationItemCreate:
    part = ContentPart(type="input_text", text=text)
    return ConversationItemCreate(item=MessageItem(type="message", role="user", content=[part]))


async def test_the_call_sees_one_session_created_with_what_is_in_force() -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        async with connected(upstream.url, {"instructions": "Be brief."}) as (_, sink):
            assert sink.types() == ["session.created"]
            session = sink.events[0].session
            assert session["instructions"] == "Be brief."
            assert session["id"].startswith("sess_")
        assert upstream.last.sent == ["session.created", "session.updated"]
        assert upstream.last.types() == ["session.update"]
        assert upstream.last.path == "/v1/realtime?model=gpt-realtime"


async def test_what_nobody_decided_is_left_to_the_model() -> None:
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url):
        pcm = {"format": {"type": "audio/pcm", "rate": 24000}}
        assert upstream.last.events[0]["session"] == {"type": "realtime", "audio": {"input": pcm, "output": pcm}}


async def test_a_spoken_turn_goes_up_and_comes_down_to_the_byte() -> None:
    answer = bytes(range(256)) * 500
    async with Upstream.scripted(in_turn([say("Fine.", audio=answer)])) as upstream:
        async with connected(upstream.url) as (leg, sink):
            frames = spoken()
            for frame in frames:
                leg.append(frame)
            done = await sink.heard("response.done")
            assert done.response.status == "completed"
            assert sink.audio == answer
            assert {chunk.response_id for chunk in sink.chunks} == {done.response.id}
            assert {chunk.item_id for chunk in sink.chunks} == {done.response.output[0].id}
        assert upstream.last.appends == [FRAME] * len(frames)
        assert b"".join(upstream.last.committed.values()) in b"".join(frames)


async def test_nothing_said_before_the_session_stands_is_lost_or_reordered() -> None:
    async with Upstream.scripted(in_turn([say("Hello.")])) as upstream:
        async with connected(upstream.url, {"audio": {"input": {"turn_detection": None}}}, ready=False) as (leg, sink):
            leg.append(bytes(FRAME * 10))
            leg.send(InputAudioBufferCommit())
            leg.send(user("hi"))
            leg.send(ResponseCreate())
            await sink.heard("response.done")
        assert upstream.last.types() == [
            "session.update",
            "input_audio_buffer.commit",
            "conversation.item.create",
            "response.create",
        ]
        assert not sink.of("error")


async def test_audio_is_sent_before_the_event_that_follows_it_however_it_is_batched() -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        manual = {"audio": {"input": {"turn_detection": None}}}
        async with connected(upstream.url, manual, batch_ms=500) as (leg, sink):
            for _ in range(7):
                leg.append(bytes(FRAME))
            leg.send(InputAudioBufferCommit())
            await sink.heard("input_audio_buffer.committed")
            assert upstream.last.appends == [7 * FRAME]
            leg.append(bytes(FRAME))
        await upstream.until(lambda: not upstream.live())
        assert upstream.last.appends == [7 * FRAME, FRAME], "what was left is sent before the session is closed"


async def test_a_batch_that_does_not_fill_up_is_sent_after_its_time() -> None:
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url, batch_ms=60) as (leg, _):
        leg.append(bytes(FRAME))
        await upstream.until(lambda: bool(upstream.last.appends))
        assert upstream.last.appends == [FRAME]


async def test_a_whole_file_goes_in_messages_of_a_second() -> None:
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url) as (leg, sink):
        leg.append(bytes(48_000 * 5 + 2))
        leg.send(InputAudioBufferCommit())
        await sink.heard("input_audio_buffer.committed")
        assert upstream.last.appends == [48_000] * 5 + [2]


async def test_a_function_call_makes_the_round_trip() -> None:
    script = in_turn([call("look_up", {"id": 7})], [say("It is seven.")])
    async with Upstream.scripted(script) as upstream, connected(upstream.url) as (leg, sink):
        leg.send(user("what is it?"))
        leg.send(ResponseCreate())
        done = await sink.heard("response.function_call_arguments.done")
        assert (done.name, done.arguments) == ("look_up", '{"id":7}')
        leg.send(ConversationItemCreate(item=FunctionCallOutputItem(call_id=done.call_id, output="7")))
        leg.send(ResponseCreate())
        assert (await sink.heard("response.done", 2)).response.status == "completed"


async def test_unknown_events_pass_both_ways_untouched_and_in_order() -> None:
    script = in_turn([emit("response.future", deep={"a": [1, None]}), say("So."), emit("rate.future", x="ü\u2028")])
    async with Upstream.scripted(script) as upstream, connected(upstream.url) as (leg, sink):
        leg.send(UnknownClientEvent.of({"type": "future.command", "event_id": "e1", "n": {"x": 1}}))
        leg.send(ResponseCreate())
        await sink.heard("response.done")
        assert upstream.last.events[1] == {"type": "future.command", "event_id": "e1", "n": {"x": 1}}
        refused = sink.of("error")[0]
        assert refused.error.event_id == "e1"
        future, last = sink.of("response.future")[0], sink.of("rate.future")[0]
        assert isinstance(future, UnknownServerEvent)
        assert future.raw["deep"] == {"a": [1, None]}
        assert last.raw["x"] == "ü\u2028"
        order = [
            t for t in sink.types() if t in ("response.created", "response.future", "rate.future", "response.done")
        ]
        assert order == ["response.created", "response.future", "rate.future", "response.done"]


async def test_twenty_errors_later_the_conversation_goes_on() -> None:
    script = in_turn([*[error(f"odd_{n}") for n in range(20)], say("Still here.")])
    async with Upstream.scripted(script) as upstream, connected(upstream.url) as (leg, sink):
        leg.send(ResponseCreate())
        assert (await sink.heard("response.done")).response.status == "completed"
        assert [event.error.code for event in sink.of("error")] == [f"odd_{n}" for n in range(20)]
        assert sink.closed is None


# -- what only we understand stays here ---------------------------------------------------------------------------


async def test_a_model_sees_plain_schemas_and_a_transcriber_that_exists() -> None:
    parameters = {
        "type": "object",
        "properties": {"x-ray": {"type": "string", "x-prompt": "Which one?"}},
        "x-title": "Pictures",
    }
    tool = {"type": "function", "name": "look", "description": "d", "parameters": parameters}
    session = {"tools": [tool], "audio": {"input": {"transcription": {"model": "built-in", "language": "en"}}}}
    async with Upstream.scripted(in_turn(then=[])) as upstream:
        async with connected(upstream.url, session, transcription_model="whisper-1") as (leg, sink):
            leg.send(SessionUpdate(session={"type": "realtime", "tools": [tool]}))
            leg.send(ResponseCreate.model_validate({"response": {"tools": [tool]}}))
            await sink.heard("response.done")
            opening, update, create = upstream.last.events
        plain = {"type": "object", "properties": {"x-ray": {"type": "string"}}}
        for sent in (opening["session"], update["session"], create["response"]):
            assert sent["tools"][0]["parameters"] == plain
        assert opening["session"]["audio"]["input"]["transcription"] == {"model": "whisper-1", "language": "en"}


async def test_a_second_perhop_can_be_told_what_its_built_in_model_reads() -> None:
    parameters = {"type": "object", "properties": {}, "x-effect": "none"}
    tool = {"type": "function", "name": "ring", "description": "d", "parameters": parameters}
    async with Upstream.scripted(in_turn(then=[])) as upstream:
        async with connected(upstream.url, {"tools": [tool]}, extensions=True) as (leg, sink):
            leg.send(SessionUpdate(session={"type": "realtime", "tools": [tool]}))
            leg.send(ResponseCreate.model_validate({"response": {"tools": [tool]}}))
            await sink.heard("response.done")
            opening, update, create = upstream.last.events
        for sent in (opening["session"], update["session"], create["response"]):
            assert sent["tools"][0]["parameters"] == parameters


async def test_the_model_gets_pcm_and_the_caller_sees_the_format_it_chose() -> None:
    ulaw = {"type": "audio/pcmu"}
    pcm = {"type": "audio/pcm", "rate": 24_000}
    session = {"audio": {"input": {"format": ulaw}, "output": {"format": ulaw}}}
    async with Upstream.scripted(in_turn([say("Yes.")])) as upstream, connected(upstream.url, session) as (leg, sink):
        assert upstream.last.events[0]["session"]["audio"]["input"]["format"] == pcm
        shown = sink.events[0].session["audio"]
        assert (shown["input"]["format"], shown["output"]["format"]) == (ulaw, ulaw)
        bad = {"type": "realtime", "audio": {"input": {"format": pcm}, "output": {"speed": 99}}}
        leg.send(SessionUpdate(event_id="bad", session=bad))
        leg.send(ResponseCreate())
        await sink.heard("response.done")
        assert sink.of("response.created")[0].response.audio.output.format == ulaw
        leg.send(SessionUpdate(session={"type": "realtime", "audio": {"output": {"format": pcm}}}))
        audio = (await sink.heard("session.updated")).session["audio"]
        assert (audio["input"]["format"], audio["output"]["format"]) == (ulaw, pcm), "a refused update changes nothing"


# -- addresses and secrets ----------------------------------------------------------------------------------------


async def test_key_and_headers_go_with_the_upgrade() -> None:
    headers = {"OpenAI-Organization": "org-1"}
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url, headers=headers):
        assert upstream.last.headers["authorization"] == "Bearer sk-upstream"
        assert upstream.last.headers["openai-organization"] == "org-1"
        assert "sec-websocket-extensions" not in upstream.last.headers


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"deployment": "my gpt"}, "/openai/v1/realtime?model=my%20gpt"),
        (
            {"deployment": "gpt", "api_version": "2024-10-01-preview"},
            "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt",
        ),
    ],
)
async def test_azure_has_other_addresses_and_another_header(fields: dict[str, str], path: str) -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        base = upstream.url.removesuffix("/v1")
        async with connected(base, make=AzureModel, kind="azure", **fields) as (_, sink):
            assert sink.types() == ["session.created"]
        assert upstream.last.path == path
        assert upstream.last.headers["api-key"] == "sk-upstream"
        assert "authorization" not in upstream.last.headers


async def test_a_live_call_is_controlled_without_touching_its_configuration() -> None:
    async with Upstream.scripted(in_turn([say("Hello.")])) as upstream:
        async with connected(upstream.url, {"instructions": "x"}, options={"call_id": "rtc_1"}) as (leg, sink):
            leg.send(ResponseCreate())
            await sink.heard("response.done")
        assert upstream.last.path == "/v1/realtime?call_id=rtc_1"
        assert upstream.last.types() == ["response.create"]


# -- how it ends --------------------------------------------------------------------------------------------------


async def test_nothing_is_reported_after_close() -> None:
    async with Upstream.scripted(in_turn([say("I go on and on.", ms=60_000, pace=10)])) as upstream:
        async with connected(upstream.url) as (leg, sink):
            leg.send(ResponseCreate())
            await sink.until(lambda: bool(sink.chunks))
            leg.close()
            heard = len(sink.events), len(sink.chunks)
            leg.send(ResponseCreate())
            leg.append(bytes(FRAME))
            await upstream.until(lambda: not upstream.live())
            assert (len(sink.events), len(sink.chunks)) == heard
            assert sink.closed is None
        assert upstream.last.types() == ["session.update", "response.create"]


async def test_closing_a_leg_that_is_still_connecting_leaves_nothing_behind() -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        upstream.mute = True
        async with connected(upstream.url, ready=False) as (leg, sink):
            await upstream.until(lambda: bool(upstream.sessions))
            leg.close()
            upstream.last.resume()
            await upstream.until(lambda: not upstream.live())
        async with connected(upstream.url, ready=False) as (leg, sink):
            leg.close()
            await asyncio.sleep(0)
        await upstream.until(lambda: not upstream.live())
        assert not sink.events


async def test_a_broken_socket_may_be_tried_again() -> None:
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url) as (_, sink):
        upstream.kill()
        assert await sink.ended() == (EndReason.MODEL_FAILED, "connection lost", False)


async def test_a_session_at_its_cap_may_be_followed_by_another() -> None:
    async with Upstream.scripted(in_turn(), session_cap_s=0.2) as upstream, connected(upstream.url) as (_, sink):
        assert await sink.ended() == (EndReason.MODEL_CLOSED, "close 1001 session_expired", False)
        assert sink.events[-1].error.code == "session_expired"


@pytest.mark.parametrize(
    ("code", "reason", "fatal"),
    [
        (1000, "", False),
        (1001, "", False),
        (1011, "server_error", False),
        (1012, "restarting", False),
        (1013, "try_later", False),
        (1008, "policy", True),
        (1002, "", True),
        (4000, "invalid_request_error.beta_api_shape_disabled", True),
    ],
)
async def test_a_close_says_whether_trying_again_can_help(code: int, reason: str, fatal: bool) -> None:
    script = in_turn([say("Bye", ms=100), close(code, reason)])
    async with Upstream.scripted(script) as upstream, connected(upstream.url) as (leg, sink):
        leg.send(ResponseCreate())
        _, detail, found = await sink.ended()
        assert (detail, found) == (f"close {code} {reason}".rstrip(), fatal)


async def test_an_error_that_explains_the_close_decides() -> None:
    script = in_turn([error("credit_balance_exhausted"), wait(0), close(1011, "")])
    async with Upstream.scripted(script) as upstream, connected(upstream.url) as (leg, sink):
        leg.send(ResponseCreate())
        assert await sink.ended() == (EndReason.MODEL_FAILED, "close 1011 credit_balance_exhausted", True)


@pytest.mark.parametrize(
    ("status", "detail", "fatal"),
    [
        (400, "http 400 invalid_request", True),
        (401, "http 401 invalid_api_key", True),
        (403, "http 403 forbidden", True),
        (404, "http 404 model_not_found", True),
        (429, "http 429 rate_limit_exceeded", False),
        (500, "http 500 server_error", False),
        (503, "http 503 overloaded", False),
    ],
)
async def test_a_refused_upgrade_says_whether_trying_again_can_help(status: int, detail: str, fatal: bool) -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        upstream.refuse.append(status)
        async with connected(upstream.url, ready=False) as (_, sink):
            assert await sink.ended() == (EndReason.MODEL_FAILED, detail, fatal)


@pytest.mark.parametrize(
    ("headers", "asked_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        (
            {"Date": "Mon, 23 Nov 2026 00:00:00 GMT", "Retry-After": "Mon, 23 Nov 2026 00:00:20 GMT"},
            20.0,
        ),
        ({"Date": "Mon, 23 Nov 2026 00:00:00 GMT", "Retry-After": "Sun, 22 Nov 2026 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "Mon, 23 Nov 2026 00:00:20 GMT"}, None),
        ({"Retry-After": "in a while"}, None),
        ({}, None),
    ],
)
async def test_a_refusal_may_say_when_to_come_again(headers: dict[str, str], asked_s: float | None) -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        upstream.refuse.append(429)
        upstream.refusal = headers
        async with connected(upstream.url, ready=False) as (_, sink):
            await sink.ended()
            assert sink.retry_after_s == asked_s


async def test_a_server_that_is_not_there_may_come_back() -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        url = upstream.url
    async with connected(url, ready=False) as (_, sink):
        reason, detail, fatal = await sink.ended()
        assert (reason, fatal) == (EndReason.MODEL_FAILED, False)
        assert detail.startswith("unreachable")


async def test_a_model_that_says_nothing_is_given_up_in_time() -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        upstream.mute = True
        async with connected(upstream.url, ready=False, connect_timeout_s=0.2) as (_, sink):
            assert await sink.ended() == (EndReason.MODEL_FAILED, "timeout", False)


async def test_a_session_the_model_refuses_never_begins() -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        mcp = {"type": "mcp", "server_label": "x", "server_url": "https://example.com/mcp"}
        upstream.mute = True
        async with connected(upstream.url, {"tools": [mcp]}, ready=False) as (leg, sink):
            leg.send(user("a secret"))
            async with asyncio.timeout(5):
                while leg._socket is None:  # noqa: ASYNC110 - the model must not have been able to answer yet
                    await asyncio.sleep(0)
            leg.send(user("another secret"))
            upstream.last.resume()
            reason, detail, fatal = await sink.ended()
            assert (reason, fatal) == (EndReason.MODEL_FAILED, True)
            assert detail.startswith("session refused: ")
            assert not sink.of("session.created")
        await upstream.until(lambda: not upstream.live())
        assert upstream.last.types() == ["session.update"], "nothing is told to a model without its instructions"


async def test_a_model_that_does_not_read_is_lost_at_a_limit() -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        limits = {"send_queue_bytes": 1 << 20, "stall_s": 30, "ping_s": 60}
        async with connected(upstream.url, **limits) as (leg, sink):
            upstream.last.stall()
            for _ in range(2_000):
                leg.append(bytes(48_000))
                if sink.closed is not None:
                    break
            assert sink.closed == (EndReason.MODEL_FAILED, "model does not read", False)


async def test_a_model_that_reads_nothing_for_some_time_is_lost() -> None:
    async with (
        Upstream.scripted(in_turn()) as upstream,
        connected(upstream.url, stall_s=0.2, ping_s=60) as (leg, sink),
    ):
        upstream.last.stall()
        for _ in range(200):
            leg.append(bytes(48_000))
        assert sink.closed is None
        assert await sink.ended() == (EndReason.MODEL_FAILED, "model does not read", False)


async def test_a_silent_network_is_noticed_by_pings() -> None:
    async with Upstream.scripted(in_turn()) as upstream, connected(upstream.url, ping_s=0.1) as (_, sink):
        upstream.last.stall()
        assert await sink.ended() == (EndReason.MODEL_FAILED, "connection lost", False)


def held() -> tuple[int, int]:
    """File descriptors and tasks of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())


async def test_a_hundred_sessions_leave_nothing_behind() -> None:
    legs: list[weakref.ref[object]] = []
    async with Upstream.scripted(in_turn(then=[say("Yes.", ms=40)])) as upstream:

        async def talk(how: int) -> None:
            async with connected(upstream.url, ready=how != 2) as (leg, sink):
                legs.append(weakref.ref(leg))
                if how == 0:
                    leg.send(ResponseCreate())
                    await sink.heard("response.done")
                elif how == 1:
                    upstream.last.kill()
                    await sink.ended()

        await talk(0)
        await upstream.until(lambda: not upstream.live())
        gc.collect()
        before = held()
        for number in range(100):
            await talk(number % 3)
        await upstream.until(lambda: not upstream.live())
        await asyncio.sleep(0)
        assert held() == before
        upstream.sessions.clear()
        gc.collect()
        assert not [leg for leg in legs if leg() is not None]
