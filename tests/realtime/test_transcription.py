"""Sessions that write down what they hear and never answer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.realtime.helpers import LOUD, QUIET, Session, error_of, pcm, types

from perhop.realtime.effects import CloseUtterance, OpenUtterance, Transcribe, Transcript, TranscriptDelta
from perhop.realtime.effects import TranscriptFailed as Failed
from perhop.realtime.server import RealtimeServer
from perhop.realtime.session import SessionConfig

TURN = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
ITEM = ["conversation.item.added", "conversation.item.done"]
DELTA, COMPLETED, FAILED = (
    f"conversation.item.input_audio_transcription.{kind}" for kind in ("delta", "completed", "failed")
)


def transcribing(audio_input: dict[str, Any] | None = None, **fields: Any) -> Session:
    """A transcription session; what opened it is forgotten."""
    config = SessionConfig.default(kind="transcription")
    config = config.merged({"type": "transcription", "audio": {"input": audio_input or {}}, **fields})
    session = Session()
    session.server = RealtimeServer(config=config, now=session.now)
    session.take(session.server.start(session.now))
    session.forget()
    return session


def turn(session: Session) -> str:
    """One spoken turn; returns its item."""
    session.hear(LOUD, 640)
    session.hear(QUIET, 256)
    item_id: str = session.last("input_audio_buffer.committed")["item_id"]
    return item_id


def test_it_opens_with_transcription_switched_on() -> None:
    session = Session()
    session.server = RealtimeServer(config=SessionConfig.default(kind="transcription"), now=0.0)
    [created] = session.take(session.server.start(0.0))
    shown = created["session"]
    assert (shown["type"], shown["object"]) == ("transcription", "realtime.transcription_session")
    assert shown["audio"]["input"]["transcription"] == {"model": "built-in"}
    assert shown["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert "instructions" not in shown


def test_a_spoken_turn_is_written_down_and_not_answered() -> None:
    session = transcribing()
    item_id = turn(session)
    session.give(Transcript(item_id, "hello there", seconds=0.9))
    assert types(session.frames) == [*TURN, *ITEM, DELTA, COMPLETED]
    assert session.frames[-2]["delta"] == session.frames[-1]["transcript"] == "hello there"
    assert session.frames[-1]["usage"] == {"type": "duration", "seconds": 0.9}
    assert session.frames[-1]["item_id"] == item_id
    assert [type(effect) for effect in session.effects] == [OpenUtterance, CloseUtterance]


def test_pieces_and_the_rest_are_the_whole() -> None:
    session = transcribing()
    item_id = turn(session)
    for piece in ("he", "llo ", ""):
        session.give(TranscriptDelta(item_id, piece))
    session.give(Transcript(item_id, "hello there"))
    assert [frame["delta"] for frame in session.frames if frame["type"] == DELTA] == ["he", "llo ", "there"]


@pytest.mark.parametrize("final", ["hello", "jello there"])
def test_a_recogniser_that_changes_its_mind_or_adds_nothing_sends_no_further_piece(final: str) -> None:
    session = transcribing()
    item_id = turn(session)
    session.give(TranscriptDelta(item_id, "hello"))
    session.give(Transcript(item_id, final))
    assert types(session.frames)[-2:] == [DELTA, COMPLETED]
    assert session.frames[-1]["transcript"] == final


def test_silence_has_a_transcript_without_words() -> None:
    session = transcribing()
    session.give(Transcript(turn(session), ""))
    assert types(session.frames)[len(TURN + ITEM) :] == [COMPLETED]


def test_words_that_could_not_be_recognised_are_a_failure_of_that_item_alone() -> None:
    session = transcribing()
    first, second = turn(session), turn(session)
    session.forget()
    session.give(Failed(first, "engine_overloaded", "Too much at once."))
    session.give(Transcript(second, "hello"))
    assert types(session.frames) == [FAILED, DELTA, COMPLETED]
    assert session.frames[0]["error"] == {
        "type": "transcription_error",
        "code": "engine_overloaded",
        "message": "Too much at once.",
    }


def test_transcripts_may_come_out_of_turn_and_the_commits_tell_the_order() -> None:
    session = transcribing()
    first, second = turn(session), turn(session)
    commits = [frame for frame in session.frames if frame["type"] == "input_audio_buffer.committed"]
    assert [(c["item_id"], c["previous_item_id"]) for c in commits] == [(first, None), (second, first)]
    session.forget()
    session.give(Transcript(second, "two"))
    session.give(Transcript(first, "one"))
    assert [(f["item_id"], f["transcript"]) for f in session.frames if f["type"] == COMPLETED] == [
        (second, "two"),
        (first, "one"),
    ]


def test_push_to_talk() -> None:
    session = transcribing({"turn_detection": None})
    session.append(pcm(500))
    [committed, *item] = session.send("input_audio_buffer.commit")
    assert [committed["type"], *types(item)] == ["input_audio_buffer.committed", *ITEM]
    assert session.effects == [Transcribe(committed["item_id"], pcm(500))]
    session.give(Transcript(committed["item_id"], "hello"))
    assert session.frames[-1]["transcript"] == "hello"


def test_it_can_be_switched_off() -> None:
    session = transcribing()
    session.send("session.update", session={"type": "transcription", "audio": {"input": {"transcription": None}}})
    session.forget()
    session.give(Transcript(turn(session), "hello"))
    assert types(session.frames) == [*TURN, *ITEM]


def test_an_update_changes_what_it_names() -> None:
    session = transcribing()
    hints = {"model": "any", "languages": ["en", "de"], "prompt": "Homes.", "keywords": ["loft"], "delay": "low"}
    include = ["item.input_audio_transcription.logprobs"]
    heard = {"transcription": hints, "noise_reduction": {"type": "far_field"}, "format": {"type": "audio/pcmu"}}
    [updated] = session.send(
        "session.update", session={"type": "transcription", "audio": {"input": heard}, "include": include}
    )
    shown = updated["session"]
    assert shown["include"] == include
    assert shown["audio"]["input"]["transcription"] == hints
    assert shown["audio"]["input"]["noise_reduction"] == {"type": "far_field"}
    assert shown["audio"]["input"]["format"] == {"type": "audio/pcmu"}


def test_logprobs_are_left_out_because_nobody_has_them() -> None:
    session = transcribing(include=["item.input_audio_transcription.logprobs"])
    session.give(Transcript(turn(session), "hello"))
    assert all("logprobs" not in frame for frame in session.frames)


def test_an_update_for_the_other_type_of_session_is_refused() -> None:
    for session, other in ((transcribing(), "realtime"), (Session(), "transcription")):
        before = session.server.config
        error = error_of(session.send("session.update", event_id="e1", session={"type": other}))
        assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "session.type", "e1")
        assert session.server.config == before


def test_it_has_no_responses() -> None:
    session = transcribing()
    error = error_of(session.send("response.create", event_id="e1"))
    assert (error["code"], error["event_id"]) == ("invalid_event", "e1")
    assert error_of(session.send("response.cancel"))["code"] == "response_cancel_not_active"
    session.wait(60)
    assert types(session.frames) == ["error", "error"], "and does not speak first"
