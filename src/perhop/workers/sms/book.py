"""The tables as the worker uses them: who may get a message, and how far messages are."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.tools.errors import ToolError
from perhop.workers.sms.states import State, later
from perhop.workers.sms.tables import MessageRow, OptOutRow

__all__ = ["advance", "check_allowed", "is_opted_out", "opt_in", "opt_out", "prune"]

_BATCH = 1_000


async def check_allowed(
    session: AsyncSession, *, tenant: str, sender: str, phone: str, per_hour: int, per_day: int, now: datetime
) -> None:
    """Nothing, if this number may get one more message.

    Raises:
        ToolError: it wants none, or had too many.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Two at once must not both be the last one allowed. On SQLite a transaction that writes is alone anyway.
        key = f"sms {tenant} {phone}"
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})
    if await is_opted_out(session, sender=sender, phone=phone):
        raise ToolError("This number does not want text messages. They can allow them again by sending us START.")
    for hours, limit in ((1, per_hour), (24, per_day)):
        count = await session.scalar(
            select(func.count())
            .select_from(MessageRow)
            .where(
                MessageRow.tenant == tenant,
                MessageRow.phone == phone,
                MessageRow.created_at > now - timedelta(hours=hours),
            )
        )
        if (count or 0) >= limit:
            raise ToolError("This number already got as many messages as we may send. Try again later.")


async def is_opted_out(session: AsyncSession, *, sender: str, phone: str) -> bool:
    """Whether this number wants no messages from ``sender``."""
    return await session.get(OptOutRow, (sender, phone)) is not None


async def opt_out(session: AsyncSession, *, sender: str, phone: str, now: datetime) -> None:
    """From now on this number gets nothing from ``sender``, not even what waits already."""
    await session.merge(OptOutRow(sender=sender, phone=phone, since=now))


async def opt_in(session: AsyncSession, *, sender: str, phone: str) -> None:
    """Takes an opt-out back; that is only for whoever has the phone."""
    await session.execute(delete(OptOutRow).where(OptOutRow.sender == sender, OptOutRow.phone == phone))


async def advance(
    session: AsyncSession,
    message_id: str,
    state: State,
    *,
    now: datetime,
    reference: str | None = None,
    error: str | None = None,
) -> bool:
    """Notes how far a message is, unless more is known already; whether there is such a message."""
    row = await session.get(MessageRow, message_id, with_for_update=True)
    if row is None:
        return False
    if reference is not None and row.reference is None:
        row.reference = reference
    if later(row.state, state):
        row.state, row.error, row.updated_at = state, error, now
    return True


async def prune(session: AsyncSession, *, before: datetime) -> int:
    """Forgets old messages, a thousand at most; returns how many."""
    old = select(MessageRow.id).where(MessageRow.created_at < before, MessageRow.due_at < before).limit(_BATCH)
    gone = await session.execute(delete(MessageRow).where(MessageRow.id.in_(old)).returning(MessageRow.id))
    return len(gone.all())
