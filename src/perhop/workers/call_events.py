"""Events of calls, as workers that consume them read them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import structlog
from pydantic import Field

from perhop.store import StoreDownError
from perhop.tools.bus import ANY, Consumer, Message, NotNowError, call_subject
from perhop.tools.bus.seldom import Seldom
from perhop.tools.bus.subjects import parts

__all__ = ["CallEvent", "CallId", "EventReader", "consumer_of"]

_log = structlog.get_logger(__name__)

CallId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:@-]{1,128}$")]
"""Of a call, as tools take it."""

_MAX_ID = 200
_LATEST = 32_503_680_000.0
"""The year 3000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One event of a call.

    Attributes:
        id: the same when it comes again.
        tenant: the subject's, because that is what permissions on the bus are about.
        at: when it happened, UTC.
        data: what it says, by its kind; see :mod:`perhop.call.observers.bus`.
    """

    id: str
    tenant: str
    call_id: str
    at: datetime
    type: str
    data: dict[str, Any] = field(repr=False)


class EventReader:
    """Reads messages as events; what is none is dropped, because it will be none the next time either.

    Args:
        worker: its name, for the log.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._seldom = Seldom()

    def read(self, message: Message) -> CallEvent | None:
        """The event in a message."""
        try:
            return _read(message)
        except (ValueError, KeyError, TypeError, IndexError):
            if (times := self._seldom.now("malformed")) is not None:
                _log.warning("event of a call dropped: malformed", worker=self._worker, times=times)
            return None


def consumer_of(
    kind: Literal["transcript", "lifecycle"],
    *,
    name: str,
    reader: EventReader,
    take: Callable[[CallEvent], Awaitable[None]],
    attempts: int = 600,
) -> Consumer:
    """A consumer of the events of all calls.

    However long the database is away, events wait for it, as long as the bus keeps them.

    Args:
        take: what to do with an event.
        attempts: after which one that cannot be taken for another reason is given up, a second each.
    """

    async def handle(message: Message) -> None:
        event = reader.read(message)
        if event is None:
            return
        try:
            await take(event)
        except StoreDownError as error:
            raise NotNowError(str(error)) from None

    subject = call_subject(ANY, ANY, kind)
    return Consumer(name=name, subject=subject, handle=handle, attempts=attempts, timeout_s=15.0, retry_wait_s=1.0)


def _read(message: Message) -> CallEvent:
    _, _, tenant, call_id, _ = parts(message.subject)
    body = json.loads(message.payload)
    event_id, at, data = body["id"], body["at"], body["data"]
    if not (isinstance(event_id, str) and 0 < len(event_id) <= _MAX_ID and "\0" not in event_id):
        raise ValueError("id")
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < _LATEST:
        raise ValueError("at")
    kind = data["type"]
    if not isinstance(kind, str):
        raise TypeError("type")
    return CallEvent(
        id=event_id, tenant=tenant, call_id=call_id, at=datetime.fromtimestamp(at, UTC), type=kind, data=data
    )
