"""How many tools run at once: for the whole process, and for one call so that no call takes all places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from perhop.errors import LimitExceededError

__all__ = ["Admission"]


@dataclass(slots=True)
class _CallPlaces:
    places: asyncio.Semaphore
    users: int = 0


class Admission:
    """Places in which tools run; who finds none free waits, in order, and not too many may wait.

    Args:
        total: running at once in this process.
        per_call: running at once for one call.
        pending_per_call: running and waiting for one call.
    """

    def __init__(self, *, total: int, per_call: int, pending_per_call: int) -> None:
        self._places = asyncio.Semaphore(total)
        self._per_call = per_call
        self._pending_per_call = pending_per_call
        self._calls: dict[str, _CallPlaces] = {}

    def __len__(self) -> int:
        """Running and waiting, over all calls."""
        return sum(call.users for call in self._calls.values())

    @asynccontextmanager
    async def place(self, call_id: str) -> AsyncIterator[None]:
        """Waits for a place and holds it.

        Raises:
            LimitExceededError: as many as may are pending for this call already.
        """
        call = self._calls.setdefault(call_id, _CallPlaces(asyncio.Semaphore(self._per_call)))
        if call.users >= self._pending_per_call:
            raise LimitExceededError(f"{call.users} tools are pending for this call")
        call.users += 1
        try:
            async with call.places, self._places:
                yield
        finally:
            call.users -= 1
            if not call.users:
                del self._calls[call_id]
