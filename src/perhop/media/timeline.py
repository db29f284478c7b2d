"""Turns payloads in order into PCM whose length is the time the sender spent, whatever happened on the way.

Timestamps say where a payload belongs. What is missing before it is recovered from FEC, concealed, or, where the sender
paused (DTX), filled with silence: voice activity detection counts samples, and its time must stay true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from perhop.errors import PerhopError
from perhop.media.payloads import Codec, PayloadDecoder, open_payload
from perhop.media.seqnum import ts_delta
from perhop.media.timescale import shorten
from perhop.realtime.audio import FRAME_BYTES, SAMPLE_RATE

__all__ = ["AudioTimeline", "TimelineStats"]

_BYTES_PER_SECOND = 2 * SAMPLE_RATE
_FRAME = FRAME_BYTES // 2

MAX_FILL = SAMPLE_RATE
"""Samples (1 s); a longer gap is shortened to this: what follows must not wait for seconds of nothing."""

MAX_CONCEAL = 120 * SAMPLE_RATE // 1000
"""Samples a hole between packets may have to be covered by speech; longer ones have silence inside."""

STALL_CONCEAL = 60 * SAMPLE_RATE // 1000
"""Samples concealed when packets stop coming; then the stream pauses."""

STALL_SILENCE = 500 * SAMPLE_RATE // 1000
"""Samples of silence given ahead of the next packet when the sender has announced a pause (DTX)."""

QUIET_AFTER = 1.0
"""Seconds without a packet from a peer that is there: its microphone was taken away, not its network."""

QUIET_SILENCE = 5 * SAMPLE_RATE
"""Samples of silence given then, so that a turn it was in comes to its end."""

STALL_PATIENCE = 0.060
DTX_PATIENCE = 0.040
MAX_PATIENCE = 0.200
"""Seconds a packet may be overdue before its time is filled, more when arrivals are known to jitter."""

NEW_RUN_GAP = 100 * SAMPLE_RATE // 1000
"""Samples; after a jump of the timestamps only a pause longer than this in the arrivals is believed to be one."""

MAX_DISBELIEF = SAMPLE_RATE
"""Samples a timestamp may run ahead of the arrival times before it is taken for a jump."""

MAX_LEAD = 1.0
MAX_BACKLOG = 10.0
"""Seconds of audio a sender may be ahead of the clock, and seconds of a network's backlog it may deliver at once."""

_DUE_PER_BYTE = 0.99 / _BYTES_PER_SECOND
"""A little less than the audio lasts, so that a sender whose clock is fast never gets ahead."""


@dataclass(slots=True)
class TimelineStats:
    """What the timeline did, in samples at 24 kHz where nothing else is said.

    Attributes:
        concealed: covered by a guess.
        recovered: covered by FEC.
        silence: filled with zeros.
        shortened: taken out again after a stall had been filled and its packets came after all.
        skipped: lost because a gap was longer than may be filled.
        resyncs: times the timestamps jumped or the sender changed.
        undecodable: packets of garbage.
        ignored: packets of other payload types, or empty.
        flooded: packets dropped because the sender sends audio faster than time goes by.
    """

    concealed: int = 0
    recovered: int = 0
    silence: int = 0
    shortened: int = 0
    skipped: int = 0
    resyncs: int = 0
    undecodable: int = 0
    ignored: int = 0
    flooded: int = 0


class AudioTimeline:
    """The audio of one sender. Output is 24 kHz mono s16le."""

    __slots__ = (
        "_ahead",
        "_arrived",
        "_clock_rate",
        "_codecs",
        "_decode",
        "_decoder",
        "_decoders",
        "_dtx",
        "_due",
        "_expected",
        "_payload_type",
        "_samples",
        "stats",
        "surplus",
    )

    def __init__(self, codecs: Mapping[int, Codec]) -> None:
        """A timeline that understands these payload types; their decoders are opened when first needed."""
        self.stats = TimelineStats()
        self.surplus = 0
        """Samples given out in excess of the sender's time; taken out of what follows as soon as it can be."""
        self._codecs = dict(codecs)
        self._decoders: dict[Codec, PayloadDecoder] = {}
        self._decoder: PayloadDecoder | None = None
        self._decode: Callable[[bytes], bytes] = bytes
        self._payload_type = -1
        self._clock_rate = 1
        self._expected: int | None = None  # timestamp that continues what was played
        self._arrived: float | None = None  # of the packet played last
        self._samples = _FRAME  # of the packet played last
        self._dtx = False  # whether that packet announced a pause
        self._ahead = 0  # samples given out for the time after that packet
        self._due = 0.0  # when the audio taken so far would have been spoken, at the latest

    def play(self, payload_type: int, timestamp: int, *, payload: bytes, lost: int, arrived: float) -> bytes:
        """The PCM of the next payload in line, and of what is missing before it.

        Args:
            lost: packets known to be missing between this one and the last.
            arrived: when it came, in seconds.
        """
        if payload_type != self._payload_type and not self._select(payload_type):
            self.stats.ignored += 1
            return b""
        if not payload:
            self.stats.ignored += 1
            return b""
        if self._due > arrived + MAX_LEAD:
            self.stats.flooded += 1
            return b""
        before = b""
        if timestamp != self._expected or self._ahead:
            before = self._bridge(timestamp, payload, lost=lost, arrived=arrived)
        try:
            pcm = self._decode(payload)
        except PerhopError:
            pcm = self._replace(payload)
        size = len(pcm)
        self._expected = (timestamp + size * self._clock_rate // _BYTES_PER_SECOND) & 0xFFFFFFFF
        self._arrived = arrived
        self._samples = size >> 1
        self._dtx = len(payload) <= 2  # what is_dtx says; this path is the hot one
        if before or self.surplus:
            pcm = before + (self._shorten(pcm) if self.surplus else pcm)
            size = len(pcm)
        self._due = max(self._due, arrived - MAX_BACKLOG) + size * _DUE_PER_BYTE
        return pcm

    def stall_deadline(self, jitter: float) -> float | None:
        """When the next 20 ms are to be filled because no packet came; None while the stream is paused.

        Args:
            jitter: of the arrivals, in seconds.
        """
        if self._arrived is None or self._ahead >= (STALL_SILENCE if self._dtx else STALL_CONCEAL):
            return None
        patience = max(DTX_PATIENCE if self._dtx else STALL_PATIENCE, min(3 * jitter, MAX_PATIENCE))
        return self._arrived + (self._samples + self._ahead) / SAMPLE_RATE + patience

    def on_stall(self) -> bytes:
        """Fills the next 20 ms after the last packet."""
        self._ahead += _FRAME
        if self.surplus >= _FRAME:
            self.surplus -= _FRAME
            return b""
        if self._dtx or self._decoder is None:
            self.stats.silence += _FRAME
            return bytes(2 * _FRAME)
        self.stats.concealed += _FRAME
        return self._decoder.conceal(_FRAME)

    def on_sign_of_life(self, now: float) -> bytes:
        """The sender is there. What it has not sent for a while will not come any more: silence for that time."""
        if self._arrived is None or now - self._arrived < QUIET_AFTER:
            return b""
        passed = int((now - self._arrived) * SAMPLE_RATE) - self._samples
        silence = min(passed, QUIET_SILENCE) - self._ahead
        if silence < _FRAME:
            return b""
        self._ahead += silence
        self.stats.silence += silence
        return bytes(2 * silence)

    def resync(self) -> None:
        """Another sender, or a new run of the same one, begins with the next payload."""
        self._expected = None
        if self._decoder is not None:
            self._decoder.reset()

    def close(self) -> None:
        """Frees the decoders; payloads are ignored from now on."""
        self._payload_type = -1
        self._arrived = None
        self._codecs.clear()
        self._decoder = None
        for decoder in self._decoders.values():
            decoder.close()
        self._decoders.clear()

    def _select(self, payload_type: int) -> bool:
        """Takes up the decoder of this payload type, if it is one of ours."""
        codec = self._codecs.get(payload_type)
        if codec is None:
            return False
        decoder = self._decoders.get(codec)
        if decoder is None:
            decoder = self._decoders[codec] = open_payload(codec)
        if decoder is not self._decoder:
            self._expected = None  # its clock may be another one
            decoder.reset()
        self._decoder = decoder
        self._decode = decoder.decode
        self._clock_rate = decoder.clock_rate
        self._payload_type = payload_type
        return True

    def _bridge(self, timestamp: int, payload: bytes, *, lost: int, arrived: float) -> bytes:
        """What belongs between the last payload and this one."""
        if self._arrived is None:
            self._due = arrived
            return b""
        elapsed = max(0, int((arrived - self._arrived) * SAMPLE_RATE) - self._samples)
        gap = -1
        if self._expected is not None:
            gap = ts_delta(timestamp, self._expected) * SAMPLE_RATE // self._clock_rate
        if not 0 <= gap <= elapsed + MAX_DISBELIEF:
            # These timestamps do not continue the last ones, so only the arrivals tell how much time went by.
            self.stats.resyncs += 1
            lost = 0
            gap = elapsed if elapsed > NEW_RUN_GAP else 0
        already = self._ahead
        self._ahead = 0
        missing = gap - already - self.surplus
        # After a stall that was no stall what comes is new, and late by nothing.
        self.surplus = max(0, -missing) if already <= STALL_SILENCE else 0
        if missing <= 0:
            return b""
        if missing > MAX_FILL:
            self.stats.skipped += missing - MAX_FILL
            missing = MAX_FILL
        if lost:
            return self._cover(missing, payload, already)
        self.stats.silence += missing
        return bytes(2 * missing)

    def _cover(self, missing: int, payload: bytes, already: int) -> bytes:
        """Covers lost audio: FEC where the next payload has it, concealment for the rest, silence inside long holes."""
        decoder = self._decoder
        if decoder is None:
            return bytes(2 * missing)
        recovered = min(self._samples_of(payload), missing, MAX_CONCEAL) if decoder.recoverable(payload) else 0
        if missing <= MAX_CONCEAL:
            self.stats.recovered += recovered
            self.stats.concealed += missing - recovered
            return decoder.recover(payload, missing)
        concealed = max(0, STALL_CONCEAL - already)
        silence = missing - concealed - recovered
        self.stats.concealed += concealed
        self.stats.silence += silence
        self.stats.recovered += recovered
        head = decoder.conceal(concealed) if concealed else b""
        tail = decoder.recover(payload, recovered) if recovered else b""
        return b"".join((head, bytes(2 * silence), tail))

    def _replace(self, payload: bytes) -> bytes:
        """Concealment in place of a payload that cannot be decoded."""
        self.stats.undecodable += 1
        samples = min(self._samples_of(payload), MAX_CONCEAL)
        self.stats.concealed += samples
        return self._decoder.conceal(samples) if self._decoder is not None else bytes(2 * samples)

    def _samples_of(self, payload: bytes) -> int:
        """How long a payload is, or as long as the last one when it does not say."""
        if self._decoder is None:
            return self._samples
        try:
            return self._decoder.duration(payload)
        except PerhopError:
            return self._samples

    def _shorten(self, pcm: bytes) -> bytes:
        shorter = shorten(pcm, self.surplus)
        taken = (len(pcm) - len(shorter)) // 2
        self.surplus -= taken
        self.stats.shortened += taken
        return shorter
