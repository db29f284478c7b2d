"""Audio in the formats of the wire: 24 kHz PCM on our side; PCM, mu-law or A-law on the other.

Streams are converted piece by piece, in order, in pieces of any length. Lengths are exact: a byte of G.711 is
always three samples of ours, so an item of so many whole milliseconds here has the same number of them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from perhop.media.g711 import ALAW_SILENCE, ULAW_SILENCE, alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from perhop.media.resample import Resampler
from perhop.realtime.audio import BYTES_PER_MS, SAMPLE_RATE
from perhop.realtime.session_fields import AudioFormatType

__all__ = [
    "PCM",
    "FromWire",
    "ToWire",
    "clip_from_wire",
    "clip_to_wire",
    "format_kind",
    "session_formats",
    "wire_bytes_per_ms",
]

PCM: Final[AudioFormatType] = "audio/pcm"

_G711_RATE = 8_000
_SLICE_BYTES = 16_000
"""Of G.711 converted at a time, 2 s: the filter works on copies many times the size of its input."""

_KINDS: dict[str, AudioFormatType] = {kind: kind for kind in get_args(AudioFormatType)}
_DECODE = {"audio/pcmu": ulaw_decode, "audio/pcma": alaw_decode}
_ENCODE = {"audio/pcmu": ulaw_encode, "audio/pcma": alaw_encode}
_SILENCE = {"audio/pcmu": bytes([ULAW_SILENCE]), "audio/pcma": bytes([ALAW_SILENCE])}


def wire_bytes_per_ms(kind: AudioFormatType) -> int:
    """Bytes of one millisecond on the wire."""
    return BYTES_PER_MS if kind == PCM else _G711_RATE // 1000


def session_formats(session: Mapping[str, Any]) -> tuple[AudioFormatType | None, AudioFormatType | None]:
    """What an effective session object says of the caller's and the model's audio; None where it says nothing known."""
    sound = session.get("audio")
    heard, said = (sound.get(side) if isinstance(sound, Mapping) else None for side in ("input", "output"))
    return (
        format_kind(heard.get("format") if isinstance(heard, Mapping) else None),
        format_kind(said.get("format") if isinstance(said, Mapping) else None),
    )


def format_kind(format_: object) -> AudioFormatType | None:
    """The type of a format object; None for one that is absent or not known."""
    kind = format_.get("type") if isinstance(format_, Mapping) else None
    return _KINDS.get(kind) if isinstance(kind, str) else None


class _WholeSamples:
    """Puts samples together that were cut in two: a stream may be cut anywhere."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = b""

    def push(self, pcm: bytes) -> bytes:
        """All whole samples there are."""
        if self._half:
            pcm = self._half + pcm
            self._half = b""
        if len(pcm) % 2:
            self._half = pcm[-1:]
            pcm = pcm[:-1]
        return pcm

    def reset(self) -> None:
        """Forgets half a sample."""
        self._half = b""


class FromWire:
    """One live stream of the wire → 24 kHz PCM. G.711 comes out 1.75 ms late, in full length at once.

    Attributes:
        growth: bytes of PCM that a byte of the wire becomes.
    """

    __slots__ = ("_decode", "_resampler", "_samples", "growth")

    def __init__(self, kind: AudioFormatType) -> None:
        self._samples = _WholeSamples()
        self._decode = _DECODE.get(kind)
        self._resampler = Resampler(_G711_RATE, SAMPLE_RATE)
        self.growth = BYTES_PER_MS // wire_bytes_per_ms(kind)

    def push(self, audio: bytes) -> bytes:
        """The PCM of this piece: whole samples, ``growth`` bytes a byte."""
        return self._samples.push(audio) if self._decode is None else self._resampler.push(self._decode(audio))

    def reset(self) -> None:
        """What follows has nothing to do with what came before."""
        self._samples.reset()
        self._resampler.reset()


class ToWire:
    """One item's 24 kHz PCM → a format of the wire.

    G.711 is not delayed against the original: the filter's 1.75 ms are left out at the beginning and given at the end,
    by :meth:`flush`. Three samples of ours are one byte; one or two that are left at the end are dropped, so the wire
    never has a millisecond that the item has not.
    """

    __slots__ = ("_due", "_encode", "_lead", "_resampler", "_samples")

    def __init__(self, kind: AudioFormatType) -> None:
        self._samples = _WholeSamples()
        self._encode = _ENCODE.get(kind)
        self._resampler = Resampler(SAMPLE_RATE, _G711_RATE)
        self._lead = self._delay
        self._due = 0

    def push(self, pcm: bytes) -> bytes:
        """What of the item can be sent now; may be empty."""
        pcm = self._samples.push(pcm)
        if self._encode is None:
            return pcm
        self._due += len(pcm) // 2
        audio = self._encode(self._resampler.push(pcm))
        if self._lead:
            lead, self._lead = self._lead, max(0, self._lead - len(audio))
            audio = audio[lead:]
        self._due -= 3 * len(audio)
        return audio

    def flush(self) -> bytes:
        """The rest of the item, which ends here; the next audio begins another."""
        left = self._due // 3
        rest = self.push(bytes(2 * 3 * (left + self._lead + 1)))[:left] if left else b""
        self._samples.reset()
        self._resampler.reset()
        self._lead, self._due = self._delay, 0
        return rest

    @property
    def _delay(self) -> int:
        return round(self._resampler.delay_ms * _G711_RATE / 1000)


def clip_from_wire(kind: AudioFormatType, audio: bytes) -> bytes:
    """A whole clip as 24 kHz PCM: of G.711 exactly six times as long, and not delayed."""
    if kind == PCM:
        return audio
    stream = FromWire(kind)
    delay = round(Resampler(_G711_RATE, SAMPLE_RATE).delay_ms * SAMPLE_RATE / 1000) * 2
    padded = audio + _SILENCE[kind] * -(-delay // stream.growth)
    pieces = (stream.push(padded[start : start + _SLICE_BYTES]) for start in range(0, len(padded), _SLICE_BYTES))
    return b"".join(pieces)[delay : delay + stream.growth * len(audio)]


def clip_to_wire(kind: AudioFormatType, pcm: bytes) -> bytes:
    """A whole clip of 24 kHz PCM in a format of the wire."""
    if kind == PCM:
        return pcm
    stream, step = ToWire(kind), 6 * _SLICE_BYTES
    pieces = [stream.push(pcm[start : start + step]) for start in range(0, len(pcm), step)]
    return b"".join([*pieces, stream.flush()])
