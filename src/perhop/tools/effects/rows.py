"""The table of effects as it is written and read, many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Table, bindparam, delete, func, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError

from perhop.store import Database, StoreError
from perhop.store.types import UtcDateTime
from perhop.tools.base import ToolContext
from perhop.tools.effects.ledger import EffectRecord, EffectState
from perhop.tools.effects.tables import EffectRow

__all__ = ["FAILURES", "EffectRows", "Ended"]

FAILURES = (StoreError, SQLAlchemyError)
"""What a database that is away, or has not the table, makes of a call here."""

_effects = cast("Table", EffectRow.__table__)

# One statement whatever the number of rows, so that neither side has to compile another one; and no transaction around
# it: it is one by itself. Conflicts are found by the unique index, so no plan can go stale as the table grows.
_ADD_POSTGRES = """
INSERT INTO effects
    (key, tenant, call_id, function_call_id, agent, tool, arguments, deadline, state, created_at)
SELECT *, $9::text, $10::timestamptz
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
ON CONFLICT DO NOTHING
RETURNING key
"""
_KNOWN_POSTGRES = "SELECT key, state FROM effects WHERE key = ANY($1::text[])"

_END_POSTGRES = """
UPDATE effects SET state = $2, code = $3, ended_at = $4, arguments = NULL
WHERE key = $1 AND state = 'pending' AND ($5::timestamptz IS NULL OR created_at = $5::timestamptz)
"""

_ADD_SQLITE = sqlite.insert(_effects).on_conflict_do_nothing().returning(_effects.c.key)

_END_SQLITE = (
    update(_effects)
    .where(
        _effects.c.key == bindparam("of"),
        _effects.c.state == EffectState.PENDING,
        _effects.c.created_at == func.coalesce(bindparam("record", type_=UtcDateTime()), _effects.c.created_at),
    )
    .values(state=bindparam("became"), code=bindparam("why"), ended_at=bindparam("at"), arguments=None)
)


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of an effect.

    Attributes:
        code: of the error, if there was one.
        created_at: of the record that this is the outcome of, where another run may have made one of the same key.
    """

    key: str
    state: EffectState
    code: str | None
    at: datetime
    created_at: datetime | None = None


class EffectRows:
    """Effects in the database. Every method is a transaction.

    All of them raise one of :data:`FAILURES` when the database is away; a change may have been made all the same.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, records: Sequence[EffectRecord], *, now: datetime) -> dict[str, EffectState]:
        """Adds pending effects with different keys; they are on the disk when this returns.

        Returns:
            The states of those that were there before, by key; these stay as they are.
        """
        # In one order, so that two who add the same never wait for each other in a circle.
        ordered = sorted(records, key=lambda record: record.key)
        add = self._add_to_postgres if self._database.dialect == "postgresql" else self._add_to_sqlite
        known = await add(ordered, now)
        # One that was there, and is gone a moment later, ended long ago.
        return {key: EffectState(state or EffectState.REFUSED) for key, state in known.items()}

    async def end(self, ended: Sequence[Ended]) -> None:
        """Writes outcomes of those that are pending; an outcome is final."""
        if self._database.dialect == "postgresql":
            rows = [(one.key, one.state.value, one.code, one.at, one.created_at) for one in ended]
            async with self._database.driver() as connection:
                await connection.executemany(_END_POSTGRES, rows)  # one round trip, one transaction
            return
        values = [
            {"of": one.key, "became": one.state, "why": one.code, "at": one.at, "record": one.created_at}
            for one in ended
        ]
        async with self._database.session() as session:
            await (await session.connection()).execute(_END_SQLITE, values)

    async def settle(self, key: str, state: EffectState, *, now: datetime) -> bool:
        """Writes an outcome unless there is one; returns whether this was the one."""
        async with self._database.session() as session:
            settled = await session.scalars(
                update(EffectRow)
                .where(EffectRow.key == key, EffectRow.state == EffectState.PENDING)
                .values(state=state, arguments=None, ended_at=now)
                .returning(EffectRow.key)
            )
            return settled.first() is not None

    async def left_open(self, *, now: datetime, limit: int) -> list[EffectRecord]:
        """Effects that are pending although their deadline is past, oldest first."""
        async with self._database.session(reading=True) as session:
            rows = await session.scalars(
                select(EffectRow)
                .where(EffectRow.state == EffectState.PENDING, EffectRow.deadline < now)
                .order_by(EffectRow.deadline)
                .limit(limit)
            )
            return [_record(row) for row in rows]

    async def forget(self, before: datetime) -> None:
        """Deletes effects that ended before."""
        async with self._database.session() as session:
            await session.execute(delete(EffectRow).where(EffectRow.ended_at < before))

    async def _add_to_postgres(self, records: Sequence[EffectRecord], now: datetime) -> dict[str, str | None]:
        columns = list(zip(*map(_values, records), strict=True))
        async with self._database.driver() as connection:
            added = await connection.fetch(_ADD_POSTGRES, *columns, EffectState.PENDING.value, now)
            if len(added) == len(records):
                return {}
            missing = {record.key for record in records} - {row["key"] for row in added}
            found = await connection.fetch(_KNOWN_POSTGRES, list(missing))
        return dict.fromkeys(missing) | {row["key"]: row["state"] for row in found}

    async def _add_to_sqlite(self, records: Sequence[EffectRecord], now: datetime) -> dict[str, str | None]:
        names = ("key", "tenant", "call_id", "function_call_id", "agent", "tool", "arguments", "deadline")
        pending = {"state": EffectState.PENDING, "created_at": now}
        rows = [dict(zip(names, _values(record), strict=True)) | pending for record in records]
        async with self._database.session() as session:
            added = (await (await session.connection()).execute(_ADD_SQLITE, rows)).scalars()
            missing = {record.key for record in records} - set(added)
            if not missing:
                return {}
            found = await session.execute(select(EffectRow.key, EffectRow.state).where(EffectRow.key.in_(missing)))
            return dict.fromkeys(missing) | {row.key: row.state for row in found}


def _values(record: EffectRecord) -> tuple[str, str, str, str, str, str, str | None, datetime]:
    context = record.context
    return (
        record.key,
        context.tenant,
        context.call_id,
        context.function_call_id,
        context.agent,
        record.tool,
        record.arguments,
        datetime.fromtimestamp(record.deadline, UTC),
    )


def _record(row: EffectRow) -> EffectRecord:
    context = ToolContext(
        call_id=row.call_id, agent=row.agent, tenant=row.tenant, function_call_id=row.function_call_id
    )
    return EffectRecord(context=context, tool=row.tool, deadline=row.deadline.timestamp(), arguments=row.arguments)
