"""The table as the worker uses it: added to, and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.workers.audit.tables import AuditRow
from perhop.workers.call_events import CallEvent

__all__ = ["read", "record"]

_WORD = re.compile(r"[A-Za-z0-9_.:@/-]{1,128}")

Told = tuple[str, str, str]
"""What, subject and outcome."""


def _ran(data: Mapping[str, Any]) -> Told:
    return "tool.ran", _word(data.get("name")), "ok" if data.get("ok") is True else _word(data.get("code")) or "failed"


_TOLD: dict[str, Callable[[Mapping[str, Any]], Told]] = {
    "started": lambda data: ("call.started", _word(data.get("agent")), "ok"),
    "tool": _ran,
    "renewed": lambda _: ("model.renewed", "", "ok"),
    "reconnected": lambda _: ("model.reconnected", "", "ok"),
    "failed_over": lambda data: ("model.failed_over", _word(data.get("model")), "ok"),
    "resumed": lambda _: ("call.resumed", "", "ok"),
    "audio_lost": lambda _: ("caller.audio_lost", "", "ok"),
    "ended": lambda data: ("call.ended", "", _word(data.get("reason")) or "unknown"),
}
"""What is recorded of which event; of everything an event says only the words named here."""


async def record(session: AsyncSession, event: CallEvent, *, now: datetime) -> None:
    """Adds what happened, unless it is there."""
    told = _TOLD.get(event.type)
    if told is None:
        return
    what, subject, outcome = told(event.data)
    mine = (AuditRow.tenant == event.tenant, AuditRow.call_id == event.call_id)
    # Asked first: where it is there already, the table refuses it on SQLite, where nobody else writes meanwhile.
    if (await session.execute(select(AuditRow.key).where(*mine, AuditRow.event_id == event.id))).first() is not None:
        return
    values = {
        "tenant": event.tenant,
        "call_id": event.call_id,
        "event_id": event.id,
        "at": event.at,
        "what": what,
        "who": await _who(session, event, what),
        "subject": subject,
        "outcome": outcome,
        "recorded_at": now,
    }
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    await session.execute(insert(AuditRow).values(**values).on_conflict_do_nothing())


async def read(
    session: AsyncSession,
    *,
    tenant: str,
    limit: int,
    after: int = 0,
    call_id: str | None = None,
    what: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[AuditRow], bool]:
    """What happened, in the order it was recorded, and whether there is more.

    Args:
        after: the key of the last row that is known already.
    """
    wanted = select(AuditRow).where(AuditRow.tenant == tenant, AuditRow.key > after)
    if call_id is not None:
        wanted = wanted.where(AuditRow.call_id == call_id)
    if what is not None:
        wanted = wanted.where(AuditRow.what == what)
    if since is not None:
        wanted = wanted.where(AuditRow.at >= since)
    if until is not None:
        wanted = wanted.where(AuditRow.at < until)
    rows = list((await session.scalars(wanted.order_by(AuditRow.key).limit(limit + 1))).all())
    return rows[:limit], len(rows) > limit


async def _who(session: AsyncSession, event: CallEvent, what: str) -> str:
    if what == "call.started":
        key = _word(event.data.get("key"))
        return f"key:{key}"[:128] if key else "anonymous"
    if what != "tool.ran":
        return "perhop"
    agent = await session.scalar(
        select(AuditRow.subject)
        .where(AuditRow.tenant == event.tenant, AuditRow.call_id == event.call_id, AuditRow.what == "call.started")
        .order_by(AuditRow.key)
        .limit(1)
    )
    return f"agent:{agent}"[:128] if agent else "agent"


def _word(value: object) -> str:
    """A name or code; whatever else it is, it is not ours to keep."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
