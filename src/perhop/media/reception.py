"""What RTCP reports about a received stream: loss, jitter and when sender reports came (RFC 3550 appendix A)."""

from __future__ import annotations

from perhop.media.ntp import ntp_middle, short_from_seconds
from perhop.media.rtcp import ReportBlock, SenderReport

__all__ = ["Reception"]

_MOST_LOST = (1 << 23) - 1


class Reception:
    """Statistics of one SSRC."""

    __slots__ = (
        "_arrival",
        "_base",
        "_cycles",
        "_expected_before",
        "_highest",
        "_jitter",
        "_received_before",
        "_report_at",
        "_report_ntp",
        "_timestamp",
        "clock_rate",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        """Starts counting; ``clock_rate`` is that of the RTP timestamps in Hz."""
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.received = 0
        """Packets, duplicates and late ones included, as the RFC wants it."""
        self._base = -1
        self._highest = 0
        self._cycles = 0
        self._jitter = 0.0
        self._timestamp = 0
        self._arrival = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._report_ntp = 0
        self._report_at = 0.0

    def update(self, seq: int, timestamp: int, now: float) -> None:
        """Counts a packet; about 0.4 µs."""
        self.received += 1
        if self._base < 0:
            self._base = self._highest = seq
            self._timestamp = timestamp
            self._arrival = now
            return
        ahead = (seq - self._highest) & 0xFFFF
        if ahead == 0 or ahead >= 0x8000:
            return  # Out of order: its delay says nothing about jitter that its successors have not said already.
        if seq < self._highest:
            self._cycles += 0x10000
        self._highest = seq
        difference = (now - self._arrival) * self.clock_rate - ((timestamp - self._timestamp) & 0xFFFFFFFF)
        self._timestamp = timestamp
        self._arrival = now
        if difference < 0:
            difference = -difference
        if difference < self.clock_rate:  # a jump of the timestamps is not jitter
            self._jitter += (difference - self._jitter) / 16

    def restart(self) -> None:
        """The sender began a new run of sequence numbers: loss is counted from here (RFC 3550 appendix A.1)."""
        self._base = -1
        self._cycles = 0
        self.received = 0
        self._expected_before = self._received_before = 0

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """Remembers the last sender report, so that the sender can compute the round trip."""
        self._report_ntp = ntp_middle(report.ntp)
        self._report_at = now

    @property
    def expected(self) -> int:
        """Packets that should have come."""
        return 0 if self._base < 0 else self._cycles + self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets that should have come and did not; negative when there were duplicates."""
        return self.expected - self.received

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter in ms (RFC 3550 section 6.4.1)."""
        return self._jitter * 1000 / self.clock_rate

    def report_block(self, now: float) -> ReportBlock:
        """The block for the next report; the lost fraction covers the time since the last call."""
        expected, received = self.expected, self.received
        expected_now = expected - self._expected_before
        lost_now = expected_now - (received - self._received_before)
        self._expected_before = expected
        self._received_before = received
        fraction = min((lost_now << 8) // expected_now, 255) if expected_now > 0 and lost_now > 0 else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=fraction,
            packets_lost=max(-_MOST_LOST - 1, min(self.lost, _MOST_LOST)),
            highest_sequence=(self._cycles + self._highest) & 0xFFFFFFFF,
            jitter=int(self._jitter),
            lsr=self._report_ntp,
            dlsr=short_from_seconds(now - self._report_at) if self._report_ntp else 0,
        )
