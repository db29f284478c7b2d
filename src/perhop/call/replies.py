"""Whose event an ``error`` answers. A call has one model session but several clients: its caller and its controllers.

An error that answers an event is for the client who sent that event, and for nobody else: the others did nothing wrong
and could not know what it is about. Clients choose event ids as they like, or choose none, and two of the same make
count in the same way, so each event goes to the model under an id of the call's own and gets its own back in the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from perhop.realtime.events import ClientEvent, ErrorEvent, ServerEvent
from perhop.realtime.ids import IdFactory, new_id

__all__ = ["Replies", "Reply"]

Reply = Callable[[ServerEvent], None]
"""Reaches one client alone; also what tells one client from another."""

MAX_OPEN = 512
"""Events whose sender is remembered. An error that comes later answers nobody's event and goes to everybody."""

_E = TypeVar("_E", bound=ClientEvent)


class Replies:
    """Senders of the events that the model was given lately."""

    def __init__(self, new_id: IdFactory = new_id) -> None:
        self._new_id = new_id
        self._open: dict[str, tuple[Reply | None, str | None]] = {}

    def sign(self, event: _E, reply: Reply | None) -> _E:
        """The event as the model gets it.

        Args:
            reply: of the client who sent it; None for an event that Perhop sends by itself.
        """
        signed = self._new_id("event_")
        self._open[signed] = reply, event.event_id
        if len(self._open) > MAX_OPEN:
            del self._open[next(iter(self._open))]
        return event.model_copy(update={"event_id": signed})

    def answer(self, error: ErrorEvent) -> tuple[Reply | None, ErrorEvent] | None:
        """Whom this error is for (None: for Perhop itself), under the id its event came with.

        Returns:
            None when it answers no event that is remembered.
        """
        found = self._open.pop(error.error.event_id or "", None)
        if found is None:
            return None
        reply, event_id = found
        return reply, error.model_copy(update={"error": error.error.model_copy(update={"event_id": event_id})})
