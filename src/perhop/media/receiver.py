"""The audio of one caller: RTP packets in, gapless PCM out, added delay 0 while packets come in order.

There is no playout clock here. A packet in order is decoded and handed on at once; a hole is waited for as
:mod:`~perhop.media.reorder` decides and covered as :mod:`~perhop.media.timeline` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perhop.media.payloads import Codec
from perhop.media.reception import Reception
from perhop.media.reorder import Released, ReorderBuffer, Verdict
from perhop.media.rtcp import ReportBlock, SenderReport
from perhop.media.rtp import RtpError, read_header
from perhop.media.seqnum import seq_add
from perhop.media.timeline import AudioTimeline, TimelineStats
from perhop.realtime.audio import FRAME_MS, SAMPLE_RATE

__all__ = ["AudioReceiver", "ReceiverStats"]

OLD_SENDER_QUIET = 0.5
"""Seconds; packets of the sender before this one are ignored until the present one has been silent for as long."""

_Held = tuple[int, int, bytes]  # payload type, timestamp, payload


@dataclass(slots=True)
class ReceiverStats:
    """Counts since the start, over all senders.

    Attributes:
        packets: RTP packets that were understood, of any payload type.
        lost: packets that never came (duplicates do not make up for it).
        late: packets that came after their place had been covered, and were dropped.
        duplicates: packets that came again.
        malformed: not RTP.
        jitter_ms: interarrival jitter now (RFC 3550).
        added_delay_ms: how much later than possible the last audio was handed on; 0 in order.
        concealed_ms, recovered_ms, silence_ms: audio that was guessed, taken from FEC, or filled with zeros.
        shortened_ms: audio taken out to make up for a stall that was covered before its packets came.
        undecodable: packets whose payload was garbage.
        flooded: packets dropped because the sender sends audio faster than time goes by.
        resyncs: jumps of the timestamps or changes of the sender.
    """

    packets: int
    lost: int
    late: int
    duplicates: int
    malformed: int
    jitter_ms: float
    added_delay_ms: float
    concealed_ms: int
    recovered_ms: int
    silence_ms: int
    shortened_ms: int
    undecodable: int
    flooded: int
    resyncs: int

    @property
    def frames_concealed(self) -> int:
        """Concealed audio in frames of 20 ms."""
        return self.concealed_ms // FRAME_MS


class AudioReceiver:
    """Receives the one audio stream of a leg.

    ``receive`` costs about 3 µs on top of decoding while packets come in order. Call :meth:`on_timer` at
    :meth:`next_deadline`. All PCM is 24 kHz mono s16le, of any length; ``b""`` means nothing yet.
    """

    __slots__ = (
        "_clock_rates",
        "_duplicates",
        "_hold",
        "_last",
        "_late",
        "_lost_before",
        "_malformed",
        "_order",
        "_packets_before",
        "_previous_ssrc",
        "_reception",
        "_ssrc",
        "_timeline",
    )

    def __init__(self, codecs: Mapping[int, Codec]) -> None:
        """A receiver for what was negotiated.

        Args:
            codecs: by payload type, e.g. ``{111: "opus", 0: "pcmu"}``. Packets of other types (telephone events,
                comfort noise) keep their place in the order but give no audio.
        """
        self._timeline = AudioTimeline(codecs)
        self._clock_rates = {kind: 48_000 if codec == "opus" else 8_000 for kind, codec in codecs.items()}
        self._order: ReorderBuffer[_Held] = ReorderBuffer()
        self._reception: Reception | None = None
        self._ssrc = -1
        self._previous_ssrc = -1
        self._last = 0.0  # when the present sender's last packet came
        self._hold = 0.0  # seconds the packet released last was held
        self._late = 0
        self._duplicates = 0
        self._malformed = 0
        self._packets_before = 0  # of earlier senders
        self._lost_before = 0

    def receive(self, packet: bytes, now: float) -> bytes:
        """Takes an RTP packet (decrypted) and returns the audio that can be handed on.

        Never raises for what a peer can send: what is wrong is counted and covered.
        """
        try:
            payload_type, seq, timestamp, ssrc, _, start, end = read_header(packet)
        except RtpError:
            self._malformed += 1
            return b""
        reception = self._reception
        if ssrc != self._ssrc or reception is None:
            return self._other_sender(packet, now)
        self._last = now
        payload = packet[start:end]
        if self._order.advance(seq):
            reception.update(seq, timestamp, now)
            self._hold = 0.0
            return self._timeline.play(payload_type, timestamp, payload=payload, lost=0, arrived=now)
        return self._out_of_line(reception, seq, (payload_type, timestamp, payload), now)

    def next_deadline(self) -> float | None:
        """When :meth:`on_timer` has something to do, if no packet comes before; None for never. May change any time."""
        if self._order.deadline is not None:
            return self._order.deadline
        if self._reception is None:
            return None
        return self._timeline.stall_deadline(self._reception.jitter_ms / 1000)

    def on_timer(self, now: float) -> bytes:
        """The audio that is due by now: packets behind a hole that was waited for, or cover for packets overdue."""
        if self._order.deadline is not None:
            return self._release(now)
        parts: list[bytes] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            parts.append(self._timeline.on_stall())
        return b"".join(parts)

    def on_sign_of_life(self, now: float) -> bytes:
        """The peer was heard, by other packets than audio: silence for the time since it stopped sending audio, if it
        did."""
        if self._reception is None or self._order.deadline is not None:
            return b""
        return self._timeline.on_sign_of_life(now)

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """Takes the peer's sender report, for the round trip it computes from ours."""
        if self._reception is not None and report.ssrc == self._ssrc:
            self._reception.on_sender_report(report, now)

    def report_block(self, now: float) -> ReportBlock | None:
        """What to report about the present sender; None before its first packet. Each call starts a new interval."""
        return None if self._reception is None else self._reception.report_block(now)

    @property
    def ssrc(self) -> int | None:
        """The present sender."""
        return None if self._reception is None else self._ssrc

    @property
    def stats(self) -> ReceiverStats:
        """The counts now."""
        reception = self._reception
        timeline: TimelineStats = self._timeline.stats
        return ReceiverStats(
            packets=self._packets_before + (reception.received if reception else 0),
            lost=max(0, self._lost_before + (reception.lost if reception else 0)),
            late=self._late,
            duplicates=self._duplicates,
            malformed=self._malformed,
            jitter_ms=reception.jitter_ms if reception else 0.0,
            added_delay_ms=self._hold * 1000 + _ms(self._timeline.surplus),
            concealed_ms=_ms(timeline.concealed),
            recovered_ms=_ms(timeline.recovered),
            silence_ms=_ms(timeline.silence),
            shortened_ms=_ms(timeline.shortened),
            undecodable=timeline.undecodable,
            flooded=timeline.flooded,
            resyncs=timeline.resyncs,
        )

    def close(self) -> None:
        """Frees the decoders; idempotent. Packets are ignored afterwards."""
        self._timeline.close()

    def _out_of_line(self, reception: Reception, seq: int, item: _Held, now: float) -> bytes:
        verdict = self._order.insert(seq, item, now)
        if verdict is Verdict.STRAY:
            return b""  # counted if a second one proves that it begins a new run
        if verdict is Verdict.RESTART:
            return self._restart(reception, seq, item, now)
        reception.update(seq, item[1], now)
        if verdict is Verdict.HELD:
            return self._release(now)
        if verdict is Verdict.LATE:
            self._late += 1
        else:
            self._duplicates += 1
        return b""

    def _release(self, now: float) -> bytes:
        parts: list[bytes] = []
        while (released := self._order.pop(now)) is not None:
            parts.append(self._play(released, now))
        return b"".join(parts)

    def _play(self, released: Released[_Held], now: float) -> bytes:
        payload_type, timestamp, payload = released.item
        self._hold = now - released.arrived
        return self._timeline.play(
            payload_type, timestamp, payload=payload, lost=released.lost, arrived=released.arrived
        )

    def _drain(self, now: float) -> list[bytes]:
        """Everything held, as the sender will not go on where it was."""
        return [self._play(released, now) for released in self._order.flush()]

    def _restart(self, reception: Reception, seq: int, item: _Held, now: float) -> bytes:
        """The sender began a new run of sequence numbers; ``item`` is its second packet."""
        parts = self._drain(now)
        self._retire(reception)
        stray = self._order.restart()
        reception.restart()
        if stray is not None:
            first, arrived = stray
            reception.update(seq_add(seq, -1), first[1], arrived)
            parts.append(self._play(Released(0, first, arrived), now))
        self._order.advance(seq)
        reception.update(seq, item[1], now)
        parts.append(self._play(Released(0, item, now), now))
        return b"".join(parts)

    def _retire(self, reception: Reception) -> None:
        """Carries the counts of a run that is over, and tells the timeline."""
        self._packets_before += reception.received
        self._lost_before += max(0, reception.lost)
        self._timeline.resync()

    def _other_sender(self, packet: bytes, now: float) -> bytes:
        """A packet with another SSRC: the sender changed, unless it is a straggler of the one before."""
        payload_type, _, _, ssrc, _, _, _ = read_header(packet)
        if ssrc == self._previous_ssrc and now - self._last < OLD_SENDER_QUIET:
            return b""
        parts: list[bytes] = []
        if self._reception is not None:
            parts = self._drain(now)
            self._retire(self._reception)
            self._previous_ssrc = self._ssrc
        default_rate = next(iter(self._clock_rates.values()), 8_000)
        self._reception = Reception(ssrc, self._clock_rates.get(payload_type, default_rate))
        self._ssrc = ssrc
        self._order = ReorderBuffer()
        parts.append(self.receive(packet, now))
        return b"".join(parts)


def _ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE
