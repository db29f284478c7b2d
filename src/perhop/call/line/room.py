"""How much clients may say while no model session hears it: it is kept for the next one, and kept in memory."""

from __future__ import annotations

from collections.abc import Iterable

from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import ClientEvent

__all__ = ["MAX_BYTES", "Room"]

MAX_BYTES = 32 << 20
"""Of all that waits, as JSON: as much as one connection to a model holds back (:class:`perhop.models.remote`)."""


class Room:
    """What is left of it during one time without a session. Perhop's own events find some always: there are few.

    Args:
        max_events: that may wait.
    """

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._events = 0
        self._bytes = 0

    def begin(self, waiting: Iterable[ClientEvent] = ()) -> None:
        """There is no session from now on, and these wait for the next one already."""
        sizes = [len(event.to_json()) for event in waiting]
        self._events, self._bytes = len(sizes), sum(sizes)

    def take(self, event: ClientEvent) -> None:
        """Finds room for an event of a client's.

        Raises:
            ProtocolError: there is none.
        """
        size = len(event.to_json())
        if self._events >= self._max_events or self._bytes + size > MAX_BYTES:
            raise ProtocolError(
                "event_backlog_exceeded",
                "The model cannot be reached just now, and as much as may waits for it; this was dropped. Try later.",
                event_id=event.event_id,
                type_="rate_limit_exceeded",
            )
        self._events += 1
        self._bytes += size
