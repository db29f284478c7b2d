"""Speech for tests: sentences as espeak-ng says them, between silences."""

from __future__ import annotations

from functools import cache

from perhop.brain.engines.espeak import load_espeak
from perhop.media.resample import Resampler

__all__ = ["VOICES", "say", "silence"]

VOICES = ("en-us", "en-us+f2", "en-us+f5", "en-us+adam", "en-us+m6")
"""Voices that the recogniser understands well."""


def silence(ms: int, *, rate: int = 24_000) -> bytes:
    """Digital silence."""
    return bytes(2 * (rate * ms // 1000))


@cache
def say(text: str, *, voice: str = "en-us+f2", wpm: int = 165, rate: int = 24_000, before: int = 300) -> bytes:
    """A sentence as s16le PCM with ``before`` ms of silence in front and 200 ms behind, as an utterance is cut."""
    chunks: list[bytes] = []
    espeak = load_espeak()
    espeak.set_voice(voice)
    espeak.speak(text, lambda pcm: chunks.append(pcm) is None, wpm=wpm, pitch=50, intonation=50)
    spoken = b"".join(chunks)
    spoken = spoken[: len(spoken.rstrip(b"\0")) + 1 & ~1]
    return silence(before, rate=rate) + Resampler(espeak.rate, rate).push(spoken) + silence(200, rate=rate)
