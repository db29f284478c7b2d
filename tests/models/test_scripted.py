"""The scripted model: strict as a real one, and the same on every run."""

from __future__ import annotations

import asyncio

import pytest
from tests.virtual_time import run_virtual

from perhop.call.legs import EndReason
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import (
    ScriptError,
    call,
    close,
    cut,
    emit,
    error,
    fail,
    in_turn,
    say,
    tone,
    wait,
    wait_for,
)
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    ServerEvent,
    SessionUpdate,
    UnknownServerEvent,
)
from perhop.realtime.session import SessionConfig


class Sink:
    """Remembers what a model tells its call."""

    def __init__(self) -> None:
        self.events: list[ServerEvent] = []
        self.audio = b""
        self.closed: tuple[EndReason, str, bool] | None = None

    def on_model_event(self, event: ServerEvent) -> None:
        self.events.append(event)

    def on_model_audio(self, chunk: AudioChunk) -> None:
        self.audio += chunk.audio

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None:
        assert self.closed is None, "told twice"
        self.closed = reason, detail, fatal

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def of(self, type_: str) -> list[ServerEvent]:
        return [event for event in self.events if event.type == type_]


def opened(*args, **options) -> tuple[ScriptedModel, Sink]:
    loop = asyncio.get_running_loop()
    model, sink = ScriptedModel(*args, clock=loop.time, wall=loop.time, **options), Sink()
    model.start(sink, SessionConfig.default())
    return model, sink


def test_each_response_gets_its_own_steps() -> None:
    async def scenario() -> None:
        model, sink = opened(in_turn([say("Hello.", ms=300), call("look", {"id": 7})], [say("Seven.", ms=100)]))
        model.send(ResponseCreate())
        await asyncio.sleep(1)
        assert len(sink.audio) == 300 * 48
        done = sink.of("response.function_call_arguments.done")[0]
        assert (done.name, done.arguments) == ("look", '{"id":7}')
        with pytest.raises(ScriptError, match="1 responses"):
            model.assert_finished()
        model.send(ResponseCreate())
        await asyncio.sleep(1)
        assert len(sink.audio) == 400 * 48
        model.assert_finished()

    run_virtual(scenario())


def test_a_response_that_is_not_in_the_script_fails() -> None:
    async def scenario() -> None:
        model, sink = opened(in_turn())
        model.send(ResponseCreate())
        await asyncio.sleep(0)
        response = sink.of("response.done")[0].response
        assert (response.status, response.status_details.error.code) == ("failed", "script_exhausted")

    run_virtual(scenario())


def test_it_is_as_strict_as_the_protocol() -> None:
    async def scenario() -> None:
        model, sink = opened(in_turn([wait(1)]))
        for event in (ResponseCreate(), ResponseCreate(), InputAudioBufferCommit(), ResponseCancel(response_id="no")):
            model.send(event)
        codes = [event.error.code for event in sink.of("error")]
        assert codes == [
            "conversation_already_has_active_response",
            "input_audio_buffer_commit_empty",
            "response_cancel_not_active",
        ]
        model.close()

    run_virtual(scenario())


@pytest.mark.parametrize("frame", [960, 481, 48_000])
def test_loud_audio_is_a_turn_and_is_recorded_to_the_sample(frame: int) -> None:
    async def scenario() -> None:
        model, sink = opened(in_turn(then=[say("Yes.", ms=100)]))
        spoken = bytes(1_000 * 48) + tone(800) + bytes(1_200 * 48)
        for start in range(0, len(spoken), frame):
            model.append(spoken[start : start + frame])
        await asyncio.sleep(1)
        started = sink.of("input_audio_buffer.speech_started")[0].audio_start_ms
        stopped = sink.of("input_audio_buffer.speech_stopped")[0].audio_end_ms
        assert 650 <= started <= 750
        assert 1_950 <= stopped <= 2_400
        assert list(model.record.committed.values()) == [spoken[started * 48 : stopped * 48]]
        assert "response.done" in sink.types()

    run_virtual(scenario())


def test_a_caller_who_talks_stops_it() -> None:
    async def scenario() -> None:
        model, sink = opened(in_turn([say("I go on and on.", ms=10_000, pace=1)], then=[say("Yes?", ms=100)]))
        model.send(ResponseCreate())
        await asyncio.sleep(1)
        model.append(tone(400) + bytes(1_000 * 48))
        await asyncio.sleep(1)
        assert sink.of("response.done")[0].response.status == "cancelled"
        assert model.record.cancelled == model.record.responses[:1]
        assert 900 * 48 <= len(sink.audio) <= 1_300 * 48
        assert [event.response.status for event in sink.of("response.done")] == ["cancelled", "completed"]

    run_virtual(scenario())


def test_every_way_a_model_can_break() -> None:
    async def scenario() -> None:
        script = in_turn(
            [say("One", ms=100), fail("overloaded")],
            [say("Two", ms=100), cut()],
            [error("odd"), emit("response.future", x=[1]), say("Three", ms=100)],
            [say("Four", ms=100), close(1012, "restarting")],
        )
        model, sink = opened(script)
        for _ in range(4):
            model.send(ResponseCreate())
            await asyncio.sleep(1)
        statuses = [event.response.status for event in sink.of("response.done")]
        assert statuses == ["failed", "incomplete", "completed"]
        assert sink.of("error")[0].error.code == "odd"
        future = sink.of("response.future")[0]
        assert isinstance(future, UnknownServerEvent)
        assert future.raw["x"] == [1]
        assert sink.closed == (EndReason.MODEL_CLOSED, "restarting", False)
        assert (model.record.ended, model.record.close_code) == ("restarting", 1012)

    run_virtual(scenario())


def test_it_waits_for_an_event_of_the_client() -> None:
    async def scenario() -> None:
        model, sink = opened(in_turn([wait_for("session.update"), say("Now.", ms=100)]))
        model.send(ResponseCreate())
        await asyncio.sleep(3)
        assert not sink.audio
        model.send(SessionUpdate(session={"type": "realtime"}))
        await asyncio.sleep(0.01)
        assert sink.audio

    run_virtual(scenario())


def test_a_client_that_does_not_do_as_the_script_says_gets_a_failed_response() -> None:
    async def scenario() -> None:
        model, sink = opened(in_turn([wait_for("session.update", seconds=2)]))
        model.send(ResponseCreate())
        await asyncio.sleep(3)
        assert sink.of("response.done")[0].response.status_details.error.code == "script_waited"
        model.assert_finished()

    run_virtual(scenario())


def test_a_session_that_reaches_its_cap_says_so_and_ends() -> None:
    async def scenario() -> None:
        began = asyncio.get_running_loop().time()
        model, sink = opened(in_turn([say("Long", ms=60_000, pace=1)]), session_cap_s=5)
        assert sink.events[0].session["expires_at"] == int(began + 5)
        model.send(ResponseCreate())
        await asyncio.sleep(4.9)
        assert sink.closed is None
        await asyncio.sleep(0.2)
        assert sink.events[-1].error.code == "session_expired"
        assert sink.closed == (EndReason.MODEL_CLOSED, "session_expired", False)
        heard = len(sink.audio)
        await asyncio.sleep(5)
        assert len(sink.audio) == heard
        assert (model.record.ended, model.record.close_code) == ("session_expired", 1001)

    run_virtual(scenario())
