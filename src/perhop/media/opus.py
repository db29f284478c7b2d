"""Opus through libopus (RFC 6716), straight at the model's rate: nothing is resampled on the WebRTC path.

The defaults of the encoder are the measured choice for live speech: restricted low delay, 64 kb/s, complexity 0.
It has no in-band FEC, so a call whose receiver reports loss is switched to ``voip`` with FEC and back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from perhop.media.libopus import OpusError, load
from perhop.media.opus_packet import has_fec, is_dtx, packet_duration_ms, packet_samples

__all__ = [
    "MAX_PACKET_BYTES",
    "Application",
    "OpusDecoder",
    "OpusEncoder",
    "OpusError",
    "has_fec",
    "is_dtx",
    "packet_duration_ms",
    "packet_samples",
]

Application = Literal["lowdelay", "voip", "audio"]

MAX_PACKET_BYTES = 1200
"""The encoder never writes more, so a packet fits any path's MTU with its RTP and SRTP parts."""

_APPLICATIONS: dict[Application, int] = {"voip": 2048, "audio": 2049, "lowdelay": 2051}
_SET_BITRATE = 4002
_SET_COMPLEXITY = 4010
_SET_INBAND_FEC = 4012
_SET_PACKET_LOSS_PERC = 4014
_SET_DTX = 4016
_RESET_STATE = 4028
_GET_LOOKAHEAD = 4027

_LONGEST_MS = 120

LOSS_ON = 0.03
LOSS_OFF = 0.01


class OpusDecoder:
    """One stream's decoder; about 18 kB of state.

    A packet of garbage raises :class:`OpusError` and leaves the decoder usable. Output is signed 16-bit little endian
    at ``rate``; a stereo packet is mixed down when ``channels`` is 1.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_bytes_per_sample",
        "_decode",
        "_library",
        "_longest",
        "_output",
        "_rate",
        "_state",
    )

    def __init__(self, rate: int = 24_000, channels: int = 1) -> None:
        """Allocates the decoder.

        Args:
            rate: 8000, 12000, 16000, 24000 or 48000 Hz.
            channels: of the output, 1 or 2.

        Raises:
            OpusError: libopus is missing, or refuses these values.
        """
        self._state: ctypes.c_void_p | None = None
        self._library = load()
        status = ctypes.c_int()
        address = self._library.decoder_create(rate, channels, ctypes.byref(status))
        if status.value or not address:
            raise self._library.error(status.value, f"create a decoder for {rate} Hz and {channels} channels")
        self._state = ctypes.c_void_p(address)
        self._decode: Callable[..., int] = self._library.decode
        self._rate = rate
        self._longest = rate * _LONGEST_MS // 1000
        self._bytes_per_sample = 2 * channels
        # Reused for every packet: libopus writes here, the slice taken of it is the only copy.
        buffer = ctypes.create_string_buffer(self._longest * self._bytes_per_sample)
        self._address = ctypes.c_void_p(ctypes.addressof(buffer))
        self._output = memoryview(buffer)

    def decode(self, packet: bytes) -> bytes:
        """PCM of one packet, however many frames it holds (2.5-120 ms); about 24 µs for 20 ms of speech.

        Raises:
            OpusError: not an Opus packet; nothing changed.
        """
        size = len(packet)
        if size == 0:  # libopus would take it for a lost packet
            raise OpusError("an Opus packet has at least one byte")
        samples = self._decode(self._state, packet, size, self._address, self._longest, 0)
        if samples < 0:
            raise self._library.error(samples, f"decode a packet of {size} bytes")
        return self._output[: samples * self._bytes_per_sample].tobytes()

    def conceal(self, ms: float) -> bytes:
        """What probably was in ``ms`` of audio that is missing; it fades out as the gap grows.

        Args:
            ms: a multiple of 2.5, at most 120.
        """
        return self._fill(None, ms, fec=0)

    def decode_fec(self, packet: bytes, ms: float) -> bytes:
        """The ``ms`` of audio missing before ``packet``, as far as the packet's in-band FEC has it, else concealed.

        The copy covers the last frame of the gap; what lies before it is concealed. Decode ``packet`` afterwards.

        Args:
            ms: a multiple of 2.5, at most 120.
        """
        return self._fill(packet or None, ms, fec=1)

    def _fill(self, packet: bytes | None, ms: float, *, fec: int) -> bytes:
        samples = round(ms * self._rate / 1000)
        if not 0 < samples <= self._longest or samples * 400 % self._rate:
            raise OpusError(f"a gap of {ms:g} ms is not a multiple of 2.5 ms up to {_LONGEST_MS} ms")
        done = self._decode(self._state, packet, len(packet) if packet else 0, self._address, samples, fec)
        if done < 0:
            raise self._library.error(done, f"conceal {ms:g} ms")
        return self._output[: done * self._bytes_per_sample].tobytes()

    def reset(self) -> None:
        """Forgets the stream so far, as for a new sender."""
        if self._state is not None:
            self._library.decoder_ctl(self._state, _RESET_STATE)

    def close(self) -> None:
        """Frees the decoder; idempotent. Using it afterwards raises OpusError."""
        state, self._state = self._state, None
        if state is not None:
            self._decode = _closed
            self._library.decoder_destroy(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class OpusEncoder:
    """One stream's encoder; 16-bit little-endian PCM in, packets out; about 32 kB of state (mono).

    At 24 kHz mono and the defaults a 20 ms frame costs about 18 µs.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_application",
        "_bitrate",
        "_bytes_per_sample",
        "_channels",
        "_complexity",
        "_dtx",
        "_encode",
        "_fec",
        "_library",
        "_loss",
        "_output",
        "_rate",
        "_state",
    )

    def __init__(
        self,
        rate: int = 24_000,
        channels: int = 1,
        *,
        application: Application = "lowdelay",
        bitrate: int = 64_000,
        complexity: int = 0,
    ) -> None:
        """Allocates the encoder.

        Args:
            rate: 8000, 12000, 16000, 24000 or 48000 Hz.
            channels: of the input, 1 or 2.
            application: ``lowdelay`` has the least look-ahead and no FEC; ``voip`` can carry FEC.
            bitrate: bits per second, 500-512000.
            complexity: 0-10; CPU time grows with it.

        Raises:
            OpusError: libopus is missing, or refuses these values.
        """
        self._state: ctypes.c_void_p | None = None
        self._library = load()
        status = ctypes.c_int()
        address = self._library.encoder_create(rate, channels, _APPLICATIONS[application], ctypes.byref(status))
        if status.value or not address:
            raise self._library.error(status.value, f"create an encoder for {rate} Hz and {channels} channels")
        self._state = ctypes.c_void_p(address)
        self._encode: Callable[..., int] = self._library.encode
        self._rate = rate
        self._channels = channels
        self._bytes_per_sample = 2 * channels
        buffer = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        self._address = ctypes.c_void_p(ctypes.addressof(buffer))
        self._output = memoryview(buffer)
        self._application: Application = application
        self._bitrate = bitrate
        self._complexity = complexity
        self._fec = False
        self._loss = 0
        self._dtx = False
        self._configure()

    def encode(self, pcm: bytes) -> bytes:
        """The packet of one frame.

        Args:
            pcm: 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms of samples.

        Raises:
            OpusError: another length.
        """
        size = self._encode(self._state, pcm, len(pcm) // self._bytes_per_sample, self._address, MAX_PACKET_BYTES)
        if size < 0:
            raise self._library.error(size, f"encode a frame of {len(pcm)} bytes")
        return self._output[:size].tobytes()

    def protect_against_loss(self, loss: float) -> None:
        """Switches between the two ways to send: cheap and quick, or guarded by in-band FEC.

        Call it with what the peer's receiver reports say; it changes to ``voip`` with FEC above 3 % loss and back to
        low delay below 1 %, so that reports around one value do not make it flap. A change restarts the encoder. With
        FEC a frame costs 65 µs instead of 18.

        Args:
            loss: lost share of packets, 0-1, smoothed over a few seconds.
        """
        if self._fec:
            if loss < LOSS_OFF:
                self.set_fec(False)
                self.set_application("lowdelay")
            else:
                self.set_loss(loss)
        elif loss > LOSS_ON:
            self.set_application("voip")
            self.set_fec(True)
            self.set_loss(loss)

    @property
    def application(self) -> Application:
        """What the encoder is tuned for now."""
        return self._application

    @property
    def fec(self) -> bool:
        """Whether packets carry a copy of the frame before them when the signal allows."""
        return self._fec

    @property
    def lookahead(self) -> int:
        """Delay of the encoder in samples at its rate."""
        value = ctypes.c_int()
        self._control(_GET_LOOKAHEAD, ctypes.byref(value))
        return value.value

    def set_application(self, application: Application) -> None:
        """Restarts the encoder for another purpose; all other settings stay."""
        if application == self._application:
            return
        self._check_open()
        status = self._library.encoder_init(self._state, self._rate, self._channels, _APPLICATIONS[application])
        if status < 0:
            raise self._library.error(status, f"switch to {application}")
        self._application = application
        self._configure()

    def set_bitrate(self, bitrate: int) -> None:
        """Bits per second, 500-512000."""
        self._control(_SET_BITRATE, bitrate)
        self._bitrate = bitrate

    def set_complexity(self, complexity: int) -> None:
        """0-10."""
        self._control(_SET_COMPLEXITY, complexity)
        self._complexity = complexity

    def set_fec(self, enabled: bool) -> None:
        """In-band FEC; takes effect in ``voip`` and ``audio`` once some loss is expected (:meth:`set_loss`).

        At complexity 0 and 1 libopus makes room for it from 40 kb/s on only.
        """
        self._control(_SET_INBAND_FEC, int(enabled))
        self._fec = enabled

    def set_loss(self, loss: float) -> None:
        """Share of packets expected to be lost, 0-1: the more, the more bits go into FEC."""
        percent = round(100 * min(max(loss, 0.0), 1.0))
        self._control(_SET_PACKET_LOSS_PERC, percent)
        self._loss = percent

    def set_dtx(self, enabled: bool) -> None:
        """Whether silence is announced once and then not sent."""
        self._control(_SET_DTX, int(enabled))
        self._dtx = enabled

    def reset(self) -> None:
        """Forgets the stream so far; settings stay."""
        self._control(_RESET_STATE, 0)

    def _configure(self) -> None:
        self._control(_SET_BITRATE, self._bitrate)
        self._control(_SET_COMPLEXITY, self._complexity)
        self._control(_SET_INBAND_FEC, int(self._fec))
        self._control(_SET_PACKET_LOSS_PERC, self._loss)
        self._control(_SET_DTX, int(self._dtx))

    def _control(self, request: int, value: int | object) -> None:
        self._check_open()
        status = self._library.encoder_ctl(
            self._state, request, ctypes.c_int(value) if isinstance(value, int) else value
        )
        if status < 0:
            raise self._library.error(status, f"change setting {request} to {value}")

    def _check_open(self) -> None:
        if self._state is None:
            raise OpusError("the encoder is closed")

    def close(self) -> None:
        """Frees the encoder; idempotent. Using it afterwards raises OpusError."""
        state, self._state = self._state, None
        if state is not None:
            self._encode = _closed
            self._library.encoder_destroy(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _closed(*_: object) -> int:
    """Stands in for libopus once a codec was closed: a null state would crash the process."""
    raise OpusError("the codec is closed")
