"""What a caller makes of the server's events."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from perhop.cli.talking.listener import Listener


class Shown:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self._line = ""

    def you(self, text: str) -> None:
        self.lines.append(f"you: {text}")

    def agent(self, delta: str) -> None:
        self._line += delta

    def agent_done(self) -> None:
        self.lines.append(f"agent: {self._line}")
        self._line = ""

    def tool(self, name: str, arguments: str) -> None:
        self.lines.append(f"tool: {name}({arguments})")

    def tool_result(self, output: str) -> None:
        self.lines.append(f"result: {output}")


def session(turn_detection: Any = None) -> dict[str, Any]:
    return {"type": "session.created", "session": {"audio": {"input": {"turn_detection": turn_detection}}}}


VAD = session({"type": "server_vad", "create_response": True})


def created(response: str = "r1") -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response}}


def done(response: str = "r1", *kinds: str, status: str = "completed", **more: Any) -> dict[str, Any]:
    output = [{"type": kind} for kind in kinds]
    return {"type": "response.done", "response": {"id": response, "status": status, "output": output, **more}}


def audio(ms: int, item: str = "i1") -> dict[str, Any]:
    return {"type": "response.output_audio.delta", "item_id": item, "delta": base64.b64encode(bytes(48 * ms)).decode()}


def words(text: str) -> list[dict[str, Any]]:
    return [
        {"type": "response.output_audio_transcript.delta", "item_id": "i1", "delta": text},
        {"type": "response.output_audio_transcript.done", "item_id": "i1"},
    ]


SPEECH = {"type": "input_audio_buffer.speech_started"}


def listen(*events: dict[str, Any], complete: bool = True) -> tuple[Listener, Shown]:
    shown = Shown()
    listener = Listener(shown)
    for event in events:
        listener.receive(event, 0.0)
    if complete:
        listener.complete()
    return listener, shown


def test_a_spoken_turn_is_answered_once_the_response_is_done() -> None:
    listener, shown = listen(VAD, SPEECH, created(), *words("Sure."))
    assert listener.busy
    assert not listener.answered
    listener.receive(done("r1", "message"), 1.0)
    assert listener.answered
    assert shown.lines == ["agent: Sure."]


def test_an_answer_before_the_end_of_the_recording_counts_only_when_it_is_complete() -> None:
    listener, _ = listen(VAD, SPEECH, created(), done("r1", "message"), complete=False)
    assert not listener.answered
    listener.complete()
    assert listener.answered


def test_more_speech_makes_an_earlier_answer_void() -> None:
    listener, _ = listen(VAD, SPEECH, created(), done("r1", "message"), SPEECH)
    assert not listener.answered


def test_a_greeting_is_no_answer() -> None:
    listener, _ = listen(VAD, created(), done("r1", "message"))
    assert not listener.answered


def test_a_tool_call_keeps_the_conversation_going_until_its_result_is_told() -> None:
    call = {"type": "response.function_call_arguments.done", "call_id": "c1", "name": "find", "arguments": '{"n":2}'}
    output = {"type": "function_call_output", "call_id": "c1", "output": "[3]"}
    listener, shown = listen(VAD, SPEECH, created(), call, done("r1", "function_call"))
    assert listener.busy
    listener.receive({"type": "conversation.item.added", "item": output}, 1.0)
    assert listener.busy
    for event in (created("r2"), *words("Three."), done("r2", "message")):
        listener.receive(event, 2.0)
    assert listener.answered
    assert shown.lines == ['tool: find({"n":2})', "result: [3]", "agent: Three."]


def test_what_the_caller_said_is_shown() -> None:
    heard = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "two bedrooms"}
    assert listen(VAD, heard)[1].lines == ["you: two bedrooms"]


def test_audio_is_kept_item_after_item() -> None:
    listener, _ = listen(VAD, audio(20, "a"), audio(30, "b"), audio(10, "a"))
    assert len(listener.audio) == 48 * 60
    assert listener.plays_until == pytest.approx(0.06)


def test_interrupting_stops_the_playback_and_says_what_was_heard() -> None:
    listener, _ = listen(VAD)
    listener.receive(audio(1000, "a"), 10.0)
    listener.receive(audio(1000, "b"), 10.1)
    cuts = listener.receive(SPEECH, 10.25)
    assert [(cut["item_id"], cut["audio_end_ms"]) for cut in cuts] == [("a", 250), ("b", 0)]
    assert len(listener.audio) == 48 * 250
    assert listener.plays_until == 10.25


def test_speech_after_the_playback_interrupts_nothing() -> None:
    listener, _ = listen(VAD)
    listener.receive(audio(1000), 10.0)
    assert listener.receive(SPEECH, 11.5) == []
    assert len(listener.audio) == 48_000


def test_without_turn_detection_the_client_must_ask() -> None:
    assert listen(session(None))[0].manual
    assert listen(session({"type": "server_vad", "create_response": False}))[0].manual
    assert not listen(VAD)[0].manual


def test_a_cancelled_response_answers_nothing() -> None:
    assert not listen(VAD, SPEECH, created(), done("r1", "message", status="cancelled"))[0].answered


def test_errors_are_remembered_in_words() -> None:
    error = {"type": "error", "error": {"message": "no such voice"}}
    assert listen(VAD, error)[0].problem == "no such voice"
    details = {"type": "failed", "error": {"code": "engine_overloaded", "message": "all engines are busy"}}
    assert listen(VAD, created(), done("r1", status="failed", status_details=details))[0].problem == (
        "all engines are busy"
    )


def test_unknown_events_are_nobodys_problem() -> None:
    listener, shown = listen(VAD, {"type": "rate_limits.updated"}, {"type": "something.new"}, {})
    assert listener.problem is None
    assert shown.lines == []
