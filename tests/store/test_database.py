"""One database: transactions, and what happens when it is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from tests.store.databases import Login, open_database
from tests.store.postgres import PostgresServer, find_program

from perhop.config import StoreSettings
from perhop.store import Database, StoreDownError, StoreError


async def rows(db: Database) -> list[int]:
    async with db.session(reading=True) as session:
        return list((await session.execute(text("SELECT id FROM things ORDER BY id"))).scalars())


@pytest.fixture
async def things(database: Database) -> Database:
    async with database.session() as session:
        await session.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
    return database


async def test_a_block_that_ends_is_committed_and_one_that_raises_is_not(things: Database) -> None:
    async with things.session() as session:
        await session.execute(text("INSERT INTO things VALUES (1)"))
    with pytest.raises(RuntimeError, match="no"):
        async with things.session() as session:
            await session.execute(text("INSERT INTO things VALUES (2)"))
            raise RuntimeError("no")
    assert await rows(things) == [1]


async def test_what_a_block_commits_by_itself_stays_whatever_follows(things: Database) -> None:
    with pytest.raises(RuntimeError):
        async with things.session() as session:
            await session.execute(text("INSERT INTO things VALUES (1)"))
            await session.commit()
            await session.execute(text("INSERT INTO things VALUES (2)"))
            raise RuntimeError
    assert await rows(things) == [1]


async def test_a_cancelled_block_is_rolled_back_and_its_connection_used_again(things: Database) -> None:
    inserted = asyncio.Event()

    async def interrupted() -> None:
        async with things.session() as session:
            await session.execute(text("INSERT INTO things VALUES (1)"))
            inserted.set()
            await asyncio.Event().wait()

    for _ in range(8):
        inserted.clear()
        task = asyncio.create_task(interrupted())
        await inserted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await rows(things) == []


async def test_a_cancellation_is_never_forgotten_whenever_it_comes(things: Database) -> None:
    async def write() -> None:
        async with things.session() as session:
            await session.execute(text("SELECT 1"))

    for steps in range(12):
        task = asyncio.create_task(write())
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_writers_that_read_first_all_succeed(things: Database) -> None:
    """On SQLite, transactions that begin as readers and then want to write would fail here as 'database is locked'."""

    async def add_one() -> None:
        async with things.session() as session:
            if things.dialect == "postgresql":
                await session.execute(text("LOCK TABLE things IN EXCLUSIVE MODE"))
            highest = (await session.execute(text("SELECT coalesce(max(id), 0) FROM things"))).scalar_one()
            await session.execute(text("INSERT INTO things VALUES (:id)"), {"id": highest + 1})

    await asyncio.gather(*(add_one() for _ in range(30)))
    assert await rows(things) == list(range(1, 31))


async def test_readers_do_not_wait_for_a_writer(things: Database) -> None:
    async with things.session() as writer:
        await writer.execute(text("INSERT INTO things VALUES (1)"))
        assert await rows(things) == []
    assert await rows(things) == [1]


async def test_mistakes_stay_what_they_are(things: Database) -> None:
    with pytest.raises(IntegrityError):
        async with things.session() as session:
            await session.execute(text("INSERT INTO things VALUES (1), (1)"))
    with pytest.raises(Exception, match="nowhere") as caught:
        async with things.session() as session:
            await session.execute(text("SELECT * FROM nowhere"))
    assert not isinstance(caught.value, StoreError)


async def test_values_are_never_part_of_an_error(things: Database) -> None:
    with pytest.raises(IntegrityError) as caught:
        async with things.session() as session:
            await session.execute(text("INSERT INTO things VALUES (:a), (:a)"), {"a": 31415926})
    assert "parameters hidden" in str(caught.value)


async def test_sqlite_enforces_foreign_keys(tmp_path: Path) -> None:
    db = await Database.open(StoreSettings(), data=tmp_path)
    async with db.session() as session:
        await session.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
        await session.execute(text("CREATE TABLE children (parent INTEGER REFERENCES parents)"))
    with pytest.raises(IntegrityError):
        async with db.session() as session:
            await session.execute(text("INSERT INTO children VALUES (7)"))
    await db.close()


async def test_the_default_is_a_file_in_the_data_folder_in_wal_mode(tmp_path: Path) -> None:
    db = await Database.open(StoreSettings(), data=tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / "perhop.db").exists()
    assert db.dialect == "sqlite"
    async with db.session(reading=True) as session:
        assert (await session.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
    await db.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "perhop.db").write_text("To whom it may concern: this is a letter. " * 100)
    with pytest.raises(StoreError, match="not a database"):
        await Database.open(StoreSettings(), data=tmp_path)


async def test_a_file_that_is_no_database_any_more_may_be_put_back(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    async with open_database(f"sqlite:///{file}") as db:
        kept = file.read_bytes()
        async with db.session(reading=True):  # keeps its connection to itself, so that another is opened
            file.write_text("To whom it may concern: this is a letter. " * 1000)
            with pytest.raises(StoreDownError, match="not a database"):
                async with db.session(reading=True):
                    pass
            file.write_bytes(kept)
            async with db.session(reading=True) as session:
                assert (await session.execute(text("SELECT 1"))).scalar() == 1


async def test_a_server_that_lets_us_in_no_more_is_down_until_it_does(postgres_login: Login) -> None:
    async with open_database(postgres_login.url) as db:
        await postgres_login.refuse()
        for open_one in (db.session, db.driver):
            with pytest.raises(StoreDownError, match="not permitted to log in"):
                async with open_one():
                    pass
        await postgres_login.admit()
        async with db.session() as session:
            assert (await session.execute(text("SELECT 1"))).scalar() == 1


async def test_a_server_that_never_let_us_in_is_a_mistake_in_the_settings(postgres_login: Login) -> None:
    await postgres_login.refuse()
    with pytest.raises(StoreError, match=r"cannot be used: .*not permitted to log in") as caught:
        async with open_database(postgres_login.url):
            pass
    assert not isinstance(caught.value, StoreDownError)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/perhop",
        "postgresql://127.0.0.1:1/perhop?user=me&password=hunter2",
        "postgresql:///perhop?host=127.0.0.1&port=1&user=me&passfile=hunter2",
    ],
)
async def test_a_server_that_is_not_there_is_named_without_its_password(url: str) -> None:
    with pytest.raises(StoreDownError, match="does not answer") as caught:
        await Database.open(StoreSettings(url=SecretStr(url)))
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


async def test_an_unwritten_at_in_a_password_is_explained_without_showing_it() -> None:
    with pytest.raises(StoreError, match="%40") as caught:
        await Database.open(StoreSettings(url=SecretStr("postgresql://me:hun@ter2@127.0.0.1:1/perhop")))
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://x/y", "perhop.db", "sqlite://", "sqlite:///:memory:", "postgresql:x"])
def test_addresses_that_name_no_database_of_ours_are_refused_by_the_settings(url: str) -> None:
    with pytest.raises(ValidationError, match=r"must begin with|needs the path"):
        StoreSettings(url=SecretStr(url))


@pytest.mark.skipif(find_program("postgres") is None, reason="PostgreSQL is not installed: apt-get install postgresql")
async def test_a_server_that_dies_is_down_and_its_return_needs_no_restart_of_ours() -> None:
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        await server.ready()
        db = await Database.open(StoreSettings(url=SecretStr(server.url())))
        async with db.session() as session:
            await session.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
        with pytest.raises(StoreDownError, match="went away"):
            async with db.session() as session:
                await session.execute(text("INSERT INTO things VALUES (1)"))
                server.kill()
                await session.execute(text("INSERT INTO things VALUES (2)"))
        with pytest.raises(StoreDownError, match="does not answer"):
            await rows(db)
        server.start()
        await server.ready()
        assert await rows(db) == []
        with pytest.raises(ProgrammingError):
            async with db.session() as session:
                await session.execute(text("SELECT * FROM nowhere"))
        await db.close()
    finally:
        server.remove()
