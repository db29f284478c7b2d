"""The registry's tables come and go by migrations, on both databases."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from perhop.registry.store import RegistryStore
from perhop.registry.tables import SCHEMA
from perhop.store import Database, current, downgrade, upgrade


async def test_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    await upgrade(database, SCHEMA)
    async with database.session(reading=True) as session:
        connection = await session.connection()
        options = {"version_table": SCHEMA.version_table, "compare_type": True}
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts=options), SCHEMA.metadata)
        )
    assert differences == []


async def test_they_can_be_taken_back_and_made_again(database: Database) -> None:
    await upgrade(database, SCHEMA)
    async with RegistryStore(database).change("test") as change:
        await change.put("default", "agent", "desk", "{}")
    await downgrade(database, SCHEMA)
    assert await current(database, SCHEMA) is None
    await upgrade(database, SCHEMA)
    assert await RegistryStore(database).all("default") == []
