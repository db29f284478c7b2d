"""Many deadlines on one timer: whoever waits for a moment says so, and is called at it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Protocol

__all__ = ["NEVER", "TIMER_RESOLUTION", "Deadlines", "Waiter"]

NEVER = float("inf")

TIMER_RESOLUTION = 0.001
"""s; some event loops (uvloop) count in whole milliseconds and call half of one early. What is this close is due:
asking for the rest of the time again would only spin."""


class Waiter(Protocol):
    """Something that is called at a time of its choosing.

    Attributes:
        wake_at: owned by :class:`Deadlines`; ``inf`` when no call is due.
    """

    wake_at: float

    def on_deadline(self, now: float) -> None:
        """The moment has come; arm again for a next one. Must not raise."""


class Deadlines:
    """A heap of deadlines and one timer of the event loop for the earliest.

    A waiter has one deadline at a time. Arming it earlier moves it; arming it later does nothing, since being called
    too early costs less than taking an entry out of a heap. Waiters recompute what they wait for when called.
    """

    __slots__ = ("_count", "_heap", "_loop", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, Waiter]] = []
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER

    def arm(self, waiter: Waiter, when: float) -> None:
        """Calls ``waiter.on_deadline`` at ``when``, in the loop's time, unless it is due earlier anyway."""
        if when >= waiter.wake_at:
            return
        waiter.wake_at = when
        heapq.heappush(self._heap, (when, next(self._count), waiter))
        if when < self._timer_at:
            self._set_timer(when)

    def disarm(self, waiter: Waiter) -> None:
        """Forgets its deadline."""
        waiter.wake_at = NEVER

    def close(self) -> None:
        """Forgets all of them."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        now = self._loop.time()
        self._timer_at = NEVER
        self._timer = None
        heap = self._heap
        try:
            while heap and heap[0][0] <= now + TIMER_RESOLUTION:
                when, _, waiter = heapq.heappop(heap)
                if waiter.wake_at == when:
                    waiter.wake_at = NEVER
                    waiter.on_deadline(max(now, when))
        finally:  # whatever is wrong with one waiter, the others are still called
            while heap and heap[0][2].wake_at != heap[0][0]:
                heapq.heappop(heap)
            if heap and heap[0][0] < self._timer_at:
                self._set_timer(heap[0][0])
