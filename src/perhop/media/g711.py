"""G.711, mu-law and A-law, by tables (ITU-T G.711); the standard library's ``audioop`` is gone since Python 3.13.

PCM is 16-bit little endian at 8 kHz, one byte of G.711 a sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALAW_SILENCE", "ULAW_SILENCE", "alaw_decode", "alaw_encode", "ulaw_decode", "ulaw_encode"]

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5

_BIAS = 33  # of the 14-bit mu-law curve


def _ulaw_table() -> NDArray[np.int16]:
    """What every mu-law code means, as 14-bit values scaled to 16 bits."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, step = code >> 4 & 7, code & 15
    magnitude = ((2 * step + _BIAS) << segment) - _BIAS
    return (np.where(code & 0x80, -magnitude, magnitude) * 4).astype(np.int16)


def _alaw_table() -> NDArray[np.int16]:
    """What every A-law code means, as 13-bit values scaled to 16 bits."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = code >> 4 & 7, code & 15
    magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) * 8).astype(np.int16)


def _nearest(levels: NDArray[np.int16]) -> NDArray[np.uint8]:
    """For every 16-bit sample, seen as unsigned, the code whose level is nearest; the smaller magnitude on a tie."""
    order = np.argsort(levels, kind="stable")
    ordered = levels[order].astype(np.int32)
    samples = np.arange(-32768, 32768)
    above = np.searchsorted(ordered, samples).clip(1, 255)
    low, high = ordered[above - 1], ordered[above]
    towards_high = (high - samples < samples - low) | ((high - samples == samples - low) & (abs(high) < abs(low)))
    codes = order[np.where(towards_high, above, above - 1)].astype(np.uint8)
    return np.roll(codes, -32768)  # index 0 is sample 0, index 65535 is sample -1


_ULAW_LEVELS: NDArray[np.int16] = _ulaw_table()
_ALAW_LEVELS: NDArray[np.int16] = _alaw_table()
_ULAW_CODES: NDArray[np.uint8] = _nearest(_ULAW_LEVELS)
_ALAW_CODES: NDArray[np.uint8] = _nearest(_ALAW_LEVELS)
_ULAW_CODES[0] = ULAW_SILENCE  # zero has two codes; this is the one senders use
_ALAW_CODES[0] = ALAW_SILENCE


def ulaw_decode(data: bytes) -> bytes:
    """PCM of mu-law bytes."""
    return _ULAW_LEVELS.take(np.frombuffer(data, np.uint8)).tobytes()


def alaw_decode(data: bytes) -> bytes:
    """PCM of A-law bytes."""
    return _ALAW_LEVELS.take(np.frombuffer(data, np.uint8)).tobytes()


def ulaw_encode(pcm: bytes) -> bytes:
    """Mu-law bytes of PCM, each sample to its nearest level."""
    return _ULAW_CODES.take(np.frombuffer(pcm, "<u2")).tobytes()


def alaw_encode(pcm: bytes) -> bytes:
    """A-law bytes of PCM, each sample to its nearest level."""
    return _ALAW_CODES.take(np.frombuffer(pcm, "<u2")).tobytes()
