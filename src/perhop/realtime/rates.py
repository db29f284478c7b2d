"""What a session may ask of the model in a minute, and what it is told about that."""

from __future__ import annotations

from dataclasses import dataclass

from perhop.realtime.events import RateLimit

__all__ = ["RateLimits", "Rates"]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits of one session, by the minute; they refill steadily."""

    responses_per_minute: int
    tokens_per_minute: int


@dataclass(slots=True)
class _Level:
    limit: int
    remaining: float
    at: float

    def refill(self, now: float) -> None:
        self.remaining = min(self.limit, self.remaining + (now - self.at) * self.limit / 60)
        self.at = now

    def shown(self, name: str) -> RateLimit:
        missing = self.limit - self.remaining
        return RateLimit(
            name=name,
            limit=self.limit,
            remaining=max(0, int(self.remaining)),
            reset_seconds=round(missing * 60 / self.limit, 3),
        )


class Rates:
    """Counts responses when they begin and tokens when they end, which is when they are known.

    Tokens may thus go below zero once; nothing begins then until they are back.
    """

    def __init__(self, limits: RateLimits, *, now: float) -> None:
        self._responses = _Level(limits.responses_per_minute, limits.responses_per_minute, now)
        self._tokens = _Level(limits.tokens_per_minute, limits.tokens_per_minute, now)

    def begin(self, now: float) -> str | None:
        """Counts one response.

        Returns:
            Why there can be none now, or None.
        """
        self._refill(now)
        if self._responses.remaining < 1:
            return f"{self._responses.limit} responses a minute are this session's limit; wait a moment."
        if self._tokens.remaining <= 0:
            return f"{self._tokens.limit} tokens a minute are this session's limit; wait a moment."
        self._responses.remaining -= 1
        return None

    def end(self, tokens: int, now: float) -> list[RateLimit]:
        """Counts what a response used.

        Returns:
            What is left, for ``rate_limits.updated``.
        """
        self._refill(now)
        self._tokens.remaining -= tokens
        return [self._responses.shown("requests"), self._tokens.shown("tokens")]

    def _refill(self, now: float) -> None:
        self._responses.refill(now)
        self._tokens.refill(now)
