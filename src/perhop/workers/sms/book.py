"""The tables as the worker uses them: who may get a message, and how far messages are."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.config.sms import SmsSettings
from perhop.tools.errors import ToolError
from perhop.workers.sms.states import State, later
from perhop.workers.sms.tables import MessageRow, OptOutRow

__all__ = ["advance", "check_allowed", "is_opted_out", "opt_in", "opt_out", "prune"]

_BATCH = 1_000

_NUMBER = "This number already got as many messages as we may send. Try again later."
_CALL = "No more text messages can be sent in this call. Tell the caller what you wanted to write."
_TENANT = "Too many text messages were sent in the last hour. Tell the caller now, or offer to send it later."


async def check_allowed(
    session: AsyncSession,
    *,
    tenant: str,
    call_id: str,
    sender: str,
    phone: str,
    limits: SmsSettings,
    now: datetime,
) -> None:
    """Nothing, if this call may send this number one more message.

    Raises:
        ToolError: the number wants none, or had too many; the call, or all calls of the tenant, sent too many.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Two at once must not both be the last one allowed. On SQLite a transaction that writes is alone anyway.
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"sms {tenant}"})
    if await is_opted_out(session, sender=sender, phone=phone):
        raise ToolError("This number does not want text messages. They can allow them again by sending us START.")
    to, by = MessageRow.phone == phone, MessageRow.call_id == call_id
    for conditions, hours, limit, reason in (
        ((to,), 1, limits.per_hour, _NUMBER),
        ((to,), 24, limits.per_day, _NUMBER),
        ((by,), None, limits.per_call, _CALL),
        ((), 1, limits.per_tenant_hour, _TENANT),
    ):
        since = () if hours is None else (MessageRow.created_at > now - timedelta(hours=hours),)
        counted = select(MessageRow.id).where(MessageRow.tenant == tenant, *conditions, *since).limit(limit)
        # No more is counted than matters.
        if (await session.scalar(select(func.count()).select_from(counted.subquery())) or 0) >= limit:
            raise ToolError(reason)


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
