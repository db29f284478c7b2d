"""Events of calls for tests, as a gateway sends them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from perhop.tools.bus import Bus, CallEventKind, call_subject

__all__ = ["BEGIN", "Gateway", "until"]

BEGIN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
_numbers = itertools.count()

T = TypeVar("T")


class Gateway:
    """Tells a bus what happens in one call."""

    def __init__(self, bus: Bus, call_id: str, *, tenant: str = "default") -> None:
        self.bus = bus
        self.call_id = call_id
        self.tenant = tenant
        self.events = 0

    async def tell(self, kind: CallEventKind, at_s: float, data: dict[str, Any], *, event_id: str | None = None) -> str:
        """Emits an event; returns its id, by which it can be emitted again."""
        event_id = event_id or f"{self.call_id}-{next(_numbers):x}"
        body = {
            "id": event_id,
            "tenant": self.tenant,
            "call_id": self.call_id,
            "kind": kind,
            "at": (BEGIN + timedelta(seconds=at_s)).timestamp(),
            "data": data,
        }
        # Another message id on the bus: what is redelivered must be recognised by whoever takes it.
        await self.bus.keep(
            call_subject(self.tenant, self.call_id, kind),
            orjson.dumps(body),
            message_id=f"m{next(_numbers)}-{event_id}",
        )
        return event_id

    async def begin(self, agent: str | None = "desk", key: str | None = "web") -> str:
        return await self.tell("lifecycle", 0, {"type": "started", "agent": agent, "transport": "webrtc", "key": key})

    async def say(
        self, at_s: float, role: str, text: str, *, item_id: str = "item_1", event_id: str | None = None
    ) -> str:
        data = {"type": "said", "role": role, "item_id": item_id, "text": text, "spoken": True}
        return await self.tell("transcript", at_s, data, event_id=event_id)

    async def end(self, at_s: float, reason: str = "caller_hangup") -> str:
        return await self.tell("lifecycle", at_s, {"type": "ended", "reason": reason, "turns": 1})


async def until(look: Callable[[], Awaitable[T]], condition: Callable[[T], bool]) -> T:
    """What is there once it is as expected: consumers take their time."""
    async with asyncio.timeout(15):
        while True:
            found = await look()
            if condition(found):
                return found
            await asyncio.sleep(0.02)
