"""How late the event loop is: whatever holds it up delays every call of the process."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Gauge, Histogram

__all__ = ["INTERVAL_S", "LoopLag"]

INTERVAL_S = 0.05
"""Between two looks; a callback that takes longer than this is seen in any case, a shorter one by chance."""

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0)


class LoopLag:
    """Has itself called twenty times a second and notes how much later than asked that was."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = Histogram(
            "perhop_loop_lag_seconds",
            "How much later than due the event loop called a timer.",
            buckets=_SECONDS,
            registry=registry,
        )
        longest = Gauge("perhop_loop_lag_longest_seconds", "The longest lag since the last scrape.", registry=registry)
        longest.set_function(self._take_longest)
        self._longest = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Watches the running loop until :meth:`close`."""
        self._loop = asyncio.get_running_loop()
        self._arm(self._loop)

    def close(self) -> None:
        """Watches no more; idempotent."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + INTERVAL_S
        self._timer = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        loop = self._loop
        if loop is None:
            return
        # Loops call timers up to the resolution of their clock early.
        lag = max(0.0, loop.time() - self._due)
        self._lag.observe(lag)
        if lag > self._longest:
            self._longest = lag
        self._arm(loop)

    def _take_longest(self) -> float:
        longest, self._longest = self._longest, 0.0
        return longest
