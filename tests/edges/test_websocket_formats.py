"""A WebSocket caller on the telephone's formats: the call only ever sees 24 kHz PCM."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from tests.edges.test_websocket import Line, append, on_a_line, settle

from perhop.call.legs import Position
from perhop.edges.socket import FORMAT_WAIT_S, WebSocketLimits
from perhop.media.transcode import FromWire, clip_to_wire
from perhop.realtime.audio import AudioChunk
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import ResponseOutputAudioDone, SessionCreated, SessionUpdated

PCM = bytes(range(250)) * 192


def session(heard: str = "audio/pcm", said: str = "audio/pcm") -> dict[str, Any]:
    audio = {"input": {"format": {"type": heard}}, "output": {"format": {"type": said}}}
    return {"type": "realtime", "audio": audio}


def update(heard: str) -> dict[str, Any]:
    return {"type": "session.update", "session": session(heard)}


def telephone(line: Line, kind: str = "audio/pcmu") -> None:
    line.leg.send(SessionCreated(event_id="e", session=session(kind, kind)))


def heard(audio: bytes) -> bytes:
    return FromWire("audio/pcmu").push(audio)


def test_the_caller_is_heard_as_pcm() -> None:
    async def test(line: Line) -> None:
        telephone(line)
        line.wire.say(append(PCM[:160]), append(PCM[160:320]))
        await settle()

    line = on_a_line(test)
    assert b"".join(line.sink.audio) == heard(PCM[:320])


def test_a_commit_begins_a_new_recording() -> None:
    async def test(line: Line) -> None:
        telephone(line)
        for event in ("input_audio_buffer.commit", "input_audio_buffer.clear"):
            line.wire.say(append(PCM[:160]), {"type": event})
        line.wire.say(append(PCM[:160]))
        await settle()

    assert on_a_line(test).sink.audio == [heard(PCM[:160])] * 3


def clip(seconds: int, event_id: str) -> dict[str, Any]:
    part = {"type": "input_audio", "audio": append(bytes(8000 * seconds))["audio"]}
    item = {"type": "message", "role": "user", "content": [part]}
    return {"type": "conversation.item.create", "event_id": event_id, "item": item}


def test_clips_that_have_to_be_converted_run_so_far_ahead_of_real_time() -> None:
    async def test(line: Line) -> None:
        line.wire.say(*(clip(6, "pcm") for _ in range(10)))
        await settle()
        telephone(line)
        line.wire.say(clip(6, "a"), clip(5, "b"), clip(3, "c"), append(bytes(8000)))
        await asyncio.sleep(6)
        line.wire.say(clip(5, "d"), {"type": "response.create"})
        await settle()

    line = on_a_line(test, WebSocketLimits(audio_backlog_s=10))
    assert [event.event_id for event in line.sink.events if event.event_id != "pcm"] == ["a", "c", "d", None]
    assert [(error["code"], error["event_id"]) for error in line.wire.errors()] == [
        ("input_audio_backlog_exceeded", "b")
    ]
    assert sum(map(len, line.sink.audio)) == 48_000, "what is said now is counted apart"


def test_the_client_hears_its_format_to_the_last_sample() -> None:
    async def test(line: Line) -> None:
        telephone(line)
        for start in range(0, len(PCM), 960):
            line.leg.play(AudioChunk("resp_1", "item_1", 0, 0, PCM[start : start + 960]))
        done = ResponseOutputAudioDone(
            event_id="e", response_id="resp_1", item_id="item_1", output_index=0, content_index=0
        )
        line.leg.send(done)
        await asyncio.sleep(0.4)
        assert line.leg.position("item_1") == Position(1000, 400)
        await settle()

    line = on_a_line(test)
    kinds = [event["type"] for event in line.wire.sent]
    assert kinds[-1] == "response.output_audio.done", "the last audio comes before it"
    deltas = [base64.b64decode(e["delta"]) for e in line.wire.sent if e["type"] == "response.output_audio.delta"]
    assert all(deltas)
    assert b"".join(deltas) == clip_to_wire("audio/pcmu", PCM)


def test_a_piece_too_short_to_be_heard_yet_is_not_sent() -> None:
    async def test(line: Line) -> None:
        telephone(line)
        line.leg.play(AudioChunk("resp_1", "item_1", 0, 0, PCM[:60]))
        await settle()

    assert [event["type"] for event in on_a_line(test).wire.sent] == ["session.created"]


def test_audio_that_was_not_written_is_taken_back_in_its_own_measure() -> None:
    async def test(line: Line) -> None:
        telephone(line)
        line.wire.reads.clear()
        await settle()
        for _ in range(10):
            line.leg.play(AudioChunk("resp_1", "item_1", 0, 0, PCM[:960]))
        assert line.leg.position("item_1").sent_ms == 198  # 1.75 ms are still in the filter
        line.leg.clear()
        assert line.leg.position("item_1").sent_ms <= 20
        line.wire.reads.set()

    on_a_line(test)


@pytest.mark.parametrize("answer", ["updated", "refused"])
def test_audio_after_a_change_of_format_waits_for_the_answer_to_it(answer: str) -> None:
    async def test(line: Line) -> None:
        line.wire.say(update("audio/pcmu"), append(PCM[:160]))
        await settle()
        assert line.sink.audio == []
        if answer == "updated":
            line.leg.send(SessionUpdated(event_id="e", session=session("audio/pcmu")))
        else:
            line.leg.send(ProtocolError("invalid_value", "No.").to_event("e"))
        await settle()

    line = on_a_line(test)
    assert line.sink.order == ["session.update", "audio"]
    assert line.sink.audio == [heard(PCM[:160]) if answer == "updated" else PCM[:160]]


def test_an_answer_that_never_comes_is_not_waited_for_for_ever() -> None:
    async def test(line: Line) -> None:
        line.wire.say(update("audio/pcmu"), append(PCM[:160]))
        await asyncio.sleep(FORMAT_WAIT_S + 0.1)
        assert line.sink.audio == [PCM[:160]]

    on_a_line(test)


def test_other_updates_are_not_waited_for() -> None:
    async def test(line: Line) -> None:
        line.wire.say({"type": "session.update", "session": {"type": "realtime", "instructions": "x"}})
        line.wire.say(append(PCM[:160]))
        await settle()
        assert len(line.sink.audio) == 1

    on_a_line(test)


def test_the_backlog_is_counted_in_time_not_bytes() -> None:
    async def test(line: Line) -> None:
        telephone(line)
        line.wire.say(*[append(bytes(60 * 8_000))] * 4)
        await settle()

    line = on_a_line(test, WebSocketLimits(audio_backlog_s=180))
    assert sum(map(len, line.sink.audio)) == 3 * 60 * 48_000
    assert [error["code"] for error in line.wire.errors()] == ["input_audio_backlog_exceeded"]


def test_the_rest_of_a_file_goes_nowhere_once_the_call_has_ended() -> None:
    async def test(line: Line) -> None:
        telephone(line)
        line.sink.on_caller_audio = lambda pcm: (line.sink.audio.append(pcm), line.leg._socket.close(1000, "over"))  # type: ignore[assignment,func-returns-value,method-assign]
        line.wire.say(append(bytes(60 * 8_000)))
        await settle()
        assert len(line.sink.audio) == 1

    on_a_line(test)
