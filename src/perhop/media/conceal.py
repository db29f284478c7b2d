"""Covers holes in speech whose codec cannot do it itself, such as G.711 (after the idea of ITU-T G.711 appendix I)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perhop.realtime.audio import BYTES_PER_MS

__all__ = ["PitchConcealer"]

_SAMPLES_PER_MS = BYTES_PER_MS // 2
_HISTORY = 40 * _SAMPLES_PER_MS
_MIN_PITCH = 60  # samples: 400 Hz
_MAX_PITCH = 360  # 66 Hz
_WINDOW = 240
_HOLD = 10 * _SAMPLES_PER_MS
_FADE = 50 * _SAMPLES_PER_MS
_BLEND = 5 * _SAMPLES_PER_MS


class PitchConcealer:
    """Goes on with the last pitch period of what was heard: 10 ms as it was, then fading to silence over 50 ms.

    All PCM is 24 kHz mono s16le. What was heard is kept as it came, so the good path costs an assignment.
    """

    __slots__ = ("_heard", "_period", "_position")

    def __init__(self) -> None:
        self._heard = b""
        self._period: NDArray[np.float32] | None = None  # repeated while a hole lasts
        self._position = 0  # samples into the hole

    def good(self, pcm: bytes) -> bytes:
        """Takes audio that was received; right after a hole its start is blended with the concealment's end."""
        if self._period is not None:
            pcm = self._blend(pcm)
            self._period = None
        self._heard = pcm if len(pcm) >= 2 * _HISTORY else (self._heard + pcm)[-2 * _HISTORY :]
        return pcm

    def conceal(self, samples: int) -> bytes:
        """The next ``samples`` of a hole."""
        if self._period is None:
            self._period = _last_period(np.frombuffer(self._heard, "<i2").astype(np.float32))
            self._position = 0
        return np.rint(self._generate(self._period, samples)).astype("<i2").tobytes()

    def reset(self) -> None:
        """Forgets what was heard."""
        self._heard = b""
        self._period = None

    def _generate(self, period: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
        position = np.arange(self._position, self._position + samples)
        self._position += samples
        gain = np.clip(1 - (position - _HOLD) / _FADE, 0, 1).astype(np.float32)
        repeated: NDArray[np.float32] = period[position % len(period)] * gain
        return repeated

    def _blend(self, pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        count = min(_BLEND, len(samples))
        if self._period is None or not count:
            return pcm
        rise = np.arange(1, count + 1, dtype=np.float32) / (count + 1)
        samples[:count] = samples[:count] * rise + self._generate(self._period, count) * (1 - rise)
        return np.rint(samples).astype("<i2").tobytes()


def _last_period(heard: NDArray[np.float32]) -> NDArray[np.float32]:
    """The last pitch period, its end bent so that it can be repeated without a step."""
    if len(heard) < _MAX_PITCH + 2 * _WINDOW:
        return np.zeros(1, np.float32)
    recent = heard[-_WINDOW:]
    before = heard[-_WINDOW - _MAX_PITCH : -_MIN_PITCH]
    likeness = np.correlate(before, recent, "valid")
    energy = np.cumsum(np.concatenate((np.zeros(1), np.square(before, dtype=np.float64))))
    norm = np.sqrt(energy[_WINDOW : _WINDOW + len(likeness)] - energy[: len(likeness)] + 1.0)
    pitch = _MAX_PITCH - int(np.argmax(likeness / norm))
    period = heard[-pitch:].copy()
    # The last quarter fades into what came a period earlier, so that its end fits the period's own start.
    quarter = pitch // 4
    fade = np.arange(1, quarter + 1, dtype=np.float32) / (quarter + 1)
    period[-quarter:] = period[-quarter:] * (1 - fade) + heard[-pitch - quarter : -pitch] * fade
    return period
