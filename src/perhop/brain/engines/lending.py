"""A bounded number of decoders, lent to utterances in the order they ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from perhop.brain.engines.worker import Output

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """Makes what it lends when it is first needed (the first at once), and never more than ``limit``."""

    def __init__(self, make: Callable[[], T], *, limit: int) -> None:
        self._make = make
        self._limit = limit
        self._idle = [make()]
        self._made = 1
        self._waiting: deque[Output] = deque()

    def take(self, borrower: Output, *, prefer: Callable[[T], bool] = lambda _: False) -> T | None:
        """One that is idle, a preferred one if there is; None when all are lent: then the borrower's job is resumed
        when its turn has come."""
        if not self._idle and self._made < self._limit:
            self._idle.append(self._make())
            self._made += 1
        if not self._idle:
            if borrower not in self._waiting:
                self._waiting.append(borrower)
            return None
        chosen = next(filter(prefer, self._idle), self._idle[-1])
        self._idle.remove(chosen)
        return chosen

    def give_back(self, lent: T, *, worn: bool = False) -> None:
        """Takes one back, or makes another in its place when it is worn."""
        self._idle.append(self._make() if worn else lent)
        while self._waiting:
            output = self._waiting.popleft()
            if not output.over:
                output.resume()
                return
