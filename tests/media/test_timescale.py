"""Shortening speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.helpers import frames, rms, samples, tone, voice

from perhop.media.timescale import shorten


@given(st.integers(0, 3000), st.integers(0, 600))
def test_at_most_half_goes_and_never_more_than_asked(length: int, most: int) -> None:
    pcm = tone(333, 1.0)[: 2 * length]
    shorter = shorten(pcm, most)
    taken = (len(pcm) - len(shorter)) // 2
    assert 0 <= taken <= min(most, length // 2)


@pytest.mark.parametrize("hertz", [120, 180, 250, 390])
def test_a_tone_stays_that_tone(hertz: int) -> None:
    """What goes is a whole number of periods, so no step and no other pitch appears."""
    out = samples(shorten(tone(hertz, 0.02), 240))
    assert len(out) < 480
    steepest = 10_000 * 2 * np.pi * hertz / 24_000
    assert abs(np.diff(out)).max() < 1.3 * steepest


def test_speech_shortened_frame_by_frame_stays_as_loud() -> None:
    pieces = frames(voice())
    shorter = [shorten(piece, 240) for piece in pieces]
    loud = [(rms(before), rms(after)) for before, after in zip(pieces, shorter, strict=True) if rms(before) > 500]
    assert np.mean([after / before for before, after in loud]) == pytest.approx(1.0, abs=0.15)


def test_in_silence_all_that_may_go_does() -> None:
    assert len(shorten(bytes(960), 240)) == 480
    assert len(shorten(bytes(960), 7)) == 946


def test_a_few_samples_can_be_taken_too() -> None:
    pcm = tone(200, 0.02)
    assert len(shorten(pcm, 5)) == len(pcm) - 10
