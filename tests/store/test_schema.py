"""Tables come and go by migrations, on both databases."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import MetaData, inspect, text

from perhop.config import StoreSettings
from perhop.store import Database, NotMigratedError, Schema, StoreError, check, current, downgrade, upgrade
from perhop.store.models import SCHEMA

_PARENT_AND_CHILD = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "a1", None
def upgrade():
    op.create_table("parents", sa.Column("id", sa.Integer, primary_key=True))
    op.create_table("children", sa.Column("parent", sa.Integer, sa.ForeignKey("parents.id", ondelete="CASCADE")))
def downgrade():
    op.drop_table("children")
    op.drop_table("parents")
"""

_REBUILD = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "a2", "a1"
def upgrade():
    with op.batch_alter_table("parents", recreate="always") as parents:
        parents.add_column(sa.Column("name", sa.String(10)))
def downgrade():
    with op.batch_alter_table("parents") as parents:
        parents.drop_column("name")
"""

_BROKEN = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "a2", "a1"
def upgrade():
    op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO nowhere VALUES (1)")
def downgrade():
    pass
"""


def schema(folder: Path, *migrations: str, name: str = "farm") -> Schema:
    folder.mkdir(exist_ok=True)
    for number, source in enumerate(migrations):
        (folder / f"r{number}.py").write_text(source)
    return Schema(name, MetaData(), folder)


async def tables(db: Database) -> set[str]:
    async with db.session(reading=True) as session:
        return await (await session.connection()).run_sync(lambda sync: set(inspect(sync).get_table_names()))


async def test_an_upgrade_makes_the_tables_and_a_downgrade_removes_them(database: Database) -> None:
    assert await current(database, SCHEMA) is None
    await upgrade(database, SCHEMA)
    assert await current(database, SCHEMA) == SCHEMA.head
    assert {"calls", "instances"} <= await tables(database)
    await downgrade(database, SCHEMA)
    assert await current(database, SCHEMA) is None
    assert await tables(database) == {"alembic_version_core"}
    await upgrade(database, SCHEMA)
    assert await current(database, SCHEMA) == SCHEMA.head


async def test_the_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    await upgrade(database, SCHEMA)
    async with database.session(reading=True) as session:
        connection = await session.connection()
        options = {"version_table": SCHEMA.version_table, "compare_type": True}
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts=options), SCHEMA.metadata)
        )
    assert differences == []


async def test_an_upgrade_of_what_is_up_to_date_changes_nothing(database: Database) -> None:
    await upgrade(database, SCHEMA)
    before = await tables(database)
    await upgrade(database, SCHEMA)
    assert await tables(database) == before


async def test_schemas_of_several_owners_come_and_go_independently(database: Database, tmp_path: Path) -> None:
    farm = schema(tmp_path / "farm", _PARENT_AND_CHILD)
    await upgrade(database, SCHEMA)
    await upgrade(database, farm)
    await downgrade(database, farm)
    assert await current(database, farm) is None
    await check(database, SCHEMA)
    assert "calls" in await tables(database)


async def test_a_migration_that_fails_leaves_everything_as_it_was(database: Database, tmp_path: Path) -> None:
    farm = schema(tmp_path / "farm", _PARENT_AND_CHILD)
    await upgrade(database, farm)
    broken = schema(tmp_path / "farm", _PARENT_AND_CHILD, _BROKEN)
    with pytest.raises(StoreError, match="nothing was changed"):
        await upgrade(database, broken)
    assert await current(database, broken) == "a1"
    assert "half" not in await tables(database)


async def test_rebuilding_a_table_keeps_what_refers_to_its_rows(database: Database, tmp_path: Path) -> None:
    await upgrade(database, schema(tmp_path / "farm", _PARENT_AND_CHILD))
    async with database.session() as session:
        await session.execute(text("INSERT INTO parents VALUES (1)"))
        await session.execute(text("INSERT INTO children VALUES (1)"))
    if database.dialect == "postgresql":
        # There a table is altered in place; built anew it would refuse to be dropped.
        rebuild = _REBUILD.replace(', recreate="always"', "")
    else:
        rebuild = _REBUILD
    await upgrade(database, schema(tmp_path / "farm", _PARENT_AND_CHILD, rebuild))
    async with database.session(reading=True) as session:
        assert (await session.execute(text("SELECT count(*) FROM children"))).scalar() == 1


async def test_who_finds_no_tables_or_older_ones_is_told_what_to_do(database: Database, tmp_path: Path) -> None:
    old = schema(tmp_path / "old", _PARENT_AND_CHILD)
    new = schema(tmp_path / "new", _PARENT_AND_CHILD, _REBUILD)
    with pytest.raises(NotMigratedError, match="has no tables of 'farm' yet; run: perhop db upgrade"):
        await check(database, new)
    await upgrade(database, old)
    await check(database, old)
    with pytest.raises(NotMigratedError, match=r"has older tables of 'farm' \(a1, needed a2\); run: perhop db upgrade"):
        await check(database, new)


async def test_a_database_that_is_newer_than_the_program_is_left_alone(database: Database, tmp_path: Path) -> None:
    old = schema(tmp_path / "old", _PARENT_AND_CHILD)
    later = _REBUILD.replace(', recreate="always"', "")
    await upgrade(database, schema(tmp_path / "new", _PARENT_AND_CHILD, later))
    for refused in (check(database, old), upgrade(database, old), downgrade(database, old)):
        with pytest.raises(NotMigratedError, match="are newer than this Perhop"):
            await refused


async def test_processes_that_upgrade_at_once_take_turns(database: Database, database_url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from pydantic import SecretStr\n"
        "from perhop.config import StoreSettings\n"
        "from perhop.store import Database, check, upgrade\n"
        "from perhop.store.models import SCHEMA\n"
        "async def main():\n"
        "    db = await Database.open(StoreSettings(url=SecretStr(sys.argv[1])))\n"
        "    await upgrade(db, SCHEMA)\n"
        "    await check(db, SCHEMA)\n"
        "    await db.close()\n"
        "asyncio.run(main())\n"
    )
    processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", program, database_url) for _ in range(3)]
    assert [await process.wait() for process in processes] == [0, 0, 0]
    await check(database, SCHEMA)


async def test_tasks_that_upgrade_at_once_take_turns(database: Database) -> None:
    await asyncio.gather(*(upgrade(database, SCHEMA) for _ in range(5)))
    await check(database, SCHEMA)


async def test_the_folder_may_have_an_awkward_name(tmp_path: Path) -> None:
    folder = tmp_path / "50% off: a folder"
    db = await Database.open(StoreSettings(url=SecretStr(f"sqlite:///{tmp_path}/a.db")))
    farm = schema(folder, _PARENT_AND_CHILD)
    await upgrade(db, farm)
    await check(db, farm)
    await db.close()


def test_a_schema_needs_a_name_that_can_name_a_table() -> None:
    with pytest.raises(ValueError, match="cannot name a schema"):
        Schema("Cal endar", MetaData(), Path())
