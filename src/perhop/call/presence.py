"""Whether the caller is there: lost ones are waited for, and who comes back goes on over another leg.

While nobody is there the model has no session, so nobody pays for one; the conversation is kept.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from perhop.call.absence import Absence, CallEndedError
from perhop.call.away import AwayLeg
from perhop.call.boundary import Boundary
from perhop.call.conversation import Conversation
from perhop.call.legs import CallerLeg, EndReason

__all__ = ["Presence", "PresenceHost"]

_log = structlog.get_logger(__name__)


class PresenceHost(Protocol):
    """The call."""

    id: str
    conversation: Conversation
    ended: EndReason | None

    @property
    def leg(self) -> CallerLeg:
        """The caller's leg in use."""

    @property
    def connected(self) -> bool:
        """Whether the caller has heard us at all."""

    def use(self, leg: CallerLeg) -> None:
        """Goes on over this leg."""

    def hang_up(self, reason: EndReason, message: str | None = None) -> None:
        """Ends the call."""


class Presence:
    """The caller of one call.

    Args:
        boundary: ends the model session, and opens another one that is told the conversation.
        absence: how long the caller may stay away.
    """

    def __init__(self, call: PresenceHost, boundary: Boundary, absence: Absence) -> None:
        self._call = call
        self._boundary = boundary
        self._absence = absence

    @property
    def secret(self) -> str | None:
        """Whoever presents it is the caller; None where nobody may come back."""
        return self._absence.secret if self._absence.allowed else None

    @property
    def waiting(self) -> bool:
        """Whether the caller is away."""
        return self._absence.waiting

    def gone(self, reason: EndReason) -> None:
        """The leg is closed. One who was lost may come back, anybody else hung up."""
        call = self._call
        lost = reason in (EndReason.CALLER_LOST, EndReason.CALLER_NEVER_CONNECTED)
        if not lost or not call.connected or not self._absence.allowed or call.ended is not None:
            call.hang_up(reason)
            return
        self._note_what_was_heard()
        call.use(AwayLeg(call.leg))
        _log.info("caller lost, waiting", seconds=self._absence.window_s)
        self._boundary.suspend_model()
        self._absence.begin(lambda: call.hang_up(EndReason.CALLER_LOST))

    def back(self, leg: CallerLeg) -> None:
        """The caller goes on over this leg, after an absence or without having been missed.

        Raises:
            CallEndedError: the call is over.
        """
        call = self._call
        if call.ended is not None:
            raise CallEndedError(call.id)
        if not self._absence.waiting:
            self._leave_leg()
        self._absence.over()
        _log.info("caller is back", transport=leg.transport)
        call.use(leg)
        self._boundary.resume_model()

    def close(self) -> None:
        """The call is over."""
        self._absence.over()

    def _leave_leg(self) -> None:
        """An answer that was being made begins again, for the new leg heard nothing of it; one that was playing ends
        where it was. Either way a further model session is told so."""
        call = self._call
        answering = call.conversation.answering
        self._note_what_was_heard()
        if answering:
            self._boundary.suspend_model()
        call.leg.close(EndReason.CALLER_LOST)

    def _note_what_was_heard(self) -> None:
        """What the leg had not played will not be heard any more."""
        history, leg = self._call.conversation.history, self._call.leg
        for entry in history.unplayed():
            history.cut(entry.item_id, leg.position(entry.item_id).played_ms)
            history.played_out(entry.response_id)
