"""Which processes live, whose calls ended with them, and what is old enough to be forgotten."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from perhop.store.database import Database
from perhop.store.models import CallRow, InstanceRow

__all__ = ["CRASHED", "DEAD_AFTER", "Instance", "close_crashed", "forget_old", "say_alive"]

CRASHED = "crashed"
"""The end of a call whose process ended under it; no live call ends so."""

DEAD_AFTER = timedelta(seconds=90)
"""Without a sign of life a process counts as dead after this; one of the same name, as soon as it is started again."""

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a process.

    Attributes:
        name: the same for every run.
    """

    id: str
    name: str

    @classmethod
    def new(cls, name: str) -> Instance:
        """A run that begins now."""
        return cls(f"run_{secrets.token_hex(8)}", name[:255])


async def say_alive(db: Database, instance: Instance, *, now: datetime) -> None:
    """Leaves a sign of life."""
    insert = sqlite.insert if db.dialect == "sqlite" else postgresql.insert
    values = {"id": instance.id, "name": instance.name, "started_at": now, "seen_at": now}
    async with db.session() as session:
        await session.execute(
            insert(InstanceRow).values(values).on_conflict_do_update(index_elements=["id"], set_={"seen_at": now})
        )


async def close_crashed(db: Database, instance: Instance, *, now: datetime) -> int:
    """Ends the calls of processes that ended without doing so: earlier runs of this one, and others long silent.

    Such a call ended when its process was last seen.

    Returns:
        How many there were.
    """
    dead = or_(InstanceRow.name == instance.name, InstanceRow.seen_at < now - DEAD_AFTER)
    open_calls = (
        select(CallRow.id, CallRow.started_at, InstanceRow.seen_at)
        .join(InstanceRow, InstanceRow.id == CallRow.instance)
        .where(CallRow.ended_at.is_(None), InstanceRow.id != instance.id, dead)
        .limit(_BATCH)
    )
    closed = 0
    while True:
        async with db.session() as session:
            found = (await session.execute(open_calls)).all()
            for call_id, started_at, seen_at in found:
                ended_at = max(started_at, seen_at)
                await session.execute(
                    update(CallRow)
                    .where(CallRow.id == call_id, CallRow.ended_at.is_(None))
                    .values(
                        ended_at=ended_at,
                        end_reason=CRASHED,
                        duration_ms=int((ended_at - started_at) / timedelta(milliseconds=1)),
                    )
                )
        closed += len(found)
        if len(found) < _BATCH:
            return closed


async def forget_old(db: Database, *, before: datetime, dead_before: datetime) -> int:
    """Deletes calls that ended and began before a moment, a piece at a time so that nobody waits long.

    Args:
        dead_before: runs not seen since, and without calls, are deleted too.

    Returns:
        How many calls.
    """
    deleted = 0
    while True:
        old = select(CallRow.id).where(CallRow.started_at < before, CallRow.ended_at.is_not(None)).limit(_BATCH)
        async with db.session() as session:
            ids = list((await session.execute(old)).scalars())
            if ids:
                await session.execute(delete(CallRow).where(CallRow.id.in_(ids)))
        deleted += len(ids)
        if len(ids) < _BATCH:
            break
    async with db.session() as session:
        used = select(CallRow.id).where(CallRow.instance == InstanceRow.id).exists()
        await session.execute(delete(InstanceRow).where(InstanceRow.seen_at < dead_before, ~used))
    return deleted
