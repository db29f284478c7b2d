"""Effects under load while the database or the bus is killed: each is had once, whatever the answers were."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from tests.bus.conftest import until
from tests.bus.servers import NatsServer, needs_nats
from tests.store.databases import sqlite_url
from tests.store.postgres import PostgresServer, find_program
from tests.workers.sdk.ledger import Entry, create_tables, make_worker

from perhop.config import StoreSettings
from perhop.store import Database
from perhop.tools.bus import Bus, BusError, NatsBus, RemoteError
from perhop.workers.sdk.testing import WorkerBench, running

__all__ = ["sqlite_url"]

pytestmark = pytest.mark.integration

CALLERS = 6
AGAIN = ("unavailable", "unknown_outcome", "busy", "cancelled")


async def effects(database: Database) -> dict[str, int]:
    async with database.session(reading=True) as session:
        rows = await session.execute(select(Entry.account, func.count()).group_by(Entry.account))
        return dict(list(rows))


class Load:
    """Callers who ask for one effect after the other, and ask again until they have an answer."""

    def __init__(self, bench: WorkerBench, bus: Bus | None = None) -> None:
        self._bench = bench
        if bus is not None:
            bench.bus = bus
        self.answered: list[str] = []
        self.repeated = 0
        self._stopped = False

    async def run(self, kill: Callable[[], Awaitable[None]], times: int) -> None:
        async with asyncio.timeout(30 + 10 * times), asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(self._caller(caller))
            for _ in range(times):
                have = len(self.answered)
                await until(lambda have=have: len(self.answered) >= have + 20)  # type: ignore[misc]
                await kill()
            have = len(self.answered)
            await until(lambda: len(self.answered) >= have + 20)
            self._stopped = True

    async def _caller(self, caller: int) -> None:
        number = 0
        while not self._stopped:
            account = f"{caller}-{number}"
            number += 1
            while True:
                try:
                    arguments = {"account": account, "amount": 1}
                    await self._bench.call("add", arguments, function_call_id=account, timeout_s=2.0)
                    break
                except RemoteError as error:
                    assert error.code in AGAIN, error.code
                except BusError:
                    pass
                self.repeated += 1
                await asyncio.sleep(0.02)
            self.answered.append(account)


@pytest.fixture
async def own_postgres() -> AsyncIterator[PostgresServer]:
    if find_program("initdb") is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        await server.ready()
        yield server
    finally:
        server.remove()


async def test_a_database_killed_under_load_neither_loses_nor_doubles_an_effect(
    own_postgres: PostgresServer, kills: int
) -> None:
    url = await own_postgres.new_database()
    database = await Database.open(StoreSettings(url=SecretStr(url), pool=8))
    await create_tables(database)

    async def kill() -> None:
        await asyncio.to_thread(own_postgres.crash)
        await asyncio.sleep(0.1)
        own_postgres.start()
        await own_postgres.ready()

    try:
        async with running(make_worker(), database=database) as bench:
            load = Load(bench)
            await load.run(kill, kills)
            counts = await effects(database)
    finally:
        with contextlib.suppress(Exception):
            await database.close()
    assert counts == dict.fromkeys(load.answered, 1)
    assert load.repeated > 0


@needs_nats
async def test_a_bus_killed_under_load_neither_loses_nor_doubles_an_effect(
    nats_server: NatsServer, sqlite_url: str, kills: int
) -> None:
    database = await Database.open(StoreSettings(url=SecretStr(sqlite_url)))
    await create_tables(database)
    gateway = await NatsBus.open(nats_server.settings(), wait_s=5)
    workers = await NatsBus.open(nats_server.settings(), wait_s=5)

    async def kill() -> None:
        nats_server.kill()
        await asyncio.sleep(0.1)
        nats_server.start()

    try:
        async with running(make_worker(), database=database, bus=workers) as bench:
            load = Load(bench, gateway)
            await load.run(kill, kills)
            counts = await effects(database)
    finally:
        await gateway.close()
        await workers.close()
        await database.close()
    assert counts == dict.fromkeys(load.answered, 1)
    assert load.repeated > 0
