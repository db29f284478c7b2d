"""Audio of a WebSocket session in the formats that are in force."""

from __future__ import annotations

import pytest

from perhop.edges.session_audio import SessionAudio
from perhop.media.transcode import clip_to_wire
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDone,
    SessionCreated,
    SessionUpdated,
)

PCM = bytes(range(240)) * 40


def session(heard: str, said: str) -> dict[str, object]:
    return {"audio": {"input": {"format": {"type": heard}}, "output": {"format": {"type": said}}}}


def created(response_id: str, format_: str | None) -> ResponseCreated:
    sound = ResponseAudio(output=ResponseAudioOutput(format={"type": format_})) if format_ else None
    return ResponseCreated(event_id="e", response=Response(id=response_id, audio=sound))


def chunk(pcm: bytes, *, item: str = "item_1", response: str = "resp_1") -> AudioChunk:
    return AudioChunk(response, item, 0, 0, pcm)


def audio_done(item: str = "item_1", response: str = "resp_1") -> ResponseOutputAudioDone:
    return ResponseOutputAudioDone(event_id="e", response_id=response, item_id=item, output_index=0, content_index=0)


def said(audio: SessionAudio, *pieces: AudioChunk) -> bytes:
    """All that the client gets of one item."""
    sent = [audio.say(piece).audio for piece in pieces]
    last = audio.observe(audio_done(pieces[0].item_id, pieces[0].response_id))
    return b"".join([*sent, last.audio if last else b""])


def test_until_a_session_says_otherwise_audio_is_pcm() -> None:
    audio = SessionAudio()
    piece = chunk(PCM)
    assert audio.say(piece) is piece
    assert list(audio.hear(PCM)) == [PCM]
    assert audio.growth == 1


@pytest.mark.parametrize("event", [SessionCreated, SessionUpdated])
def test_the_effective_session_decides(event: type[SessionCreated | SessionUpdated]) -> None:
    audio = SessionAudio()
    audio.observe(event(event_id="e", session=session("audio/pcmu", "audio/pcma")))
    assert audio.growth == 6
    assert [len(pcm) for pcm in audio.hear(bytes(160))] == [960]
    assert said(audio, chunk(PCM[:4800]), chunk(PCM[4800:])) == clip_to_wire("audio/pcma", PCM)


def test_a_whole_file_is_converted_in_pieces() -> None:
    audio = SessionAudio()
    audio.observe(SessionCreated(event_id="e", session=session("audio/pcmu", "audio/pcm")))
    pieces = [len(pcm) for pcm in audio.hear(bytes(20_500))]
    assert pieces == [48_000, 48_000, 27_000]


def test_a_response_keeps_the_format_it_was_created_with() -> None:
    audio = SessionAudio()
    audio.observe(created("resp_1", "audio/pcmu"))
    first = audio.say(chunk(PCM[:4800])).audio
    audio.observe(SessionUpdated(event_id="e", session=session("audio/pcm", "audio/pcm")))
    assert first + said(audio, chunk(PCM[4800:])) == clip_to_wire("audio/pcmu", PCM)
    audio.observe(ResponseDone(event_id="e", response=Response(id="resp_1")))
    assert audio.bytes_per_ms("resp_1") == 48


def test_a_response_that_names_no_format_has_the_sessions() -> None:
    audio = SessionAudio()
    audio.observe(SessionCreated(event_id="e", session=session("audio/pcm", "audio/pcmu")))
    audio.observe(created("resp_1", None))
    assert audio.bytes_per_ms("resp_1") == 8


def test_responses_in_parallel_do_not_mix() -> None:
    audio = SessionAudio()
    audio.observe(created("resp_1", "audio/pcmu"))
    audio.observe(created("resp_2", "audio/pcma"))
    one, two = [], []
    for start in range(0, len(PCM), 960):
        one.append(audio.say(chunk(PCM[start : start + 960])).audio)
        two.append(audio.say(chunk(PCM[start : start + 960], item="item_2", response="resp_2")).audio)
    for sent, item, response in ((one, "item_1", "resp_1"), (two, "item_2", "resp_2")):
        last = audio.observe(audio_done(item, response))
        assert last is not None
        sent.append(last.audio)
    assert b"".join(one) == clip_to_wire("audio/pcmu", PCM)
    assert b"".join(two) == clip_to_wire("audio/pcma", PCM)


@pytest.mark.parametrize(
    "odd", [{}, {"audio": None}, {"audio": {"input": 5, "output": {"format": "pcm16"}}}, session("audio/opus", "")]
)
def test_a_session_without_known_formats_changes_nothing(odd: dict[str, object]) -> None:
    audio = SessionAudio()
    audio.observe(SessionCreated(event_id="e", session=session("audio/pcmu", "audio/pcmu")))
    audio.observe(SessionUpdated(event_id="e", session=odd))
    assert audio.growth == 6
    assert audio.bytes_per_ms("resp_x") == 8
