"""Perhop has callers transcribed for itself, by whatever transcribes at the model that the call is with."""

from __future__ import annotations

import pytest

from perhop.call.own_transcription import OwnTranscription
from perhop.models.remote_session import RemoteSession
from perhop.realtime.session import SessionConfig


@pytest.mark.parametrize("theirs", ["gpt-4o-mini-transcribe", "whisper-1"])
def test_every_model_of_a_call_transcribes_with_its_own(theirs: str) -> None:
    config = OwnTranscription(on=True).first(SessionConfig.default())
    opening = RemoteSession(config, transcription_model=theirs, new_id=str).opening()
    assert opening.session["audio"]["input"]["transcription"]["model"] == theirs


def test_what_a_client_asked_for_is_kept_and_shown() -> None:
    asked = SessionConfig.default().merged(
        {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1", "language": "de"}}}}
    )
    own = OwnTranscription(on=True)
    assert own.first(asked) is asked
    assert own.shown(asked.to_wire("s"))["audio"]["input"]["transcription"]["model"] == "whisper-1"


def test_a_client_who_turns_it_off_does_not_turn_off_ours() -> None:
    own = OwnTranscription(on=True)
    given = own.update({"type": "realtime", "audio": {"input": {"transcription": None}}})
    assert given["audio"]["input"]["transcription"] is not None
    own.accepted()
    assert own.shown(given)["audio"]["input"]["transcription"] is None


def test_without_a_further_session_nothing_is_added() -> None:
    config = SessionConfig.default()
    own = OwnTranscription(on=False)
    assert own.first(config) is config
    off = {"type": "realtime", "audio": {"input": {"transcription": None}}}
    assert own.update(off) == off


def test_whose_it_is_changes_when_the_model_accepts_an_update_and_not_before() -> None:
    own = OwnTranscription(on=True)
    config = own.first(SessionConfig.default(model="m", kind="realtime"))
    session = config.to_wire("s")
    theirs = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    own.update({"type": "realtime", "instructions": "Be brief."}, event_id="e1")
    own.update(theirs, event_id="e2")
    own.update(theirs, event_id="e3")
    own.accepted()
    assert own.shown(session)["audio"]["input"]["transcription"] is None, "that was the first one"
    own.refused("e2")
    assert own.shown(session)["audio"]["input"]["transcription"] is None, "refused, so nothing has changed"
    own.accepted()
    assert own.shown(theirs)["audio"]["input"]["transcription"] == {"model": "whisper-1"}


def test_a_session_that_nobody_asked_for_accepts_nothing() -> None:
    own = OwnTranscription(on=True)
    config = own.first(SessionConfig.default(model="m", kind="realtime"))
    own.update({"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}, event_id="e1")
    own.unasked()
    own.accepted()
    assert own.shown(config.to_wire("s"))["audio"]["input"]["transcription"] is None
    own.accepted()
    assert own.shown(config.to_wire("s"))["audio"]["input"]["transcription"] is not None
