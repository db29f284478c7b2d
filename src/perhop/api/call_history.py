"""``/api/calls/history``: calls that were written down, past ones and those that go on, and what they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from perhop.api.errors import ApiError, ErrorBody
from perhop.api.services import Services, Use
from perhop.call.legs import EndReason, HopStats, Transport
from perhop.call.snapshot import CallSnapshot, CallUsage
from perhop.store import Database
from perhop.store.calls import CallFilter, DayTotal, days, list_calls
from perhop.store.housekeeping import CRASHED
from perhop.store.models import CallRow

__all__ = ["router", "stored_snapshot"]

MAX_PAGE = 200

_NO_NUL = r"^[^\x00]*$"
"""PostgreSQL has no text with the character 0 in it."""

_ERRORS: dict[int | str, dict[str, object]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "A value is wrong; the message says which.",
        401: "The bearer is missing or unknown.",
        403: "The bearer may not do this.",
        404: "This process keeps no calls.",
        503: "The database does not answer.",
    }.items()
}

router = APIRouter(prefix="/api/calls/history", tags=["Perhop"], responses=_ERRORS)


class StoredCall(BaseModel):
    """A call as it was written down last: at its start, at every turn, whenever it used something, at its end."""

    id: str
    tenant: str
    key: str | None = Field(description="Name of the API key it was started with.")
    agent: str | None
    model: str
    transport: str
    started_at: datetime
    ended_at: datetime | None = Field(description="Null while it goes on.")
    end_reason: str | None = Field(description="Why it ended; `crashed` when the server's process ended under it.")
    duration_s: float
    turns: int
    responses: int
    interruptions: int
    tool_calls: int
    epoch: int = Field(description="How often the model session was replaced.")
    renewals: int
    reconnects: int
    tokens: dict[str, int] = Field(description="By kind; what was cached is counted under `cached_…` only.")
    transcription_s: float = Field(description="Seconds of speech transcribed, where that is what is charged.")
    cost: Decimal = Field(description="In the currency of the price table; an exact decimal, as text.")
    priced: bool = Field(description="False when some usage had no price: the cost is then higher.")
    rtt_ms: float | None = Field(description="Of the caller's hop, as known last.")
    jitter_ms: float | None
    packets_received: int | None
    packets_lost: int | None


class HistoryPage(BaseModel):
    """Some calls, newest first."""

    calls: Sequence[StoredCall]
    after: str | None = Field(description="Asks for the page that follows; null when this is the last.")


class DayFigures(BaseModel):
    """What began on one day, UTC."""

    day: date
    calls: int
    seconds: float = Field(description="Length of all its calls together.")
    tokens: int
    cost: Decimal
    priced: bool


class DayList(BaseModel):
    """Totals per day, newest first; days without a call are left out."""

    currency: str
    days: Sequence[DayFigures]


def _filter(
    request: Request,
    services: Use,
    tenant: Annotated[
        str | None, Query(max_length=64, pattern=_NO_NUL, description="Another one's needs the scope operator.")
    ] = None,
    agent: Annotated[str | None, Query(max_length=64, pattern=_NO_NUL)] = None,
    key: Annotated[str | None, Query(max_length=64, pattern=_NO_NUL)] = None,
    end_reason: Annotated[str | None, Query(max_length=64, pattern=_NO_NUL)] = None,
    since: Annotated[AwareDatetime | None, Query(description="Began at or after.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Began before.")] = None,
    live: Annotated[bool | None, Query(description="Only those that go on, or only those that ended.")] = None,
) -> CallFilter:
    """Whatever is asked for, nobody is shown the calls of a tenant that is not theirs."""
    principal = services.auth.require(request, "stats")
    if tenant is None and not principal.may("operator"):
        tenant = principal.tenant
    if tenant is not None and not principal.sees(tenant):
        raise ApiError(403, "tenant_not_allowed", "This key sees the calls of its own tenant only.", param="tenant")
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and not 1970 <= moment.year < 9999:
            raise ApiError(400, "invalid_value", f"{name}: there were no calls then.", param=name)
    return CallFilter(tenant, agent, key, end_reason, since, until, live)


def _database(services: Services) -> Database:
    if services.db is None:
        raise ApiError(404, "no_history", "This process keeps no calls.")
    return services.db


Which = Annotated[CallFilter, Depends(_filter)]


@router.get("", summary="Calls, newest first")
async def history(
    services: Use,
    which: Which,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    after: Annotated[str | None, Query(max_length=200, description="From the page before.")] = None,
) -> HistoryPage:
    """A page at a time; calls that begin meanwhile shift none. Of the key's tenant, or of all with the scope
    ``operator``."""
    try:
        page = await list_calls(_database(services), which, limit=limit, after=after)
    except ValueError:
        raise ApiError(400, "invalid_value", "'after' is not from a page of calls.", param="after") from None
    return HistoryPage(calls=[_shown(row) for row in page.calls], after=page.after)


@router.get("/days", summary="What calls add up to, day by day")
async def daily(
    services: Use, which: Which, limit: Annotated[int, Query(ge=1, le=366, description="Days.")] = 14
) -> DayList:
    """The same calls as in the list, by the day (UTC) they began."""
    totals = await days(_database(services), which, limit=limit)
    return DayList(currency=services.settings.currency, days=[_total(total) for total in totals])


def stored_snapshot(row: CallRow) -> CallSnapshot:
    """A call of the past, in the shape of one that lives."""
    reason: EndReason | Literal["crashed"] | None = None
    if row.end_reason is not None:
        reason = "crashed" if row.end_reason == CRASHED else EndReason(row.end_reason)
    return CallSnapshot(
        id=row.id,
        tenant=row.tenant,
        agent=row.agent,
        model=row.model,
        transport=cast("Transport", row.transport),
        started_at=row.started_at.timestamp(),
        duration_s=row.duration_ms / 1000,
        connected=row.end_reason != EndReason.CALLER_NEVER_CONNECTED,
        turns=row.turns,
        responses=row.responses,
        interruptions=row.interruptions,
        tool_calls=row.tool_calls,
        epoch=row.epoch,
        hop=HopStats(
            rtt_ms=row.rtt_ms,
            jitter_ms=row.jitter_ms,
            packets_received=row.packets_received or 0,
            packets_lost=row.packets_lost or 0,
        ),
        ended=reason,
        usage=CallUsage(_tokens(row), row.transcription_s, row.cost, row.priced),
    )


def _tokens(row: CallRow) -> dict[str, int]:
    kinds = {
        "input_text": row.input_text_tokens,
        "input_audio": row.input_audio_tokens,
        "input_image": row.input_image_tokens,
        "cached_text": row.cached_text_tokens,
        "cached_audio": row.cached_audio_tokens,
        "cached_image": row.cached_image_tokens,
        "output_text": row.output_text_tokens,
        "output_audio": row.output_audio_tokens,
        "transcription": row.transcription_tokens,
    }
    return {kind: count for kind, count in kinds.items() if count}


def _shown(row: CallRow) -> StoredCall:
    return StoredCall(
        id=row.id,
        tenant=row.tenant,
        key=row.key,
        agent=row.agent,
        model=row.model,
        transport=row.transport,
        started_at=row.started_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        duration_s=row.duration_ms / 1000,
        turns=row.turns,
        responses=row.responses,
        interruptions=row.interruptions,
        tool_calls=row.tool_calls,
        epoch=row.epoch,
        renewals=row.renewals,
        reconnects=row.reconnects,
        tokens=_tokens(row),
        transcription_s=row.transcription_s,
        cost=row.cost,
        priced=row.priced,
        rtt_ms=row.rtt_ms,
        jitter_ms=row.jitter_ms,
        packets_received=row.packets_received,
        packets_lost=row.packets_lost,
    )


def _total(total: DayTotal) -> DayFigures:
    return DayFigures(
        day=total.day,
        calls=total.calls,
        seconds=total.seconds,
        tokens=total.tokens,
        cost=total.cost,
        priced=total.priced,
    )
