"""How much earlier a source's audio could be sent: what is left of a delay once its cause is gone.

A source that gives audio in real time and was late once (the network, a busy machine, a model that had to connect)
stays behind by as much for the rest of its response: what waits in the queue never gets less by itself, and every frame
comes in time by a margin that nobody needs. This notes how long what was there would still have lasted when more came,
and says what can be made up.
"""

from __future__ import annotations

__all__ = ["Slack"]

PERIOD = 1.0
"""s; a margin counts as not needed after two of these. A late frame of this time keeps the delay that it needs."""

KEPT = 0.003
"""s of the margin that stay: what the timers of a busy process need."""

MIN_GAIN = 0.005
"""s; less is not worth the unrest."""

MIN_CHUNKS = 20
"""In two periods: sparser ones say little about when the next one will come."""

MAX_SPREAD = 0.1
"""s between the least and the greatest margin; a source that is faster than real time soon has more."""

MAX_SLACK = 0.1
"""s made up at a time, which takes more than a second."""


class Slack:
    """The margin of the one source that is played now. Times in s."""

    __slots__ = ("_chunks", "_least", "_most", "_past", "_until")

    def __init__(self) -> None:
        self._until = 0.0
        self._past = (0.0, 0.0, 0)  # least, most, chunks of the period before
        self._least, self._most = float("inf"), 0.0
        self._chunks = 0

    def restart(self, now: float) -> None:
        """Audio came after it was due, or is the first of its kind: nothing is known, nothing can be made up."""
        self._until = now + PERIOD
        self._past = (0.0, 0.0, 0)
        self._least, self._most = float("inf"), 0.0
        self._chunks = 0

    def note(self, margin: float, now: float) -> float:
        """Takes how long what was there would still have lasted when a chunk came; returns what can be made up.

        0 in most cases. What is returned is taken for done: the margins after it are measured anew.
        """
        if margin < self._least:
            self._least = margin
        if margin > self._most:
            self._most = margin
        self._chunks += 1
        return self._judge(now) if now >= self._until else 0.0

    def _judge(self, now: float) -> float:
        least, most, chunks = self._past
        self._past = self._least, self._most, self._chunks
        self._until = now + PERIOD
        least, most = min(least, self._least), max(most, self._most)
        chunks += self._chunks
        self._least, self._most, self._chunks = float("inf"), 0.0, 0
        if chunks < MIN_CHUNKS or most - least > MAX_SPREAD or least < KEPT + MIN_GAIN:
            return 0.0
        self.restart(now)
        return min(least - KEPT, MAX_SLACK)
