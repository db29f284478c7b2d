"""All tables of a process: what the composition root keeps up to date, and ``perhop db`` shows."""

from __future__ import annotations

from perhop.registry.tables import SCHEMA as REGISTRY
from perhop.store import Database, Schema, check, current, upgrade
from perhop.store.models import SCHEMA as CORE
from perhop.tools.bus.tables import SCHEMA as BUS
from perhop.tools.effects.tables import SCHEMA as EFFECTS

__all__ = ["SCHEMAS", "prepare"]

SCHEMAS: tuple[Schema, ...] = (CORE, EFFECTS, BUS, REGISTRY)
"""In the order they are made; removed in the opposite one."""


async def prepare(db: Database, schemas: tuple[Schema, ...] = SCHEMAS) -> None:
    """Makes sure of the tables before calls are taken. A file is this process's own and brought up to date by itself; a
    server is shared, and changing its tables is for somebody to decide.

    Raises:
        NotMigratedError: ``perhop db upgrade`` has to come first, or the database is newer than this program.
        StoreError: a migration failed.
    """
    for schema in schemas:
        if db.dialect != "sqlite":
            await check(db, schema)
        elif await current(db, schema) != schema.head:
            await upgrade(db, schema)
