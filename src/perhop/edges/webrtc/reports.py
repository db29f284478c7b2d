"""RTCP with one caller: what we say of both streams, and what the caller says of ours."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from perhop.edges.webrtc.sender import AudioSender
from perhop.media.ntp import ntp_from_unix, ntp_middle
from perhop.media.receiver import AudioReceiver
from perhop.media.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    pack_compound,
    parse_compound,
    round_trip,
)

__all__ = ["Reports"]

INTERVAL = 1.0
SPREAD = 1.0
"""s; reports go out every 1 to 2 s, at random, so that those of many calls do not meet."""

RTT_WEIGHT = 1 / 4
LOSS_WEIGHT = 1 / 3


class Reports:
    """The control side of one RTP session.

    Args:
        wall: what to add to ``now`` to have Unix time; its error does not matter, its steadiness does.

    Attributes:
        next_at: when the next compound packet is due.
        rtt_ms: smoothed; None before the caller's first report on ours.
        remote_lost: packets of ours that the caller missed, by its count.
        remote_jitter_ms: of our packets' arrival there.
    """

    __slots__ = (
        "_clock_rate",
        "_cname",
        "_loss",
        "_receiver",
        "_sender",
        "_wall",
        "next_at",
        "remote_jitter_ms",
        "remote_lost",
        "rtt_ms",
    )

    def __init__(
        self, sender: AudioSender, receiver: AudioReceiver, *, clock_rate: int, cname: str, wall: float, now: float
    ) -> None:
        self._sender = sender
        self._receiver = receiver
        self._clock_rate = clock_rate
        self._cname = cname
        self._wall = wall
        self._loss = 0.0
        self.next_at = now + SPREAD * _random()
        self.rtt_ms: float | None = None
        self.remote_lost: int | None = None
        self.remote_jitter_ms: float | None = None

    def compose(self, now: float) -> bytes:
        """The compound packet to send now; sets :attr:`next_at`."""
        self.next_at = now + INTERVAL + SPREAD * _random()
        return pack_compound(self._report(now), SourceDescription.cname(self._sender.ssrc, self._cname))

    def goodbye(self, now: float, reason: str = "") -> bytes:
        """The last compound packet; ``reason`` says why in one word."""
        cname = SourceDescription.cname(self._sender.ssrc, self._cname)
        return pack_compound(self._report(now), cname, Goodbye([self._sender.ssrc], reason.encode()))

    def receive(self, packet: bytes, now: float) -> None:
        """Takes a compound packet of the caller, decrypted.

        Raises:
            RtcpError: it is malformed.
        """
        for part in parse_compound(packet):
            if isinstance(part, SenderReport):
                self._receiver.on_sender_report(part, now)
                self._heard_of_ours(part.blocks, now)
            elif isinstance(part, ReceiverReport):
                self._heard_of_ours(part.blocks, now)

    def _report(self, now: float) -> SenderReport | ReceiverReport:
        block = self._receiver.report_block(now)
        blocks = [block] if block is not None else []
        sender = self._sender
        if not sender.has_sent:
            return ReceiverReport(sender.ssrc, blocks)
        return SenderReport(
            sender.ssrc,
            ntp_from_unix(now + self._wall),
            sender.timestamp(now),
            sender.packets & 0xFFFFFFFF,
            sender.octets & 0xFFFFFFFF,
            blocks,
        )

    def _heard_of_ours(self, blocks: Sequence[ReportBlock], now: float) -> None:
        for block in blocks:
            if block.ssrc != self._sender.ssrc:
                continue
            self.remote_lost = block.packets_lost
            self.remote_jitter_ms = block.jitter * 1000 / self._clock_rate
            rtt = round_trip(block, ntp_middle(ntp_from_unix(now + self._wall)))
            if rtt is not None:
                before = self.rtt_ms
                self.rtt_ms = rtt * 1000 if before is None else before + RTT_WEIGHT * (rtt * 1000 - before)
            self._loss += LOSS_WEIGHT * (block.fraction_lost / 256 - self._loss)
            self._sender.protect_against_loss(self._loss)


def _random() -> float:
    return secrets.randbits(16) / (1 << 16)
