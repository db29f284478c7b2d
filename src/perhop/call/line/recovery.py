"""How a line comes to its next model session: which model is tried, when, for how long, and what it is for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from perhop.call.kinds import ModelKind
from perhop.call.line.candidates import Candidates
from perhop.call.line.host import Replacement
from perhop.call.line.policy import LinePolicy

__all__ = ["Recovery"]


class Recovery:
    """Of one call. Times are monotonic s.

    Attributes:
        why: what the next session is for while there is none.
        lost_at: since when there has been no session; None while there is one.
        retry_at: when to try again; None when nothing waits for it.
        given_up: nothing is left to try until somebody comes back.
    """

    def __init__(self, kinds: Sequence[ModelKind], policy: LinePolicy) -> None:
        self.why: Replacement = "start"
        self.lost_at: float | None = None
        self.retry_at: float | None = None
        self.given_up = False
        self._policy = policy
        self._candidates = Candidates(kinds, policy)
        self._trouble_since: float | None = None
        self._told_to_wait = False

    @property
    def kind(self) -> ModelKind:
        """The model to try."""
        return self._candidates.current

    @property
    def may_prepare(self) -> bool:
        """Whether a successor may be opened now: nothing waits to be tried again, and there is something to try."""
        return self.retry_at is None and not self.given_up

    @property
    def wait_told_at(self) -> float | None:
        """When the caller is to be told to wait; None when that is done, or there is a session."""
        if self.lost_at is None or self._told_to_wait:
            return None
        return self.lost_at + self._policy.hold_after_s

    def told_to_wait(self) -> None:
        """The caller was told."""
        self._told_to_wait = True

    def gap(self, why: Replacement, now: float) -> None:
        """From now on there is no session, and the next one is for this."""
        self.why = why
        self.lost_at = now
        if why != "reconnect":
            self._trouble_since = now

    def back(self, now: float) -> None:
        """Whoever it is for is there again: everything may be tried anew."""
        self.given_up = False
        self.lost_at = self._trouble_since = now

    def broke(self, began_at: float, now: float) -> None:
        """The session in force is lost.

        One that lived for a while has shown that its model works; one that did not is part of the trouble.
        """
        if now - began_at >= self._policy.proven_s:
            self._candidates.succeeded()
            self._trouble_since = now
        elif self._trouble_since is None:
            self._trouble_since = now

    def lasted(self) -> None:
        """The session in force lasted until it was left: the trouble before it is over."""
        self._trouble_since = None
        self._candidates.succeeded()

    def failed(self, now: float, *, fatal: bool, in_force: bool, asked_s: float | None = None) -> bool:
        """A session could not be had, or is lost.

        Args:
            fatal: trying the same model again cannot help.
            in_force: there is a session, so there is time.
            asked_s: how long the model asks to be left alone.

        Returns:
            Whether there is something to try, at :attr:`retry_at`.
        """
        if self.given_up:
            return False
        before, since = self.kind, self._trouble_since
        patient = in_force or since is None or now - since < self._policy.give_up_s
        delay = self._candidates.failed(fatal=fatal, patient=patient, asked_s=asked_s)
        if delay is None:
            self.given_up = True
            return False
        if self.kind is not before and self.why == "reconnect":
            self.why = "failover"
        self.retry_at = now + delay
        return True

    def in_force(self, now: float) -> float:
        """There is a session.

        Returns:
            How long there was none, s.
        """
        gap_s = now - self.lost_at if self.lost_at is not None else 0.0
        self.lost_at, self._told_to_wait = None, False
        return gap_s
