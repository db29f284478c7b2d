"""What came of breaking things, and what of it must not be."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.chaos.events import Events
from tests.chaos.model import FunctionCall

__all__ = ["IN_DOUBT", "REFUSED", "Count", "Outage", "Report", "Row"]

MORE_TASKS = 30
"""Of the event loop, from what happens at the moment one looks."""

CLEAR_S = 1.0
"""Within this a tool that was called while something was down has failed, unless it has done its work."""

REFUSED = ("unavailable", "busy")
IN_DOUBT = ("unknown_outcome", "timeout")

GAP_S = 0.1
"""Longest silence within an answer that is put down to anything but an outage; the gateway's waiting for its core is
not counted."""


@dataclass(frozen=True, slots=True)
class Outage:
    """From the moment something was killed to the one it was back, by ``time.monotonic``.

    Attributes:
        waited: how long the gateway was kept from its core until everybody had their next turn, s.
        held_up: likewise, workers included.
    """

    began: float
    ended: float
    waited: float
    held_up: float


@dataclass(slots=True)
class Count:
    """Effects of one sort.

    Attributes:
        lost: numbers that had none though nobody was told so.
        unknown: had or not, and reported as unknown; only where a provider knows no keys.
    """

    asked: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unknown: int = 0

    def take(self, number: str, effects: int, *, unknown: bool = False) -> None:
        self.asked += 1
        self.unknown += unknown
        if effects > 1:
            self.doubled.append(number)
        elif not effects and not unknown:
            self.lost.append(number)


@dataclass(slots=True)
class Row:
    """What became of everything while one kind of thing was broken again and again.

    Attributes:
        keyed: effects at the provider that knows idempotency keys.
        keyless: at the one that knows none.
        visitors: further calls, one for each outage, that were up while something was down, and answered.
        survived: calls that were still up after every outage, in the session they began in.
        answered: function calls that met an outage and got their result all the same.
        refused: those that were told that nothing was done.
        in_doubt: those that were told that it may have been done; what became of them was found out later.
        slowest: the longest that one which was called while something was down waited for its error, s; of that,
            ``slow`` is what the machine being busy does not explain.
        gap: the longest silence within what WebRTC callers heard around the outages, s; ``excess`` likewise.
        took: s.
    """

    what: str
    outages: list[Outage] = field(default_factory=list)
    calls: int = 0
    survived: int = 0
    visitors: int = 0
    orders: Count = field(default_factory=Count)
    keyed: Count = field(default_factory=Count)
    keyless: Count = field(default_factory=Count)
    answered: int = 0
    refused: int = 0
    in_doubt: int = 0
    slowest: float = 0.0
    slow: float = 0.0
    gap: float = 0.0
    excess: float = 0.0
    took: float = 0.0
    began: float = 0.0

    @property
    def times(self) -> int:
        return len(self.outages)

    def faults(self) -> list[str]:
        """What must hold and did not, in words."""
        found: list[str] = []
        sorts = (("in the database", self.orders), ("at a provider with keys", self.keyed), ("without", self.keyless))
        for sort, count in sorts:
            found += [f"{self.what}: an effect {sort} was lost: {number}" for number in count.lost]
            found += [f"{self.what}: an effect {sort} was doubled: {number}" for number in count.doubled]
        if self.survived < self.calls:
            found.append(f"{self.what}: {self.calls - self.survived} calls did not survive")
        if self.slow > CLEAR_S:
            found.append(f"{self.what}: a tool failed only after {self.slowest:.2f} s")
        if self.excess > GAP_S:
            found.append(f"{self.what}: a silence of {self.gap * 1e3:.0f} ms was heard")
        return found


@dataclass
class Report:
    """All of a run.

    Attributes:
        wrong: function calls with an answer that is neither their result nor one of these errors, or with none.
        calm_gap: longest silence in what WebRTC callers heard at all other times, s.
        deaf: longest time in which the model heard nothing of a caller who never stops, s.
        repeated: requests that the provider recognised by their key.
        unheard: what a caller was told and the transcript does not have, or the other way round.
        unrecorded: calls of which the database does not say that their callers hung up.
        dropped: events of calls that the gateway gave up.
        tasks: of the gateway's event loop, before the first outage and at the end.
        memory: of the gateway, MB, likewise.
        complaints: what the gateway logged as an error and should not have.
    """

    rows: list[Row] = field(default_factory=list)
    wrong: list[FunctionCall] = field(default_factory=list)
    calm_gap: float = 0.0
    deaf: float = 0.0
    repeated: int = 0
    events: Events = field(default_factory=Events)
    unheard: list[str] = field(default_factory=list)
    unrecorded: int = 0
    dropped: float = 0.0
    tasks: tuple[float, float] = (0.0, 0.0)
    memory: tuple[float, float] = (0.0, 0.0)
    complaints: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What must hold and did not, in words."""
        found = [fault for row in self.rows for fault in row.faults()]
        found += [f"a function call was answered wrongly: {call}" for call in self.wrong]
        events = self.events
        found += [f"an event came too late: {one}" for one in events.out_of_order()]
        found += [f"events are missing or too many: {one}" for one in (*events.missing(), *self.unheard)]
        if self.unrecorded:
            found.append(f"{self.unrecorded} calls are not in the database as they were")
        if self.dropped:
            found.append(f"{self.dropped:.0f} events were dropped")
        if self.tasks[1] > self.tasks[0] + MORE_TASKS:
            found.append(f"tasks gather: {self.tasks[0]:.0f}, then {self.tasks[1]:.0f}")
        found += [f"the gateway complained: {one}" for one in self.complaints]
        return found
