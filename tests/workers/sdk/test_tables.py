"""Tables of workers and of the bus: up, down, and as the models say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import bindparam, select, text

from perhop.store import Database, Schema, current, downgrade, upgrade
from perhop.store.types import UtcDateTime
from perhop.tools.bus.tables import SCHEMA as BUS
from perhop.workers.sdk.tables import SCHEMA as WORKER
from perhop.workers.sdk.tables import EffectRow


@pytest.mark.parametrize("schema", [WORKER, BUS], ids=lambda schema: schema.name)
async def test_migrations_lead_to_the_models_and_back_to_nothing(database: Database, schema: Schema) -> None:
    await upgrade(database, schema)
    async with database.session() as session:
        connection = await session.connection()
        options = {
            "include_object": lambda thing, name, kind, reflected, other: kind != "table" or name in names,
            "compare_type": True,
        }
        names = set(schema.metadata.tables)
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts=options), schema.metadata)
        )
    assert differences == []
    await downgrade(database, schema)
    assert await current(database, schema) is None
    await upgrade(database, schema)
    assert await current(database, schema) == schema.head


async def test_effects_under_way_are_in_doubt_when_an_attempt_was(database: Database) -> None:
    await upgrade(database, WORKER, "0001")
    rows = [
        ("new", "pending", 0, None),
        ("not sent", "pending", 1, "NotSentError"),
        ("timeout", "pending", 1, "TimeoutError"),
        ("first", "sending", 1, None),
        ("third", "sending", 3, "NotSentError"),
        ("over", "failed", 1, "RefusedError"),
    ]
    insert = text(
        "INSERT INTO worker_effects (key, worker, channel, tenant, call_id, function_call_id, state, attempts,"
        " due_at, error, created_at, updated_at) VALUES (:key, 'w', 'c', 't', 'r', 'f', :state, :attempts,"
        " :at, :error, :at, :at)"
    ).bindparams(bindparam("at", type_=UtcDateTime))
    async with database.session() as session:
        for key, state, attempts, error in rows:
            values = {"key": key, "state": state, "attempts": attempts, "error": error, "at": datetime.now(UTC)}
            await session.execute(insert, values)
    await upgrade(database, WORKER)
    async with database.session(reading=True) as session:
        doubtful = await session.scalars(select(EffectRow.key).where(EffectRow.in_doubt).order_by(EffectRow.key))
        assert list(doubtful) == ["third", "timeout"]
