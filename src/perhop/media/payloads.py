"""RTP payloads as decoders to 24 kHz mono: Opus (RFC 7587) and G.711 (RFC 3551), with what covers their holes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from perhop.errors import PerhopError
from perhop.media.conceal import PitchConcealer
from perhop.media.g711 import alaw_decode, ulaw_decode
from perhop.media.opus import OpusDecoder, has_fec, packet_samples
from perhop.media.resample import Resampler
from perhop.realtime.audio import SAMPLE_RATE

__all__ = ["Codec", "G711Payload", "OpusPayload", "PayloadDecoder", "PayloadError", "open_payload"]

Codec = Literal["opus", "pcmu", "pcma"]

_G711_RATE = 8000
_G711_LONGEST = 1600
"""Bytes; 200 ms, the most RFC 3551 allows in a packet."""

_OPUS_STEP = 60
"""Samples at 24 kHz: libopus conceals in steps of 2.5 ms."""


class PayloadError(PerhopError):
    """A payload that is not what its type says."""


class PayloadDecoder(Protocol):
    """Decodes the payloads of one stream, in order, and covers what is missing between them.

    Counts are samples at 24 kHz.
    """

    @property
    def clock_rate(self) -> int:
        """Of the RTP timestamps, in Hz."""

    def decode(self, payload: bytes) -> bytes:
        """PCM of a payload that is not empty. Raises PerhopError when it is garbage; the decoder stays usable."""

    def duration(self, payload: bytes) -> int:
        """How long a payload is, in samples. Raises PerhopError when it is garbage."""

    def conceal(self, samples: int) -> bytes:
        """Exactly ``samples`` of what probably was in a hole, at most 2880 (120 ms)."""

    def recover(self, payload: bytes, samples: int) -> bytes:
        """As :meth:`conceal`, using what the payload after the hole knows of it."""

    def recoverable(self, payload: bytes) -> bool:
        """Whether this payload carries a copy of the one before it."""

    def reset(self) -> None:
        """Forgets the stream, as for a new sender."""

    def close(self) -> None:
        """Frees what it holds."""


class OpusPayload:
    """Opus, whose decoder conceals by itself and has in-band FEC."""

    __slots__ = ("_decoder", "decode")

    clock_rate = 48_000

    def __init__(self) -> None:
        self._decoder = OpusDecoder(SAMPLE_RATE, 1)
        self.decode: Callable[[bytes], bytes] = self._decoder.decode

    def duration(self, payload: bytes) -> int:
        return packet_samples(payload) // 2

    def conceal(self, samples: int) -> bytes:
        whole = samples - samples % _OPUS_STEP
        return (self._decoder.conceal(whole / 24) if whole else b"").ljust(2 * samples, b"\0")

    def recover(self, payload: bytes, samples: int) -> bytes:
        whole = samples - samples % _OPUS_STEP
        return (self._decoder.decode_fec(payload, whole / 24) if whole else b"").rjust(2 * samples, b"\0")

    def recoverable(self, payload: bytes) -> bool:
        return has_fec(payload)

    def reset(self) -> None:
        self._decoder.reset()

    def close(self) -> None:
        self._decoder.close()


class G711Payload:
    """G.711, resampled from 8 kHz; its holes are covered by repeating the last pitch period."""

    __slots__ = ("_concealer", "_expand", "_resampler")

    clock_rate = _G711_RATE

    def __init__(self, law: Literal["pcmu", "pcma"]) -> None:
        self._expand = ulaw_decode if law == "pcmu" else alaw_decode
        self._resampler = Resampler(_G711_RATE, SAMPLE_RATE)
        self._concealer = PitchConcealer()

    def decode(self, payload: bytes) -> bytes:
        if len(payload) > _G711_LONGEST:
            raise PayloadError(f"{len(payload)} bytes of G.711 in one packet; {_G711_LONGEST} is the most")
        return self._concealer.good(self._resampler.push(self._expand(payload)))

    def duration(self, payload: bytes) -> int:
        return len(payload) * SAMPLE_RATE // _G711_RATE

    def conceal(self, samples: int) -> bytes:
        return self._concealer.conceal(samples)

    def recover(self, payload: bytes, samples: int) -> bytes:  # noqa: ARG002 - part of the protocol; G.711 has no FEC
        return self._concealer.conceal(samples)

    def recoverable(self, payload: bytes) -> bool:  # noqa: ARG002
        return False

    def reset(self) -> None:
        self._resampler.reset()
        self._concealer.reset()

    def close(self) -> None:
        """Holds nothing."""


def open_payload(codec: Codec) -> PayloadDecoder:
    """A decoder for one stream. Raises OpusError when libopus is missing."""
    return OpusPayload() if codec == "opus" else G711Payload(codec)
