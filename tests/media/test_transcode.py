"""Audio between the formats of the wire and ours: nothing lost, nothing added, nothing delayed that need not be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perhop.media.transcode import PCM, FromWire, ToWire, clip_from_wire, clip_to_wire, wire_bytes_per_ms
from perhop.realtime.session_fields import AudioFormatType

G711: tuple[AudioFormatType, ...] = ("audio/pcmu", "audio/pcma")
RATE = 24_000

pytestmark = pytest.mark.parametrize("kind", G711)


def tone(samples: int, hz: float = 440.0) -> bytes:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)).astype("<i2").tobytes()


def cut(audio: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(audio) + 1) for place in places), len(audio)]
    return [audio[a:b] for a, b in pairwise(edges)]


def signal_to_noise(clean: bytes, noisy: bytes) -> float:
    a, b = (np.frombuffer(x, "<i2").astype(float)[200:-200] for x in (clean, noisy))
    return float(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()))


def test_a_clip_there_and_back_is_the_clip_in_place_and_length(kind: AudioFormatType) -> None:
    pcm = tone(3 * RATE)
    wire = clip_to_wire(kind, pcm)
    back = clip_from_wire(kind, wire)
    assert (len(wire), len(back)) == (3 * 8000, len(pcm))
    assert signal_to_noise(pcm, back) > 35


@given(samples=st.integers(0, 400))
@example(samples=0)
@example(samples=2)
@example(samples=41)
@example(samples=43)
def test_three_samples_are_a_byte_and_never_more(kind: AudioFormatType, samples: int) -> None:
    assert len(clip_to_wire(kind, tone(samples))) == samples // 3


@settings(max_examples=50)
@given(samples=st.integers(0, 3_000), places=st.lists(st.integers(0, 10_000), max_size=6))
@example(samples=100, places=[1, 2, 3])
def test_however_an_item_is_cut_it_sounds_the_same(kind: AudioFormatType, samples: int, places: list[int]) -> None:
    pcm = tone(samples)
    stream = ToWire(kind)
    pieces = [stream.push(piece) for piece in cut(pcm, places)]
    assert b"".join([*pieces, stream.flush()]) == clip_to_wire(kind, pcm)


@settings(max_examples=50)
@given(audio=st.binary(max_size=2_000), places=st.lists(st.integers(0, 10_000), max_size=6))
def test_a_callers_stream_has_its_full_length_at_every_moment(
    kind: AudioFormatType, audio: bytes, places: list[int]
) -> None:
    whole, stream = FromWire(kind), FromWire(kind)
    pieces = [stream.push(piece) for piece in cut(audio, places)]
    assert [len(piece) for piece in pieces] == [6 * len(piece) for piece in cut(audio, places)]
    assert b"".join(pieces) == whole.push(audio)


def test_what_is_held_back_of_an_item_is_less_than_two_milliseconds(kind: AudioFormatType) -> None:
    stream = ToWire(kind)
    sent = sum(len(stream.push(tone(480))) for _ in range(50))
    assert 50 * 160 - sent == 14
    assert len(stream.flush()) == 14


def test_the_next_item_begins_afresh(kind: AudioFormatType) -> None:
    stream = ToWire(kind)
    stream.push(tone(1001, hz=3000))
    stream.flush()
    assert stream.push(tone(960)) + stream.flush() == clip_to_wire(kind, tone(960))
    assert stream.flush() == b""


def test_a_caller_who_begins_anew_hears_nothing_of_before(kind: AudioFormatType) -> None:
    stream = FromWire(kind)
    wire = clip_to_wire(kind, tone(2400))
    stream.push(wire[::-1])
    stream.reset()
    assert stream.push(wire) == FromWire(kind).push(wire)


def test_pcm_passes_in_whole_samples(kind: AudioFormatType) -> None:
    for stream in (FromWire(PCM), ToWire(PCM)):
        assert [stream.push(piece) for piece in (b"\1\2\3", b"\4", b"", b"\5\6")] == [b"\1\2", b"\3\4", b"", b"\5\6"]
    assert clip_from_wire(PCM, b"\1\2") == clip_to_wire(PCM, b"\1\2") == b"\1\2"
    assert FromWire(PCM).growth == 1
    assert wire_bytes_per_ms(PCM) == FromWire(kind).growth * wire_bytes_per_ms(kind) == 48


def test_half_a_sample_does_not_outlive_its_stream(kind: AudioFormatType) -> None:
    stream = FromWire(PCM)
    stream.push(b"\1\2\3")
    stream.reset()
    assert stream.push(b"\4\5") == b"\4\5"
    out = ToWire(kind)
    out.push(tone(300) + b"\1")
    out.flush()
    assert out.push(tone(300)) + out.flush() == clip_to_wire(kind, tone(300))
