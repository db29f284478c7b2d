"""Signals and packets the media tests share; everything is computed and the same on every run."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from perhop.media.opus import OpusEncoder
from perhop.media.rtp import pack_packet

RATE = 24_000
FRAME = 480
OPUS = 111
SSRC = 0x5EED


def tone(hertz: float, seconds: float, *, rate: int = RATE, amplitude: float = 10_000) -> bytes:
    """A sine."""
    t = np.arange(round(seconds * rate)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * t)).astype("<i2").tobytes()


@cache
def voice(seconds: float = 4.0) -> bytes:
    """Something codecs take for speech: a buzz with gliding pitch and formants, in syllables."""
    count = round(seconds * RATE)
    t = np.arange(count) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * t)
    buzz = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0)
    buzz += np.random.default_rng(7).normal(0, 0.01, count)
    signal: NDArray[np.float64] = np.zeros(count)
    for centre, width, gain in ((650, 90, 1.0), (1150, 110, 0.6), (2500, 160, 0.35)):
        decay = np.exp(-np.pi * width * np.arange(600) / RATE)
        signal += gain * np.convolve(buzz, decay * np.cos(2 * np.pi * centre * np.arange(600) / RATE))[:count]
    syllables = np.clip(1.4 * np.sin(2 * np.pi * 2.2 * t) + 0.6, 0, 1)
    signal *= syllables
    return np.rint(9_000 * signal / np.abs(signal).max()).astype("<i2").tobytes()


def frames(pcm: bytes, ms: int = 20) -> list[bytes]:
    """``pcm`` in whole frames."""
    size = 48 * ms
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)]


@cache
def browser_packets(seconds: float = 4.0, *, fec: bool = True) -> tuple[bytes, ...]:
    """:func:`voice` as a browser codes it: 32 kb/s, 20 ms, with in-band FEC."""
    with OpusEncoder(application="voip", bitrate=32_000, complexity=5) as encoder:
        encoder.set_fec(fec)
        encoder.set_loss(0.2 if fec else 0.0)
        return tuple(encoder.encode(frame) for frame in frames(voice(seconds)))


def opus_rtp(index: int, payload: bytes, *, seq: int = 0, timestamp: int = 0, ssrc: int = SSRC) -> bytes:
    """The RTP packet of the ``index``-th 20 ms of a stream that begins at ``seq`` and ``timestamp``."""
    return pack_packet(
        OPUS,
        (seq + index) & 0xFFFF,
        timestamp=(timestamp + 960 * index) & 0xFFFFFFFF,
        ssrc=ssrc,
        payload=payload,
    )


def samples(pcm: bytes) -> NDArray[np.float64]:
    """PCM as numbers."""
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def rms(pcm: bytes) -> float:
    """Root mean square."""
    values = samples(pcm)
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def snr(reference: bytes, heard: bytes) -> float:
    """Of ``heard`` against ``reference``, in dB, over their common length."""
    clean, dirty = samples(reference), samples(heard)
    length = min(len(clean), len(dirty))
    noise = float(np.sum((clean[:length] - dirty[:length]) ** 2))
    return float(10 * np.log10(np.sum(clean[:length] ** 2) / max(noise, 1e-9)))
