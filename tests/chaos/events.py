"""Events of calls as a consumer on the bus gets them, while the bus and the database come and go."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from perhop.config.bus import BusSettings
from perhop.tools.bus import Consumer, Message, NatsBus

__all__ = ["Events"]

ARRIVED_S = 20.0
KINDS = ("lifecycle", "transcript")


@dataclass
class Events:
    """What came, in the order it came.

    A server that is killed may forget how far a consumer was, and hand out again what it still keeps. So this one does
    what every consumer has to: it looks at the ids.

    Attributes:
        lists: events by kind and call.
        again: how many were known by their ids already.
    """

    lists: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    again: int = 0
    _known: set[str] = field(default_factory=set)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def count(self) -> int:
        return sum(map(len, self.lists.values()))

    @asynccontextmanager
    async def followed(self, settings: BusSettings) -> AsyncIterator[None]:
        """Consumes for as long as this lasts."""
        bus = await NatsBus.open(settings, name="chaos", wait_s=5)
        try:
            for kind in KINDS:
                subject = f"perhop.calls.*.*.{kind}"
                await bus.consume(Consumer(name=f"chaos-{kind}", subject=subject, handle=self._take))
            yield
        finally:
            await bus.close()

    async def whole(self, calls: set[str]) -> None:
        """Waits until the last event of each of these calls is here."""
        async with asyncio.timeout(ARRIVED_S):
            while not all(self._ended(call) for call in calls):
                self._more.clear()
                await self._more.wait()

    def out_of_order(self) -> list[str]:
        """Ids of events that came after a later one of the same call."""
        found: list[str] = []
        for events in self.lists.values():
            numbers = [int(event["id"].rpartition("-")[2], 16) for event in events]
            found += [events[at]["id"] for at in range(1, len(numbers)) if numbers[at] < numbers[at - 1]]
        return found

    def missing(self) -> list[str]:
        """Where the figures at the end of a call say that there was more or less than came."""
        found: list[str] = []
        for (kind, call), events in self.lists.items():
            if kind != "lifecycle":
                continue
            types = [event["data"]["type"] for event in events]
            end = events[-1]["data"]
            if (types[0], types[-1]) != ("started", "ended"):
                found.append(f"{call}: from {types[0]} to {types[-1]}")
            if types.count("tool") != end["tool_calls"]:
                found.append(f"{call}: {types.count('tool')} tools of {end['tool_calls']}")
            turns = Counter(event["data"]["number"] for event in events if event["data"]["type"] == "turn")
            expected = range(1, max(turns, default=0) + 1)
            found += [f"{call}: turn {number} × {turns[number]}" for number in expected if turns[number] != 1]
        return found

    def said(self, call: str, role: str) -> int:
        """How often this side said something."""
        return sum(event["data"].get("role") == role for event in self.lists["transcript", call])

    def _ended(self, call: str) -> bool:
        events = self.lists["lifecycle", call]
        return bool(events) and events[-1]["data"]["type"] == "ended"

    async def _take(self, message: Message) -> None:
        event = json.loads(message.payload)
        if event["id"] in self._known:
            self.again += 1
            return
        self._known.add(event["id"])
        self.lists[event["kind"], event["call_id"]].append(event)
        self._more.set()
