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
    assert own.shown(given)["audio"]["input"]["transcription"] is None


def test_without_a_further_session_nothing_is_added() -> None:
    config = SessionConfig.default()
    own = OwnTranscription(on=False)
    assert own.first(config) is config
    off = {"type": "realtime", "audio": {"input": {"transcription": None}}}
    assert own.update(off) == off
