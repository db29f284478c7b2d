"""Streaming resamplers: quality, delay, and exact lengths."""

from __future__ import annotations

from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.media.helpers import rms, samples, tone

from perhop.media.resample import Resampler

PAIRS = [(8_000, 24_000), (24_000, 8_000), (16_000, 24_000), (24_000, 16_000), (48_000, 24_000), (24_000, 48_000)]


def convert(pcm: bytes, src: int, dst: int) -> bytes:
    """``pcm`` through a fresh resampler in 20 ms pieces."""
    resampler = Resampler(src, dst)
    piece = 2 * src // 50
    return b"".join(resampler.push(pcm[at : at + piece]) for at in range(0, len(pcm), piece))


def gain_db(hertz: float, src: int, dst: int) -> float:
    """How loud a tone comes out, once the filter has filled."""
    out = convert(tone(hertz, 0.5, rate=src), src, dst)
    return 20 * np.log10(max(rms(out[dst // 10 :]), 0.1) / (10_000 / np.sqrt(2)))


@pytest.mark.parametrize(("src", "dst"), PAIRS)
def test_a_tone_comes_out_as_it_would_have_been_at_the_other_rate(src: int, dst: int) -> None:
    delay = Resampler(src, dst).delay_ms / 1000
    out = samples(convert(tone(1_000, 0.5, rate=src), src, dst))
    ideal = 10_000 * np.sin(2 * np.pi * 1_000 * (np.arange(len(out)) / dst - delay))
    settled = slice(dst // 50, None)
    error = np.mean((out[settled] - ideal[settled]) ** 2)
    assert 10 * np.log10(np.mean(ideal[settled] ** 2) / error) > 65


@pytest.mark.parametrize(("src", "dst"), PAIRS)
def test_the_delay_is_two_milliseconds_at_most(src: int, dst: int) -> None:
    resampler = Resampler(src, dst)
    assert resampler.delay_ms <= 2.0
    click = bytearray(2 * src // 10)
    click[src // 10 : src // 10 + 2] = (30_000).to_bytes(2, "little")
    peak = int(np.argmax(abs(samples(resampler.push(bytes(click))))))
    assert peak / dst == pytest.approx(0.05 + resampler.delay_ms / 1000, abs=1 / min(src, dst))


@pytest.mark.parametrize(("src", "dst"), PAIRS)
def test_speech_passes_and_what_the_lower_rate_cannot_hold_does_not(src: int, dst: int) -> None:
    low = min(src, dst)
    for share in (0.05, 0.2, 0.4):
        assert abs(gain_db(share * low, src, dst)) < 0.1
    if src > dst:
        for share in (0.6, 0.75, 0.9):
            assert gain_db(share * low, src, dst) < -60


@pytest.mark.parametrize(("src", "dst"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_no_mirror_image_appears_above_the_old_band(src: int, dst: int) -> None:
    out = samples(convert(tone(0.35 * src, 1.0, rate=src), src, dst))[dst // 10 : dst // 10 + dst // 2]
    spectrum = abs(np.fft.rfft(out * np.hanning(len(out))))
    hertz = np.fft.rfftfreq(len(out), 1 / dst)
    assert 20 * np.log10(spectrum[hertz > 0.6 * src].max() / spectrum.max()) < -60


@settings(max_examples=40)
@given(st.sampled_from(PAIRS), st.lists(st.integers(0, 700), max_size=12))
def test_how_a_stream_is_cut_makes_no_difference(pair: tuple[int, int], cuts: list[int]) -> None:
    src, dst = pair
    pcm = tone(700, sum(cuts) / src, rate=src)
    whole = Resampler(src, dst).push(pcm)
    resampler = Resampler(src, dst)
    at = 0
    pieces = []
    for count in cuts:
        pieces.append(resampler.push(pcm[2 * at : 2 * (at + count)]))
        at += count
    assert b"".join(pieces) == whole
    block = src // gcd(src, dst)
    assert len(whole) // 2 == len(pcm) // 2 // block * dst // gcd(src, dst)


@pytest.mark.parametrize(("src", "dst"), PAIRS)
def test_twenty_milliseconds_in_are_twenty_milliseconds_out(src: int, dst: int) -> None:
    resampler = Resampler(src, dst)
    for _ in range(3):
        assert len(resampler.push(bytes(2 * src // 50))) == 2 * dst // 50


def test_full_scale_does_not_wrap() -> None:
    square = np.where(np.arange(800) // 40 % 2, 32_767, -32_768).astype("<i2").tobytes()
    out = samples(Resampler(8_000, 24_000).push(square))
    assert out.max() == 32_767
    assert out.min() == -32_768
    assert (abs(np.diff(out)) < 40_000).all()


def test_equal_rates_only_delay() -> None:
    pcm = tone(500, 0.1)
    resampler = Resampler(24_000, 24_000)
    shift = round(resampler.delay_ms * 24)
    out = samples(resampler.push(pcm))
    assert abs(out[shift + 100 :] - samples(pcm)[100 : len(out) - shift]).max() <= 1


def test_a_reset_resampler_has_forgotten_the_stream() -> None:
    resampler = Resampler(8_000, 24_000)
    resampler.push(tone(500, 0.1, rate=8_000))
    resampler.reset()
    assert resampler.push(bytes(320)) == bytes(960)


def test_half_a_sample_and_rates_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="buffer size"):
        Resampler(8_000, 24_000).push(b"odd")
    with pytest.raises(ValueError, match="0 Hz"):
        Resampler(0, 24_000)
