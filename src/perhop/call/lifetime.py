"""When a call began, when it must end, and how long it took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["Lifetime"]


class Lifetime:
    """The time of one call.

    Args:
        max_s: how long it may last; None for as long as it likes.
        clock: seconds, monotonic.
        wall: Unix time, s.

    Attributes:
        started_at: Unix time, s.
        expires_at: Unix time, whole seconds; 0 without a limit.
    """

    def __init__(
        self,
        max_s: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.started_at = wall()
        self.expires_at = int(self.started_at + max_s) if max_s is not None else 0
        self._clock = clock
        self._began = clock()
        self._max_s = max_s
        self._seconds: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """So far, or in all once it ended."""
        return self._seconds if self._seconds is not None else self._clock() - self._began

    @property
    def limit(self) -> str:
        """The limit, for people."""
        seconds = round(self._max_s or 0)
        return f"{seconds // 60} minutes" if seconds >= 120 and seconds % 60 == 0 else f"{seconds} seconds"

    def watch(self, expired: Callable[[], None]) -> None:
        """Has ``expired`` called at the limit, unless :meth:`end` comes first."""
        if self._max_s is not None:
            delay = max(0.0, self._began + self._max_s - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, expired)

    def end(self) -> None:
        """The call is over."""
        self._seconds = self.seconds
        if self._timer is not None:
            self._timer.cancel()
