"""Token buckets: how often something may happen, with time as an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["RateLimiter", "TokenBucket"]


class TokenBucket:
    """Allows ``rate`` units a second on average and ``burst`` at once.

    Args:
        rate: units a second.
        burst: units that a rested bucket holds.
        now: seconds, monotonic, the same clock as of every later call.
    """

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, *, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, *, now: float) -> bool:
        """Takes ``amount`` units if they are there; otherwise takes nothing and returns False."""
        self._refill(now)
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def throttle(self, amount: float, *, now: float) -> float:
        """Takes ``amount`` units whether they are there or not; returns how many seconds to pause to stay in step."""
        self._refill(now)
        self._level -= amount
        return max(0.0, -self._level / self._rate)

    def wait(self, amount: float, *, now: float) -> float:
        """Seconds until ``amount`` units are there; 0 when they are."""
        self._refill(now)
        return max(0.0, (min(amount, self._burst) - self._level) / self._rate)

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
            self._at = now


class RateLimiter:
    """One bucket a key, for the ``max_keys`` keys seen last; a key forgotten starts afresh.

    Args:
        per_minute: allowed a minute on average.
        burst: allowed at once; a third of a minute's worth, at least 5, when unset.
    """

    def __init__(self, per_minute: float, *, burst: float | None = None, max_keys: int = 10_000) -> None:
        self._rate = per_minute / 60
        self._burst = burst if burst is not None else max(5.0, per_minute / 3)
        self._max_keys = max_keys
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, key: Hashable, *, now: float) -> float:
        """Counts one event of ``key``; returns 0, or the seconds to wait when it is one too many."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now=now)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return 0.0 if bucket.take(1, now=now) else bucket.wait(1, now=now)
