"""How long to wait before another try."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double, each shortened by chance, so that many who failed together do not come back together.

    Attributes:
        first_s: before the second try, at most.
        most_s: no wait is longer, unless the other side asks for it.
        patience_s: longest wait that the other side may ask for; for a longer one nobody waits.
        chance: 0 to 1.
    """

    first_s: float = 0.2
    most_s: float = 2.0
    patience_s: float = 5.0
    chance: Callable[[], float] = random.random

    def wait_s(self, tries: int, *, asked_s: float | None = None) -> float | None:
        """How long to wait after this many tries; None: do not try again.

        Args:
            asked_s: what the other side asked for.
        """
        if asked_s is not None and asked_s > self.patience_s:
            return None
        longest = min(self.most_s, self.first_s * 2.0 ** (tries - 1))
        return max(longest * (0.5 + 0.5 * self.chance()), asked_s or 0.0)
