"""``[workers.transcript]`` and ``[workers.audit]``: what is kept of calls."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perhop.config.table import Table

__all__ = ["AuditTrailSettings", "TranscriptSettings"]


class TranscriptSettings(Table):
    """``[workers.transcript]``: what was said.

    Attributes:
        keep_days: transcripts of older calls are deleted; 0 keeps them for ever.
        max_chars: of one turn; the rest is cut off.
    """

    keep_days: Annotated[int, Field(ge=0, le=36_500)] = 30
    max_chars: Annotated[int, Field(ge=100, le=32_768)] = 16_384


class AuditTrailSettings(Table):
    """``[workers.audit]``: what happened.

    Attributes:
        page: events in one answer.
    """

    page: Annotated[int, Field(ge=1, le=500)] = 100
