"""Schemas: who owns which tables, and how they are brought up to date.

Several owners share one database. Each has its own folder of Alembic migrations and its own version table, so that
their histories never meet.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import MetaData, text

from perhop.store.errors import OF_DRIVERS, NotMigratedError, StoreDownError, StoreError, is_down

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from perhop.store.database import Database

__all__ = ["Schema", "check", "current", "downgrade", "upgrade"]

_log = structlog.get_logger(__name__)

MIGRATION_TIMEOUT_S = 600.0
"""For one statement of a migration, and for another process that is migrating."""

_ALEMBIC = Path(__file__).parent / "alembic"


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one owner.

    Attributes:
        name: lower case; also names the version table ``alembic_version_<name>``.
        metadata: the tables as they are when all migrations have run.
        migrations: the folder with the migration modules; ship it as a package, with an ``__init__.py``.
    """

    name: str
    metadata: MetaData = field(repr=False)
    migrations: Path

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", self.name):
            raise ValueError(f"{self.name!r} cannot name a schema: lower case letters, digits and _ only")

    @property
    def version_table(self) -> str:
        """Where the database remembers which migrations ran."""
        return f"alembic_version_{self.name}"

    @property
    def head(self) -> str:
        """The revision of the newest migration.

        Raises:
            StoreError: there is none, or two migrations follow the same one.
        """
        try:
            head = _scripts(self).get_current_head()
        except CommandError as error:
            raise StoreError(f"the migrations of {self.name} are broken: {error}") from error
        if head is None:
            raise StoreError(f"there are no migrations of {self.name} in {self.migrations}")
        return head


async def upgrade(db: Database, schema: Schema, revision: str = "head") -> None:
    """Brings the tables of a schema to a revision, all of it or nothing. Processes that do so at once take turns.

    Raises:
        StoreDownError: the database does not answer.
        NotMigratedError: the database is newer than this program.
        StoreError: a migration failed.
    """
    await _migrate(db, schema, command.upgrade, revision)


async def downgrade(db: Database, schema: Schema, revision: str = "base") -> None:
    """Takes the tables of a schema back to a revision; ``base`` removes them and what is in them.

    Raises:
        StoreDownError: the database does not answer.
        NotMigratedError: the database is newer than this program.
        StoreError: a migration failed.
    """
    await _migrate(db, schema, command.downgrade, revision)


async def current(db: Database, schema: Schema) -> str | None:
    """The revision that the tables of a schema are at; None when there are none."""
    async with db.session(reading=True) as session:
        connection = await session.connection()
        return await connection.run_sync(lambda sync: _revision(schema, sync))


async def check(db: Database, schema: Schema) -> None:
    """Makes sure that the tables are those that this program works with.

    Raises:
        NotMigratedError: they are not; the message says what to do.
    """
    found, needed = await current(db, schema), schema.head
    if found == needed:
        return
    if found is None:
        state = f"has no tables of {schema.name!r} yet"
    elif _knows(schema, found):
        state = f"has older tables of {schema.name!r} ({found}, needed {needed})"
    else:
        raise NotMigratedError(_newer(db, schema, found))
    raise NotMigratedError(f"the database {db.url} {state}; run: perhop db upgrade")


def _scripts(schema: Schema) -> ScriptDirectory:
    return ScriptDirectory(_ALEMBIC, version_locations=[schema.migrations])


def _knows(schema: Schema, revision: str) -> bool:
    return any(script.revision == revision for script in _scripts(schema).walk_revisions())


def _newer(db: Database, schema: Schema, found: str) -> str:
    return (
        f"the tables of {schema.name!r} in {db.url} are newer than this Perhop (revision {found} is unknown here); "
        "use the version that made them"
    )


async def _migrate(db: Database, schema: Schema, move: Callable[[Config, str], None], revision: str) -> None:
    engine = db.migration_engine(timeout_s=MIGRATION_TIMEOUT_S)
    try:
        async with engine.begin() as connection:
            await _take_turn(connection, schema)
            before, after = await connection.run_sync(lambda sync: _moved(schema, sync, move, revision))
            if db.dialect == "sqlite" and (await connection.execute(text("PRAGMA foreign_key_check"))).first():
                raise StoreError(f"a migration of {schema.name} left rows that refer to nothing; nothing was changed")
    except CommandError as error:
        found = await current(db, schema)
        if found is not None and not _knows(schema, found):
            raise NotMigratedError(_newer(db, schema, found)) from error
        raise StoreError(f"the migrations of {schema.name} cannot run: {error}") from error
    except (*OF_DRIVERS, OSError) as error:
        if is_down(error):
            raise StoreDownError(f"the database {db.url} went away during a migration of {schema.name}") from error
        raise StoreError(f"a migration of {schema.name} failed; nothing was changed: {error}") from error
    finally:
        await engine.dispose()
    if before != after:
        _log.info("tables migrated", schema=schema.name, before=before or "nothing", after=after or "nothing")


def _moved(
    schema: Schema, connection: Connection, move: Callable[[Config, str], None], revision: str
) -> tuple[str | None, str | None]:
    """Runs migrations; returns the revisions before and after."""
    before = _revision(schema, connection)
    move(_config(schema, connection), revision)
    return before, _revision(schema, connection)


def _revision(schema: Schema, connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": schema.version_table}).get_current_revision()


async def _take_turn(connection: AsyncConnection, schema: Schema) -> None:
    """Waits for other processes that migrate. On SQLite the transaction that just began is that lock already."""
    if connection.dialect.name == "postgresql":
        key = zlib.crc32(f"perhop migrates {schema.name}".encode())
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _config(schema: Schema, connection: Connection) -> Config:
    config = Config(attributes={"connection": connection, "schema": schema})
    for option, folder in (("script_location", _ALEMBIC), ("version_locations", schema.migrations)):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    # One folder a line: spaces and colons are part of a name.
    config.set_main_option("path_separator", "newline")
    return config
