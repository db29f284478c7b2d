"""Tables of workers and of the bus: up, down, and as the models say."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from perhop.store import Database, Schema, current, downgrade, upgrade
from perhop.tools.bus.tables import SCHEMA as BUS
from perhop.workers.sdk.tables import SCHEMA as WORKER


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
