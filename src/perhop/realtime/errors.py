"""What a peer did wrong, in the protocol's own terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perhop.errors import PerhopError

if TYPE_CHECKING:
    from perhop.realtime.events.error import ErrorEvent

__all__ = ["ProtocolError"]


class ProtocolError(PerhopError):
    """A client event was refused; nothing else changed. It becomes one ``error`` event.

    Attributes:
        code: e.g. ``invalid_value``; the codes of the Realtime API's own error table.
        message: what was wrong and what to do, for the person who wrote the client.
        param: dotted path of the offending field, e.g. ``session.tools[0].name``.
        event_id: the client's own id of the refused event, when it gave one.
        type_: the error's class, nearly always ``invalid_request_error``.
    """

    def __init__(
        self,
        code: str | None,
        message: str,
        param: str | None = None,
        event_id: str | None = None,
        type_: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.event_id = event_id
        self.type = type_

    def to_event(self, event_id: str) -> ErrorEvent:
        """The ``error`` event to send, itself named ``event_id``; all five keys of ``error`` are present."""
        from perhop.realtime.events.error import ErrorDetail, ErrorEvent

        return ErrorEvent(
            event_id=event_id,
            error=ErrorDetail(
                type=self.type, code=self.code, message=self.message, param=self.param, event_id=self.event_id
            ),
        )

    def for_event(self, event_id: str | None) -> ProtocolError:
        """The same error, naming the client event it answers unless it already names one."""
        if self.event_id is None:
            self.event_id = event_id
        return self
