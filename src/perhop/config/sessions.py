"""``[sessions]``: how calls outlive the sessions of models somewhere else."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perhop.config.table import Table

__all__ = ["SessionSettings"]


class SessionSettings(Table):
    """When a model session is replaced, and how hard a lost one is tried again.

    Attributes:
        margin_s: before a session's end, a successor takes over as soon as no response is being given, and for the last
            fifth whatever is going on.
        lead_s: before that, the successor is opened and waits for a quiet moment. Both shrink for short sessions.
        tries: failures of one model in a row before the next of ``fallback_models`` has its turn.
        give_up_s: how long the last model is tried without a session, or the sideband of a direct call; then the call
            ends with ``model_failed``.
        hold_after_s: without a session for so long, the caller is told to wait.
        history_tokens: about how much of the conversation a new session is told.
        gap_audio_s: caller audio kept for the next session.
    """

    margin_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    lead_s: Annotated[float, Field(ge=0, le=3600)] = 60.0
    tries: Annotated[int, Field(ge=1, le=100)] = 4
    give_up_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    hold_after_s: Annotated[float, Field(ge=0, le=60)] = 2.5
    history_tokens: Annotated[int, Field(ge=100, le=1_000_000)] = 16_000
    gap_audio_s: Annotated[float, Field(ge=1, le=600)] = 60.0
