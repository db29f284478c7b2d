"""Reading what is kept of calls."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Date, and_, cast, func, literal_column, or_, select

from perhop.store.database import Database
from perhop.store.models import CallRow
from perhop.store.types import Money

__all__ = ["CallFilter", "CallPage", "DayTotal", "Spent", "days", "get_call", "list_calls", "spent_since"]

_TOKENS = (
    CallRow.input_text_tokens
    + CallRow.input_audio_tokens
    + CallRow.input_image_tokens
    + CallRow.cached_text_tokens
    + CallRow.cached_audio_tokens
    + CallRow.cached_image_tokens
    + CallRow.output_text_tokens
    + CallRow.output_audio_tokens
    + CallRow.transcription_tokens
)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls; None does not ask.

    Attributes:
        tenant: None for those of all tenants.
        since: began at or after.
        until: began before.
        live: only those that go on (True), only those that ended (False).
    """

    tenant: str | None = None
    agent: str | None = None
    key: str | None = None
    end_reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    live: bool | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions of a query."""
        equal = {
            CallRow.tenant: self.tenant,
            CallRow.agent: self.agent,
            CallRow.key: self.key,
            CallRow.end_reason: self.end_reason,
        }
        found: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
        if self.since is not None:
            found.append(CallRow.started_at >= self.since)
        if self.until is not None:
            found.append(CallRow.started_at < self.until)
        if self.live is not None:
            found.append(CallRow.ended_at.is_(None) if self.live else CallRow.ended_at.is_not(None))
        return found


@dataclass(frozen=True, slots=True)
class CallPage:
    """Some calls, newest first.

    Attributes:
        after: asks for the page that follows; None when this is the last.
    """

    calls: Sequence[CallRow]
    after: str | None


@dataclass(frozen=True, slots=True)
class DayTotal:
    """What began on one day, UTC.

    Attributes:
        seconds: of all calls that ended.
        priced: False when some usage had no price.
    """

    day: date
    calls: int
    seconds: float
    tokens: int
    cost: Decimal
    priced: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls of one tenant, key and agent used."""

    tenant: str
    key: str | None
    agent: str | None
    tokens: int
    cost: Decimal


async def list_calls(db: Database, which: CallFilter, *, limit: int, after: str | None = None) -> CallPage:
    """Calls, newest first, a page at a time. Calls that begin meanwhile shift no page.

    Args:
        after: from the page before.

    Raises:
        ValueError: ``after`` is not from a page before.
    """
    query = select(CallRow).where(*which.conditions())
    if after is not None:
        started_at, call_id = _place(after)
        query = query.where(
            or_(CallRow.started_at < started_at, and_(CallRow.started_at == started_at, CallRow.id < call_id))
        )
    query = query.order_by(CallRow.started_at.desc(), CallRow.id.desc()).limit(limit + 1)
    async with db.session(reading=True) as session:
        rows = list((await session.execute(query)).scalars())
    more = len(rows) > limit
    rows = rows[:limit]
    return CallPage(rows, _mark(rows[-1]) if more else None)


async def get_call(db: Database, call_id: str) -> CallRow | None:
    """One call."""
    if "\x00" in call_id:
        # No id has it, and PostgreSQL would not even look.
        return None
    async with db.session(reading=True) as session:
        return await session.get(CallRow, call_id)


async def days(db: Database, which: CallFilter, *, limit: int) -> list[DayTotal]:
    """Totals per day, newest first; days without a call are left out."""
    day = (
        func.date(CallRow.started_at)
        if db.dialect == "sqlite"
        else cast(func.timezone("UTC", CallRow.started_at), Date)
    ).label("day")
    query = (
        select(
            day,
            func.count(),
            func.sum(CallRow.duration_ms),
            func.sum(_TOKENS),
            func.sum(CallRow.cost, type_=Money),
            func.count().filter(CallRow.priced.is_(False)),
        )
        .where(*which.conditions())
        .group_by(literal_column("day"))
        .order_by(literal_column("day").desc())
        .limit(limit)
    )
    async with db.session(reading=True) as session:
        return [
            DayTotal(
                day=found if isinstance(found, date) else date.fromisoformat(found),
                calls=calls,
                seconds=float(ms or 0) / 1000,
                tokens=int(tokens or 0),
                cost=cost or Decimal(0),
                priced=not unpriced,
            )
            for found, calls, ms, tokens, cost, unpriced in await session.execute(query)
        ]


async def spent_since(db: Database, moment: datetime) -> list[Spent]:
    """What calls that began at or after a moment used, by tenant, key and agent."""
    query = (
        select(CallRow.tenant, CallRow.key, CallRow.agent, func.sum(_TOKENS), func.sum(CallRow.cost, type_=Money))
        .where(CallRow.started_at >= moment)
        .group_by(CallRow.tenant, CallRow.key, CallRow.agent)
    )
    async with db.session(reading=True) as session:
        return [
            Spent(tenant, key, agent, int(tokens or 0), cost or Decimal(0))
            for tenant, key, agent, tokens, cost in await session.execute(query)
        ]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _mark(row: CallRow) -> str:
    micros = (row.started_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}:{row.id}".encode()).decode().rstrip("=")


def _place(mark: str) -> tuple[datetime, str]:
    try:
        micros, _, call_id = base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)).decode().partition(":")
        if "\x00" in call_id:
            raise ValueError("no id has this character")
        return _EPOCH + timedelta(microseconds=int(micros)), call_id
    except (ValueError, binascii.Error, OverflowError) as error:
        raise ValueError("not a place in a list of calls") from error
