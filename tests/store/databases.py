"""Databases for tests, as fixtures: a file and a real server.

A folder that wants them says ``from tests.store.databases import *`` in its ``conftest.py``. A test that takes
``database`` runs twice, once on SQLite and once on PostgreSQL, with an empty database each time.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from tests.store.postgres import PostgresServer, find_program

from perhop.config import StoreSettings
from perhop.store import Database

__all__ = [
    "Login",
    "database",
    "database_url",
    "open_database",
    "postgres_login",
    "postgres_server",
    "postgres_url",
    "sqlite_url",
]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that all tests of the run share; who wants to kill one starts another."""
    missing = [name for name in ("initdb", "postgres") if find_program(name) is None]
    if missing:
        pytest.skip(f"PostgreSQL is not installed ({', '.join(missing)} not found): apt-get install postgresql")
    server = PostgresServer(fsync=False)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The address of an empty database on PostgreSQL."""
    await postgres_server.ready()
    async with postgres_server.lent_database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, of either kind."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open, empty database of either kind; what it needs of tables, a test makes by ``upgrade``."""
    async with open_database(database_url) as opened:
        yield opened


@asynccontextmanager
async def open_database(url: str, **settings: object) -> AsyncIterator[Database]:
    """Opens what is at this address, with these further settings, and closes it."""
    opened = await Database.open(StoreSettings.model_validate({"url": url, **settings}))
    try:
        yield opened
    finally:
        await opened.close()


class Login:
    """A user of PostgreSQL whom its administrator throws out and lets in again, as while a password is changed.

    Attributes:
        url: the address of an empty database, for this user.
    """

    def __init__(self, admin: asyncpg.Connection, name: str, url: str) -> None:
        self._admin = admin
        self._name = name
        self.url = url

    async def refuse(self) -> None:
        """Ends their connections and takes no new ones."""
        await self._admin.execute(f"ALTER ROLE {self._name} NOLOGIN")
        await self._admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1", self._name
        )

    async def admit(self) -> None:
        """Takes them again."""
        await self._admin.execute(f"ALTER ROLE {self._name} LOGIN")


@pytest.fixture
async def postgres_login(postgres_url: str) -> AsyncIterator[Login]:
    """One that is let in."""
    at = make_url(postgres_url)
    name = f"user_{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(host=at.query["host"], user=at.username, database=at.database)
    try:
        await admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER")
        login = Login(admin, name, at.set(username=name).render_as_string())
        yield login
        await login.refuse()
        await admin.execute(f"DROP OWNED BY {name} CASCADE")
        await admin.execute(f"DROP ROLE {name}")
    finally:
        await admin.close()
