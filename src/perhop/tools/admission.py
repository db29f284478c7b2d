"""How many tools run at once: in the whole process, for one call so that no call takes all places, and of one tool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from perhop.errors import LimitExceededError
from perhop.tools.base import Tool

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
        self._tools: WeakKeyDictionary[Tool, asyncio.Semaphore] = WeakKeyDictionary()

    def __len__(self) -> int:
        """Running and waiting, over all calls."""
        return sum(call.users for call in self._calls.values())

    @asynccontextmanager
    async def place(self, call_id: str, tool: Tool | None = None) -> AsyncIterator[None]:
        """Waits for a place and holds it.

        Args:
            tool: also wait until fewer than its ``max_concurrent`` run.

        Raises:
            LimitExceededError: as many as may are pending for this call already.
        """
        call = self._calls.setdefault(call_id, _CallPlaces(asyncio.Semaphore(self._per_call)))
        if call.users >= self._pending_per_call:
            raise LimitExceededError(f"{call.users} tools are pending for this call")
        call.users += 1
        try:
            # The narrower place first: who waits for one tool must not keep others from theirs.
            async with call.places, self._of(tool), self._places:
                yield
        finally:
            call.users -= 1
            if not call.users:
                del self._calls[call_id]

    def _of(self, tool: Tool | None) -> asyncio.Semaphore | nullcontext[None]:
        if tool is None or tool.max_concurrent is None:
            return nullcontext()
        return self._tools.setdefault(tool, asyncio.Semaphore(tool.max_concurrent))
