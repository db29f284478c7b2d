"""Which model to try, and when. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from perhop.call.kinds import ModelKind
from perhop.call.line.policy import LinePolicy

__all__ = ["Candidates"]


class Candidates:
    """The models of a call in order of preference.

    A model that fails is tried again up to ``policy.tries`` times in a row; one that refuses for good is tried once.
    Then the next one's turn comes; the last one is tried for as long as there is patience, and then the call must end.
    What worked last is what is tried next.
    """

    def __init__(self, kinds: Sequence[ModelKind], policy: LinePolicy) -> None:
        self._kinds = list(kinds)
        self._policy = policy
        self._failures = 0
        self._untried = len(kinds) - 1

    @property
    def current(self) -> ModelKind:
        """The one to try."""
        return self._kinds[0]

    def succeeded(self) -> None:
        """It works, or did until now."""
        self._failures = 0
        self._untried = len(self._kinds) - 1

    def failed(self, *, fatal: bool, patient: bool, asked_s: float | None = None) -> float | None:
        """It does not.

        Args:
            fatal: trying it again cannot help.
            patient: there is still time to try the last one again.
            asked_s: how long it asks to be left alone; longer than the longest backoff, and the next one's turn comes.

        Returns:
            Seconds to wait before trying :attr:`current`; None when there is nothing left to try.
        """
        self._failures += 1
        delay = self._policy.backoff(self._failures, asked_s=asked_s)
        too_long = delay > self._policy.backoff_max_s
        if not fatal and not too_long and self._failures < self._policy.tries:
            return delay
        if self._untried == 0:
            return delay if patient and not fatal else None
        self._untried -= 1
        self._failures = 0
        tired = self._kinds.pop(0)
        if not fatal:
            self._kinds.append(tired)
        return 0.0
