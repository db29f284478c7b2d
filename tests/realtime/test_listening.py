"""The caller's audio: buffering, turns, the recogniser's stream, and what happens when the session changes."""

from __future__ import annotations

from typing import Any

import pybase64
import pytest
from tests.realtime.helpers import LOUD, MANUAL, PCM_MS, QUIET, WINDOW_MS, Session, error_of, pcm, types

from perhop.realtime.effects import (
    CloseUtterance,
    DropUtterance,
    OpenUtterance,
    Transcribe,
    Transcript,
    TranscriptDelta,
    TurnHint,
    VoiceActivity,
)
from perhop.realtime.server import ServerLimits


def vad(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": {"turn_detection": {"type": "server_vad", **fields}}}}


SEMANTIC = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}


def heard(session: Session) -> list[Any]:
    kinds = OpenUtterance | CloseUtterance | DropUtterance | Transcribe
    return [effect for effect in session.effects if isinstance(effect, kinds)]


def numbered(windows: int, first: int = 0) -> list[bytes]:
    """Windows of audio that can be told apart."""
    return [bytes([first + index]) * (WINDOW_MS * PCM_MS) for index in range(windows)]


def feed(session: Session, windows: list[bytes], probability: float) -> None:
    for window in windows:
        session.heard_ms += WINDOW_MS
        session.append(window)
        session.give(VoiceActivity(probability, session.heard_ms))


def retrieved_audio(session: Session, item_id: str) -> bytes:
    [frame] = session.send("conversation.item.retrieve", item_id=item_id)
    return pybase64.b64decode(frame["item"]["content"][0].get("audio", ""))


# -- what becomes an item ---------------------------------------------------------------------------------------------


def test_the_item_holds_exactly_the_announced_audio() -> None:
    session = Session(vad(prefix_padding_ms=64, silence_duration_ms=64))
    quiet, loud, after = numbered(20), numbered(10, first=100), numbered(4, first=200)
    feed(session, quiet, QUIET)
    feed(session, loud, LOUD)
    feed(session, after, QUIET)
    started, stopped = session.frames[0], session.frames[1]
    assert (started["audio_start_ms"], stopped["audio_end_ms"]) == (18 * WINDOW_MS, 32 * WINDOW_MS)
    assert retrieved_audio(session, "item_1") == b"".join(quiet[-2:] + loud + after[:2])


def test_the_recogniser_gets_the_speech_from_its_padding_on_and_then_everything_else() -> None:
    session = Session(vad(prefix_padding_ms=64))
    quiet, loud = numbered(20), numbered(2, first=100)
    feed(session, quiet, QUIET)
    feed(session, loud, LOUD)
    assert heard(session) == [OpenUtterance("item_1", b"".join(quiet[-2:] + loud))]


def test_turns_follow_one_another() -> None:
    session = Session(vad(create_response=False))
    first, second = session.say("one"), session.say("two")
    assert [item.text() for item in session.server.items] == ["one", "two"]
    assert session.last("input_audio_buffer.committed")["previous_item_id"] == first
    assert [type(effect) for effect in heard(session)] == [OpenUtterance, CloseUtterance] * 2
    assert second != first


def test_while_nobody_speaks_only_the_padding_is_kept() -> None:
    session = Session(limits=ServerLimits(max_buffer_ms=1_000))
    session.hear(QUIET, 60_000)
    assert session.frames == []
    session.hear(LOUD, 64)
    assert types(session.frames) == ["input_audio_buffer.speech_started"]
    [opened] = heard(session)
    assert len(opened.audio) == (300 + 64) * PCM_MS


def test_a_whole_file_at_once_is_cut_into_its_turns() -> None:
    session = Session(vad(create_response=False, prefix_padding_ms=0, silence_duration_ms=64))
    windows = numbered(50)
    session.append(b"".join(windows))
    for index in range(50):
        speech = 10 <= index < 15 or 30 <= index < 35
        session.give(VoiceActivity(LOUD if speech else QUIET, (index + 1) * WINDOW_MS))
    assert heard(session) == [
        Transcribe("item_1", b"".join(windows[10:17])),
        Transcribe("item_2", b"".join(windows[30:37])),
    ]


def test_a_stream_that_ran_ahead_of_the_turn_is_replaced_by_its_exact_audio() -> None:
    session = Session(vad(create_response=False, prefix_padding_ms=0, silence_duration_ms=64))
    windows = numbered(60)
    feed(session, windows[:10], LOUD)
    session.append(b"".join(windows[10:]))
    for index in range(10, 12):
        session.give(VoiceActivity(QUIET, (index + 1) * WINDOW_MS))
    opened, dropped, whole = heard(session)
    assert isinstance(opened, OpenUtterance)
    assert dropped == DropUtterance("item_1")
    assert whole == Transcribe("item_1", b"".join(windows[:12]))


# -- words decide -----------------------------------------------------------------------------------------------------


def test_a_finished_thought_ends_the_turn_early() -> None:
    session = Session(SEMANTIC)
    session.hear(LOUD, 640)
    session.give(TurnHint("item_1", "complete"))
    assert types(session.hear(QUIET, 192)) == []
    assert types(session.hear(QUIET, 32))[:2] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]


def test_a_hint_that_comes_during_the_silence_ends_the_turn_at_once() -> None:
    session = Session(SEMANTIC)
    session.hear(LOUD, 640)
    session.hear(QUIET, 320)
    frames = session.give(TurnHint("item_1", "complete"))
    assert types(frames)[-1] == "response.created"
    assert frames[0]["audio_end_ms"] == session.heard_ms


def test_half_a_sentence_is_waited_for() -> None:
    session = Session(SEMANTIC)
    session.hear(LOUD, 640)
    session.give(TurnHint("item_1", "incomplete"))
    assert session.hear(QUIET, 1_568)[1:] == []
    assert types(session.hear(QUIET, 32))[0] == "input_audio_buffer.speech_stopped"


def test_a_hint_about_another_utterance_is_ignored() -> None:
    session = Session(SEMANTIC)
    session.hear(LOUD, 640)
    session.hear(QUIET, 320)
    assert session.give(TurnHint("item_9", "complete")) == []


# -- clear and commit -------------------------------------------------------------------------------------------------


def test_clearing_throws_the_open_utterance_away() -> None:
    session = Session()
    session.hear(LOUD, 320)
    session.forget()
    assert types(session.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert heard(session) == [DropUtterance("item_1")]
    assert session.give(Transcript("item_1", "late")) == []
    assert types(session.hear(QUIET, 640)) == []


def test_a_client_can_end_the_turn_itself() -> None:
    session = Session()
    session.hear(LOUD, 640)
    session.forget()
    frames = session.send("input_audio_buffer.commit")
    assert types(frames) == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert frames[0]["item_id"] == "item_1"
    assert heard(session) == [CloseUtterance("item_1")]
    assert types(session.hear(LOUD, 64)) == ["input_audio_buffer.speech_started"]


def test_windows_still_under_way_when_the_client_commits_do_not_count_twice() -> None:
    session = Session(vad(create_response=False))
    session.append(pcm(320))
    session.send("input_audio_buffer.commit")
    for index in range(11):  # the last of them is new, but one loud window is no speech
        assert session.give(VoiceActivity(LOUD, (index + 1) * WINDOW_MS)) == []


# -- limits -----------------------------------------------------------------------------------------------------------


def test_six_minutes_fit_into_the_buffer_by_default() -> None:
    session = Session(MANUAL)
    minute = bytes(60_000 * PCM_MS)
    for _ in range(6):
        assert session.append(minute) == []
    [committed, *_] = session.send("input_audio_buffer.commit")
    assert committed["type"] == "input_audio_buffer.committed"


def test_a_full_buffer_is_one_error_and_the_client_can_go_on() -> None:
    session = Session(MANUAL, limits=ServerLimits(max_buffer_ms=1_000))
    session.append(pcm(1_000))
    error = error_of(session.append(pcm(20)))
    assert error["code"] == "input_audio_buffer_full"
    assert session.append(pcm(20)) == []
    session.send("input_audio_buffer.commit")
    [whole] = heard(session)
    assert len(whole.audio) == 1_000 * PCM_MS
    session.append(pcm(200))
    assert types(session.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


def test_audio_appended_as_an_event_is_the_same_audio() -> None:
    session = Session(MANUAL)
    session.send("input_audio_buffer.append", audio=pybase64.b64encode_as_string(pcm(200)))
    session.send("input_audio_buffer.commit")
    assert heard(session) == [Transcribe("item_1", pcm(200))]
    error = error_of(session.send("input_audio_buffer.append", event_id="e1", audio="???"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "audio", "e1")


def test_an_append_that_is_too_large_is_refused() -> None:
    session = Session(MANUAL)
    assert error_of(session.append(bytes(15 * 1024 * 1024 + 1)))["code"] == "invalid_value"
    assert error_of(session.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"


def test_old_audio_is_forgotten_when_there_is_too_much_of_it() -> None:
    session = Session(MANUAL, limits=ServerLimits(max_item_audio=800 * PCM_MS))
    for _ in range(3):
        session.append(pcm(400))
        session.send("input_audio_buffer.commit")
    assert [len(retrieved_audio(session, f"item_{n}")) // PCM_MS for n in (1, 2, 3)] == [0, 400, 400]


# -- the session changes ----------------------------------------------------------------------------------------------


def test_switching_to_manual_turns_keeps_the_audio_for_the_client_to_commit() -> None:
    session = Session()
    session.hear(LOUD, 320)
    session.forget()
    session.send("session.update", session={"type": "realtime", **MANUAL})
    assert heard(session) == [DropUtterance("item_1")]
    session.append(pcm(100))
    session.send("input_audio_buffer.commit")
    assert isinstance(heard(session)[-1], Transcribe)
    assert len(heard(session)[-1].audio) == 420 * PCM_MS


def test_new_settings_apply_to_the_turn_that_is_open() -> None:
    session = Session()
    session.hear(LOUD, 320)
    session.send("session.update", session={"type": "realtime", **vad(silence_duration_ms=1_000)})
    assert session.hear(QUIET, 992) == []
    assert types(session.hear(QUIET, 32))[0] == "input_audio_buffer.speech_stopped"


@pytest.mark.parametrize("format_", ["audio/pcmu", "audio/pcma"])
def test_telephone_audio_is_eight_bytes_a_millisecond(format_: str) -> None:
    session = Session({"audio": {"input": {"format": {"type": format_}, "turn_detection": None}}})
    session.append(bytes(8 * 99))
    assert error_of(session.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    session.append(bytes(8))
    assert types(session.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


def test_a_host_that_converts_audio_at_its_edge_deals_in_pcm_only() -> None:
    session = Session({"audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}}}, transcoded=True)
    session.append(pcm(99))
    assert error_of(session.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    session.append(pcm(1))
    assert types(session.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


def test_another_format_drops_audio_of_the_old_one_and_time_goes_on() -> None:
    session = Session()
    session.hear(LOUD, 320)
    session.forget()
    session.send("session.update", session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    assert heard(session) == [DropUtterance("item_1")]
    for _ in range(4):
        session.heard_ms += WINDOW_MS
        session.append(bytes(8 * WINDOW_MS))
        session.give(VoiceActivity(LOUD, session.heard_ms))
    assert session.last("input_audio_buffer.speech_started")["audio_start_ms"] == 320


# -- waiting for words ------------------------------------------------------------------------------------------------


def test_words_that_never_come_are_not_waited_for_forever() -> None:
    session = Session(
        {"audio": {"input": {"transcription": {"model": "any"}}}}, limits=ServerLimits(transcript_wait_s=15.0)
    )
    session.hear(LOUD, 320)
    session.hear(QUIET, 256)
    session.forget()
    assert session.wait(14.9) == []
    frames = session.wait(0.2)
    assert types(frames) == ["conversation.item.input_audio_transcription.failed"]
    assert frames[0]["error"]["code"] == "transcription_timeout"
    assert len(session.started) == 1
    assert session.give(Transcript("item_1", "too late")) == []
    assert session.server.next_deadline() is None


HEARD_WHILE_SPEAKING = {
    "audio": {"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "any"}}}
}


def test_words_that_are_certain_are_shown_while_the_caller_still_speaks() -> None:
    session = Session(HEARD_WHILE_SPEAKING)
    session.hear(LOUD, 640)
    [frame] = session.give(TranscriptDelta("item_1", "a two "))
    assert (frame["type"].split(".")[-1], frame["item_id"], frame["delta"]) == ("delta", "item_1", "a two ")
    session.hear(QUIET, 3_000)
    frames = session.give(Transcript("item_1", "a two bedroom"))
    assert [frame["delta"] for frame in frames if frame["type"].endswith("delta")] == ["bedroom"]


def test_words_of_speech_that_was_thrown_away_are_not_shown() -> None:
    session = Session(HEARD_WHILE_SPEAKING)
    session.hear(LOUD, 640)
    session.send("input_audio_buffer.clear")
    assert session.give(TranscriptDelta("item_1", "a two ")) == []
