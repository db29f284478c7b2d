"""One line instead of hundreds: for what repeats as long as something is broken."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Seldom"]


class Seldom:
    """Says when something may be said again.

    Args:
        interval_s: between two of the same kind.
        clock: seconds, monotonic.
    """

    MAX_KINDS = 64

    def __init__(self, interval_s: float = 30.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}

    def now(self, kind: str) -> int | None:
        """How often this kind happened since it was said last, this time included; None when it is too early to say.

        Args:
            kind: one of a few, never text from outside.
        """
        now = self._clock()
        last, missed = self._said.get(kind, (now - self._interval_s, 0))
        if now - last < self._interval_s:
            self._said[kind] = (last, missed + 1)
            return None
        if len(self._said) >= self.MAX_KINDS:
            self._said.clear()
        self._said[kind] = (now, 0)
        return missed + 1
