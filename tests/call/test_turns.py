"""When turns begin and end, by the events that clients see."""

from __future__ import annotations

from perhop.call.turns import Turn, TurnWatch
from perhop.realtime.events import (
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)
from perhop.realtime.events.response import Response
from perhop.realtime.items import FunctionCallItem

SPEECH = InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="i")
SILENCE = InputAudioBufferSpeechStopped(audio_end_ms=0, item_id="i")
COMMITTED = InputAudioBufferCommitted(item_id="i")


def created(response: str = "r") -> ResponseCreated:
    return ResponseCreated(response=Response(id=response, status="in_progress"))


def done(response: str = "r", status: str = "completed", *, calls: int = 0) -> ResponseDone:
    output = [FunctionCallItem(name="find", arguments="{}") for _ in range(calls)]
    return ResponseDone(response=Response.model_validate({"id": response, "status": status, "output": output}))


def started(response: str = "r") -> OutputAudioBufferStarted:
    return OutputAudioBufferStarted(response_id=response)


def stopped(response: str = "r") -> OutputAudioBufferStopped:
    return OutputAudioBufferStopped(response_id=response)


def cleared(response: str = "r") -> OutputAudioBufferCleared:
    return OutputAudioBufferCleared(response_id=response)


def watch(*events: ServerEvent, clocked: bool = True) -> tuple[TurnWatch, list[Turn]]:
    """Shows it one event a second, from second 1 on."""
    watching = TurnWatch(clocked=clocked)
    turns = []
    for at, event in enumerate(events, 1):
        if isinstance(event, OutputAudioBufferStarted):
            watching.audio(float(at))
        turns.append(watching.observe(event, float(at)))
    return watching, [turn for turn in turns if turn is not None]


def test_a_spoken_turn_ends_when_its_answer_was_played() -> None:
    _, turns = watch(SPEECH, SILENCE, COMMITTED, created(), started(), done(), stopped())
    assert turns == [
        Turn(1, True, 1.0, heard_at=2.0, audible_at=5.0, ended_at=7.0, responses=1, outcome="completed"),
    ]
    assert turns[0].first_audio_s == 3.0


def test_without_playout_of_ours_it_ends_with_the_response() -> None:
    watching, _ = watch(SPEECH, SILENCE, COMMITTED, created(), clocked=False)
    assert watching.wants_audio
    watching.audio(5.0)
    assert not watching.wants_audio
    turn = watching.observe(done(), 6.0)
    assert turn is not None
    assert (turn.first_audio_s, turn.ended_at, turn.outcome) == (3.0, 6.0, "completed")


def test_an_answer_that_follows_tools_belongs_to_the_same_turn() -> None:
    _, turns = watch(
        SPEECH, SILENCE, created("a"), done("a", calls=2), created("b"), started("b"), done("b"), stopped("b")
    )
    assert [(turn.responses, turn.function_calls, turn.outcome) for turn in turns] == [(2, 2, "completed")]


def test_speaking_into_an_answer_interrupts_that_turn_and_begins_the_next() -> None:
    watching, turns = watch(
        SPEECH, SILENCE, created("a"), started("a"), SPEECH, cleared("a"), done("a", "cancelled"), SILENCE
    )
    assert [(turn.number, turn.outcome, turn.ended_at) for turn in turns] == [(1, "interrupted", 5.0)]
    last = watching.end(9.0)
    assert last is not None
    assert (last.number, last.began_at, last.heard_at, last.outcome) == (2, 5.0, 8.0, "unanswered")


def test_a_pause_within_what_is_said_is_no_end_of_a_turn() -> None:
    watching, turns = watch(SPEECH, SILENCE, SPEECH, SILENCE)
    assert turns == []
    assert watching.count == 1
    last = watching.end(5.0)
    assert last is not None
    assert last.heard_at == 4.0


def test_audio_that_comes_faster_than_it_is_played_does_not_end_the_turn_early() -> None:
    watching, _ = watch(SPEECH, SILENCE, created())
    watching.audio(3.5)
    turns = [watching.observe(event, at) for at, event in enumerate((done(), started(), stopped()), 4)]
    assert turns[:2] == [None, None]
    assert turns[2] is not None
    assert (turns[2].audible_at, turns[2].ended_at) == (5, 6)


def test_a_response_nobody_spoke_for_is_a_turn_too() -> None:
    _, turns = watch(created(), done("r", "failed"))
    assert [(turn.spoken, turn.heard_at, turn.outcome) for turn in turns] == [(False, None, "failed")]


def test_events_of_other_responses_change_nothing() -> None:
    watching, turns = watch(SPEECH, SILENCE, created("a"), done("b"), stopped("b"), started("c"))
    assert turns == []
    assert watching.end(7.0) is not None
    assert watching.end(8.0) is None
