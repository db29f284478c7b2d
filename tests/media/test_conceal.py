"""Concealment for codecs that have none."""

from __future__ import annotations

import numpy as np
import pytest
from tests.media.helpers import FRAME, frames, rms, samples, snr, tone

from perhop.media.conceal import PitchConcealer


def after_hearing(pcm: bytes) -> PitchConcealer:
    concealer = PitchConcealer()
    for frame in frames(pcm):
        assert concealer.good(frame) == frame
    return concealer


@pytest.mark.parametrize("hertz", [100, 150, 240])
def test_a_steady_voice_goes_on_for_ten_milliseconds(hertz: int) -> None:
    said = tone(hertz, 0.2)
    rest = tone(hertz, 0.25)[len(said) :]
    assert snr(rest[:480], after_hearing(said).conceal(240)) > 15


def test_no_step_is_heard_where_a_hole_begins() -> None:
    said = tone(150, 0.2)
    together = samples(said + after_hearing(said).conceal(FRAME))
    assert abs(np.diff(together)).max() < 1.5 * 10_000 * 2 * np.pi * 150 / 24_000


def test_a_long_hole_fades_to_silence() -> None:
    concealer = after_hearing(tone(150, 0.2))
    loudness = [rms(concealer.conceal(FRAME)) for _ in range(5)]
    assert loudness[0] > loudness[1] > loudness[2] > 0
    assert loudness[3:] == [0, 0]


def test_after_a_hole_the_voice_is_blended_in() -> None:
    concealer = after_hearing(tone(150, 0.2))
    before = concealer.conceal(FRAME)
    loud = np.full(FRAME, 20_000, "<i2").tobytes()
    after = concealer.good(loud)
    assert abs(samples(after)[0] - samples(before)[-1]) < 2_000
    assert after[240:] == loud[240:]
    assert concealer.good(loud) == loud


def test_before_anything_was_heard_there_is_nothing_to_go_on_with() -> None:
    concealer = PitchConcealer()
    assert concealer.conceal(FRAME) == bytes(2 * FRAME)
    assert len(concealer.good(bytes(960))) == 960


def test_a_reset_forgets_what_was_heard() -> None:
    concealer = after_hearing(tone(150, 0.2))
    concealer.reset()
    assert concealer.conceal(FRAME) == bytes(2 * FRAME)
