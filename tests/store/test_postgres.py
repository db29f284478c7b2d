"""Connections to PostgreSQL: lost ones are replaced before anybody gets one, and nobody is asked at every use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.bus.conftest import until
from tests.store.databases import open_database

from perhop.store import Database, StoreDownError, StoreError
from perhop.store.postgres import keep_fresh


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with open_database(postgres_url) as opened:
        yield opened


async def driver_of(database: Database) -> asyncpg.Connection:
    """The connection that was used last."""
    async with database.driver() as connection:
        return connection


async def test_a_connection_that_the_server_closed_while_it_lay_idle_is_nobodys_trouble(database: Database) -> None:
    idle = await driver_of(database)
    async with database.driver() as one, database.driver() as other:
        assert one is idle
        await other.execute("SELECT pg_terminate_backend($1)", idle.get_server_pid())
    await until(idle.is_closed)
    async with database.session() as session:
        assert (await session.execute(text("SELECT 1"))).scalar() == 1
    assert await driver_of(database) is not idle


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(postgres_url)
    yield engine
    await engine.dispose()


async def pid(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def test_one_that_lay_idle_for_long_is_asked_first(engine: AsyncEngine) -> None:
    keep_fresh(engine, idle_s=-1.0)
    first = await pid(engine)
    assert await pid(engine) == first
    # From here to the next use our event loop does not run, so nothing tells us that it is gone.
    os.kill(first, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while exists(first):
        assert time.monotonic() < deadline
        time.sleep(0.005)  # noqa: ASYNC251 - see above
    assert await pid(engine) != first


async def test_one_in_use_all_the_time_is_not_asked(engine: AsyncEngine) -> None:
    keep_fresh(engine)
    await pid(engine)
    statements: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    async with engine.connect() as connection:
        entry = await connection.get_raw_connection()
        driver = entry.driver_connection
        assert driver is not None
        driver.add_query_logger(lambda record: statements.append(record.query))
    await pid(engine)
    assert [one for one in statements if "pg_backend_pid" not in one and one != "BEGIN;"] == ["ROLLBACK;"]


async def test_a_statement_of_the_driver_is_a_transaction_by_itself(database: Database) -> None:
    async with database.driver() as connection:
        await connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY)")
    with pytest.raises(RuntimeError):
        async with database.driver() as connection:
            await connection.execute("INSERT INTO things VALUES (1)")
            raise RuntimeError
    async with database.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM things") == 1


async def test_what_the_driver_complains_of_is_told_like_everything_else(database: Database) -> None:
    with pytest.raises(StoreError, match="UndefinedTableError") as caught:
        async with database.driver() as connection:
            await connection.fetch("SELECT * FROM nowhere WHERE name = $1", "Alice")
    assert not isinstance(caught.value, StoreDownError)
    assert "Alice" not in str(caught.value)
    with pytest.raises(StoreDownError, match="went away"):
        async with database.driver() as connection:
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_block_that_reads_is_no_transaction(database: Database) -> None:
    async with database.session(reading=True) as session:
        first, second = [(await session.execute(text("SELECT now()"))).scalar() for _ in range(2)]
    assert first != second
    async with database.session() as session:
        first, second = [(await session.execute(text("SELECT now()"))).scalar() for _ in range(2)]
    assert first == second


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_connection_whose_driver_lost_its_way_counts_as_lost_and_is_not_used_again(database: Database) -> None:
    # So says asyncpg when a server dies in the middle of an executemany.
    with pytest.raises(StoreDownError, match="went away"):
        async with database.driver() as connection:
            raise asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress")
    assert connection.is_closed()
    assert await driver_of(database) is not connection
