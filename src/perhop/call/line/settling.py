"""The last words of a session that was left while it answered: what that has used, for its model charges for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from perhop.realtime.events import ClientEvent, ResponseCancel, ResponseDone, ServerEvent
from perhop.realtime.ids import IdFactory

__all__ = ["SETTLE_S", "Settling"]

SETTLE_S = 1.0
"""How long a session may take for it."""


class Settling:
    """Cancels what is being answered, waits for the ends of it, and closes the session.

    Args:
        send: to the session.
        close: the session.
        told: takes the end of each response, with its usage.
    """

    def __init__(
        self,
        *,
        send: Callable[[ClientEvent], None],
        close: Callable[[], None],
        told: Callable[[ResponseDone], None],
        new_id: IdFactory,
    ) -> None:
        self._send = send
        self._close = close
        self._told = told
        self._new_id = new_id
        self._due: set[str] = set()
        self._timer = asyncio.get_running_loop().call_later(SETTLE_S, close)

    def cancel(self, responses: Iterable[str]) -> None:
        """Cancels these; a model in process tells their end at once."""
        self._due = set(responses)
        for response_id in sorted(self._due):
            self._send(ResponseCancel(event_id=self._new_id("event_"), response_id=response_id))

    def observe(self, event: ServerEvent) -> None:
        """An event of the session."""
        if not isinstance(event, ResponseDone) or event.response.id not in self._due:
            return
        self._due.discard(event.response.id)
        self._told(event)
        if not self._due:
            self.closed()
            self._close()

    def closed(self) -> None:
        """The session says no more."""
        self._timer.cancel()
