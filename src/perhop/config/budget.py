"""``[budget]`` and ``[prices]``: what calls may use, and what that costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from perhop.config.table import Table

__all__ = ["BudgetSettings", "PriceSettings", "WarningSettings"]

Amount = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=16, decimal_places=9)]


class PriceSettings(Table):
    """``[prices."gpt-realtime*"]``: what a model costs, per million tokens; ``*`` and ``?`` in the name stand for
    anything, and the most exact name that fits counts. A price that is left out is 0; a cached one is that of what is
    not cached.

    Attributes:
        audio_minute: of a model that transcribes and charges by time.
    """

    text_in: Amount = Decimal(0)
    text_cached: Amount | None = None
    text_out: Amount = Decimal(0)
    audio_in: Amount = Decimal(0)
    audio_cached: Amount | None = None
    audio_out: Amount = Decimal(0)
    image_in: Amount = Decimal(0)
    image_cached: Amount | None = None
    audio_minute: Amount = Decimal(0)


class BudgetSettings(Table):
    """``[budget]`` (every call, and this process as a whole), ``[keys.budget]`` and ``[agents.budget]``; where several
    apply, each of them does. Unset is unlimited.

    Attributes:
        call_s: length of one call.
        call_tokens: tokens of one call, of all kinds.
        call_cost: what one call may cost, in the currency of the price table.
        calls: live calls; a further one is refused with 429.
        day_tokens: tokens of a day, UTC; then live calls end, and new ones are refused until midnight.
        day_cost: what a day may cost, likewise.
    """

    call_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    call_tokens: Annotated[int, Field(ge=1)] | None = None
    call_cost: Amount | None = None
    calls: Annotated[int, Field(ge=0)] | None = None
    day_tokens: Annotated[int, Field(ge=0)] | None = None
    day_cost: Amount | None = None


class WarningSettings(Table):
    """``[warning]``: what a caller hears before a budget ends the call. The agent says it in its own words and in the
    language of the conversation.

    Attributes:
        at: share of a budget at which the caller is told; 1 tells nobody.
        text: what to tell; empty says nothing.
        goodbye: what to say at the end; empty says nothing.
        grace_s: how long saying goodbye may take.
    """

    at: Annotated[float, Field(gt=0, le=1)] = 0.9
    text: str = "Our time for this call is almost up, so let us finish what is most important."
    goodbye: str = "The time for this call is up. Thank you for calling, and goodbye."
    grace_s: Annotated[float, Field(ge=0, le=60)] = 10.0
