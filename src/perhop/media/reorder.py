"""Puts packets back in order without a clock of its own: nothing waits unless something is missing.

A packet that is next in line goes on at once. When one is missing, those behind it are held for a while, because it may
only have been overtaken; then the hole is given up and they go on. How long that while is follows the reordering that
was really seen: 20 ms when there was none, up to 60 ms after packets came late, and back at 20 ms within two seconds.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from perhop.media.seqnum import seq_add, seq_delta

__all__ = ["Released", "ReorderBuffer", "Verdict"]

MIN_WAIT = 0.020
MAX_WAIT = 0.060
WAIT_KEPT = 1.5
WAIT_FADE = 0.4
"""Seconds a longer wait is kept after it was last needed, and seconds it then takes to shrink to the shortest."""

MARGIN = 0.005
"""Added to the lateness seen, so that the next packet as late is still in time."""

MAX_HELD = 100
"""Packets; 2 s of the usual 20 ms ones. One more gives the first hole up at once."""

MAX_GAP = 3000
MAX_MISORDER = 100
"""How far a sequence number may jump and still belong to the same run (RFC 3550 appendix A.1)."""

MAX_GIVEN_UP = 256

Item = TypeVar("Item")


class Verdict(Enum):
    """What became of a packet that was not simply next in line."""

    HELD = "held"
    """In the buffer; :meth:`ReorderBuffer.pop` may release something now."""
    DUPLICATE = "duplicate"
    LATE = "late"
    """Its hole had been given up."""
    STRAY = "stray"
    """Far from everything expected; kept in case the sender restarted."""
    RESTART = "restart"
    """The second in a row of a new run: call :meth:`ReorderBuffer.restart`."""


class Released(NamedTuple, Generic[Item]):
    """A packet whose turn came.

    Attributes:
        lost: how many packets before it were given up.
        arrived: when it came, as given to :meth:`ReorderBuffer.insert`.
    """

    lost: int
    item: Item
    arrived: float


class ReorderBuffer(Generic[Item]):
    """The packets of one stream that wait for others.

    Every packet goes through :meth:`advance`; only when that says no, through :meth:`insert` and :meth:`pop`. Call
    :meth:`pop` again at :attr:`deadline`.
    """

    __slots__ = ("_given_up", "_held", "_stray", "_wait", "_wait_set", "deadline", "expected")

    def __init__(self) -> None:
        self.expected: int | None = None
        """The sequence number that is next in line; None before the first packet."""
        self.deadline: float | None = None
        """When the hole in front will be given up; None while nothing is held."""
        self._held: dict[int, tuple[Item, float]] = {}
        self._given_up: dict[int, float] = {}  # sequence number → since when it was missed
        self._stray: tuple[int, Item, float] | None = None
        self._wait = MIN_WAIT
        self._wait_set = 0.0

    def advance(self, seq: int) -> bool:
        """Whether ``seq`` is next in line and nothing is held; then it counts as delivered."""
        if seq != self.expected or self._held:
            return False
        self.expected = (seq + 1) & 0xFFFF
        return True

    def insert(self, seq: int, item: Item, now: float) -> Verdict:
        """Takes a packet :meth:`advance` refused."""
        expected = self.expected
        if expected is None:
            self.expected = expected = seq
        delta = seq_delta(seq, expected)
        if -MAX_MISORDER <= delta < 0:
            missed_since = self._given_up.pop(seq, None)
            if missed_since is None:
                return Verdict.DUPLICATE
            self._learn(now - missed_since, now)
            return Verdict.LATE
        if not 0 <= delta < MAX_GAP:
            if self._stray is not None and seq == seq_add(self._stray[0], 1):
                return Verdict.RESTART
            self._stray = (seq, item, now)
            return Verdict.STRAY
        if seq in self._held:
            return Verdict.DUPLICATE
        if self._held and any(seq_delta(other, seq) > 0 for other in self._held):
            # It fills (part of) a hole: how long the hole was open is how late it is.
            self._learn(now - min(arrived for _, arrived in self._held.values()), now)
        self._held[seq] = (item, now)
        self._schedule(now)
        return Verdict.HELD

    def pop(self, now: float) -> Released[Item] | None:
        """The next packet in line, past the hole in front if its time is over; None when there is nothing to release.

        Call it until it returns None.
        """
        expected = self.expected
        if expected is None or not self._held:
            return None
        lost = 0
        if expected not in self._held:
            if len(self._held) <= MAX_HELD and (self.deadline is None or now < self.deadline):
                return None
            lost = min(seq_delta(seq, expected) for seq in self._held)
            self._give_up(expected, lost)
            expected = seq_add(expected, lost)
        item, arrived = self._held.pop(expected)
        self.expected = (expected + 1) & 0xFFFF
        self._schedule(now)
        return Released(lost, item, arrived)

    def flush(self) -> list[Released[Item]]:
        """Everything held, holes given up."""
        released: list[Released[Item]] = []
        while (packet := self.pop(float("inf"))) is not None:
            released.append(packet)
        return released

    def restart(self) -> tuple[Item, float] | None:
        """Begins a new run at the stray packet, which is returned with its arrival; the run goes on with the next one.

        Whatever is held is dropped, so :meth:`flush` first.
        """
        stray, self._stray = self._stray, None
        self._held.clear()
        self._given_up.clear()
        self.deadline = None
        self.expected = None if stray is None else seq_add(stray[0], 1)
        return None if stray is None else (stray[1], stray[2])

    def wait(self, now: float) -> float:
        """Seconds a hole that opens now is waited for."""
        faded = (now - self._wait_set - WAIT_KEPT) / WAIT_FADE
        if faded >= 1:
            return MIN_WAIT
        return self._wait if faded <= 0 else self._wait - (self._wait - MIN_WAIT) * faded

    def _learn(self, lateness: float, now: float) -> None:
        wanted = min(lateness + MARGIN, MAX_WAIT)
        if wanted >= self.wait(now):
            self._wait = max(wanted, MIN_WAIT)
            self._wait_set = now

    def _give_up(self, first: int, count: int) -> None:
        since = min(arrived for _, arrived in self._held.values())
        # Only the newest can still count as late: older ones are out of the window anyway.
        for index in range(max(0, count - MAX_MISORDER), count):
            self._given_up[seq_add(first, index)] = since
        while len(self._given_up) > MAX_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]

    def _schedule(self, now: float) -> None:
        """Sets the deadline of the hole in front: counted from the first packet that came from behind it."""
        if not self._held or self.expected in self._held:
            self.deadline = None
            return
        since = min(arrived for _, arrived in self._held.values())
        self.deadline = since + self.wait(now)
