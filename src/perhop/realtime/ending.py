"""How a response ends, in the terms of ``response.done``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perhop.realtime.events import ResponseFailure, StatusDetails

__all__ = ["Ending"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Status and the reason for it."""

    status: Literal["completed", "cancelled", "incomplete", "failed"]
    details: StatusDetails | None = None

    @classmethod
    def cancelled(cls, reason: Literal["turn_detected", "client_cancelled"]) -> Ending:
        """Somebody stopped it."""
        return cls("cancelled", StatusDetails(type="cancelled", reason=reason))

    @classmethod
    def incomplete(cls, reason: Literal["max_output_tokens", "content_filter"]) -> Ending:
        """It was cut short."""
        return cls("incomplete", StatusDetails(type="incomplete", reason=reason))

    @classmethod
    def failed(cls, code: str, message: str, *, type_: str = "server_error") -> Ending:
        """It could not be produced."""
        return cls(
            "failed", StatusDetails(type="failed", error=ResponseFailure(type=type_, code=code, message=message))
        )
