"""Tables of the reference workers: up, down, and as the models say, on both databases."""

from __future__ import annotations

import importlib

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from perhop.store import Database, Schema, current, downgrade, upgrade
from perhop.workers.hosting import REFERENCE

SCHEMAS = [importlib.import_module(module.removesuffix("worker") + "tables").SCHEMA for module in REFERENCE.values()]

_OF_THE_DATABASE = {"words", "ix_listings_homes_words", "found", "ix_transcript_turns_found"}
"""Full text indexes, which models do not know."""


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
async def test_migrations_lead_to_the_models_and_back_to_nothing(database: Database, schema: Schema) -> None:
    await upgrade(database, schema)
    async with database.session() as session:
        connection = await session.connection()
        names = set(schema.metadata.tables)
        options = {
            "include_object": lambda thing, name, kind, reflected, other: (
                (kind != "table" or name in names) and name not in _OF_THE_DATABASE
            ),
            "compare_type": True,
        }
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts=options), schema.metadata)
        )
    assert differences == []
    await downgrade(database, schema)
    assert await current(database, schema) is None
    async with database.session() as session:
        left = await (await session.connection()).run_sync(lambda sync: inspect(sync).get_table_names())
    assert [name for name in left if not name.startswith("alembic_version")] == []
    await upgrade(database, schema)
    assert await current(database, schema) == schema.head
