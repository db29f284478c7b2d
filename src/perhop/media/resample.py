"""Changes the sample rate of a live stream with a short, known delay.

A windowed-sinc filter in polyphase form, as one matrix product per push. It was chosen over libswresample (through
PyAV) by measurement: for 20 ms of 8 kHz to 24 kHz it costs 7 µs instead of 9, its delay and the number of samples it
gives back are exact instead of varying from call to call, and it needs no frame objects in between.
"""

from __future__ import annotations

from functools import cache
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

__all__ = ["Resampler"]

_LENGTH = 28
"""Filter length in samples of the lower of the two rates; half of it is the delay, 1.75 ms at 8 kHz."""

_BETA = 6.4
"""Of the Kaiser window: with this length the stop band lies 67 dB down from 0.575 of the lower rate on."""


class Resampler:
    """Resamples one mono stream of signed 16-bit little endian samples, pushed in pieces of any length.

    Every ``src`` / gcd(src, dst) samples in give exactly ``dst`` / gcd(src, dst) samples out; what does not fill such a
    block waits for the next push (never with frames of 10 ms at the usual rates).
    """

    __slots__ = ("_block", "_history", "_tail", "_weights", "delay_ms")

    def __init__(self, src: int, dst: int) -> None:
        """A resampler from ``src`` to ``dst`` Hz.

        Raises:
            ValueError: a rate is not positive.
        """
        if src <= 0 or dst <= 0:
            raise ValueError(f"cannot resample from {src} Hz to {dst} Hz")
        self._weights, self._block, self.delay_ms = _design(src, dst)
        self._history = len(self._weights) - self._block
        self._tail = np.zeros(self._history, np.float32)

    def push(self, pcm: bytes) -> bytes:
        """The samples that became available; about 7 µs for 20 ms.

        Raises:
            ValueError: half a sample.
        """
        samples = np.concatenate((self._tail, np.frombuffer(pcm, "<i2")))
        blocks = (len(samples) - self._history) // self._block
        windows: NDArray[np.float32] = np.ndarray(
            (blocks, len(self._weights)), np.float32, samples, strides=(4 * self._block, 4)
        )
        output = windows.dot(
            self._weights
        )  # unlike @, dot copies the overlapping windows and calls BLAS: half the time
        np.rint(output, out=output)
        np.minimum(np.maximum(output, -32768, out=output), 32767, out=output)
        self._tail = samples[blocks * self._block :]
        result: bytes = output.astype("<i2").tobytes()
        return result

    def reset(self) -> None:
        """Forgets what was pushed, as for a new stream."""
        self._tail = np.zeros(self._history, np.float32)


@cache
def _design(src: int, dst: int) -> tuple[NDArray[np.float32], int, float]:
    """Weights, block length in input samples, and delay in ms.

    Row k, column p weighs the k-th sample of a block's window in the block's p-th output.
    """
    divisor = gcd(src, dst)
    up, down = dst // divisor, src // divisor
    rate = src * up
    low = min(src, dst)
    length = _LENGTH * rate // low + 1
    centre = (length - 1) / 2
    cutoff = low / rate
    taps = np.sinc((np.arange(length) - centre) * cutoff) * cutoff * np.kaiser(length, _BETA)
    window = down + ceil(length / up)
    index = np.arange(up) * down + (window - down - np.arange(window)[:, None]) * up
    weights = np.where((index >= 0) & (index < length), taps[index.clip(0, length - 1)], 0.0)
    weights /= weights.sum(axis=0)  # every phase passes a constant unchanged
    return weights.astype(np.float32), down, centre / rate * 1000
