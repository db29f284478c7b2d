"""The ``error`` event."""

from __future__ import annotations

from typing import Literal

from perhop.realtime.events.base import ServerEvent
from perhop.realtime.wire import WireModel

__all__ = ["ErrorDetail", "ErrorEvent"]


class ErrorDetail(WireModel):
    """What went wrong; ``event_id`` is that of the client event at fault. All five keys are always sent."""

    type: str
    code: str | None = None
    message: str
    param: str | None = None
    event_id: str | None = None


class ErrorEvent(ServerEvent):
    """A client event failed, or the server did. The session goes on unless the transport closes right after."""

    type: Literal["error"] = "error"
    error: ErrorDetail
