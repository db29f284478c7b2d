"""One database and its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal, Self

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from perhop.config.store import StoreSettings
from perhop.store.errors import OF_DRIVERS, StoreDownError, StoreError, is_down
from perhop.store.postgres import keep_fresh
from perhop.store.sqlite import READING, switch_to_wal, tune

__all__ = ["DEFAULT_FILE", "Database", "Dialect"]

DEFAULT_FILE = "perhop.db"
"""In the data folder, when no URL is configured."""

Dialect = Literal["sqlite", "postgresql"]

_SHOWN = {"host", "port", "user", "database", "ssl", "sslmode"}
"""Parameters of an address that are no secrets; passwords come by more names than one can list."""


class Database:
    """A database in use; make one with :meth:`open`.

    SQLite runs in WAL mode with foreign keys enforced: readers never wait, one writer at a time. A transaction that may
    write takes its place in the queue of writers when it begins, so that none fails halfway because another was first.
    """

    def __init__(self, url: URL, settings: StoreSettings) -> None:
        self._url = url
        self._settings = settings
        self._writer = asyncio.Lock()
        self._opened = False
        self._writing = self._make_engine(timeout_s=settings.query_timeout_s)
        # A statement sees PostgreSQL as it is when it begins, inside a transaction or not; whoever only reads is spared
        # the round trips for one.
        reading = {"isolation_level": "AUTOCOMMIT"} if self.dialect == "postgresql" else {READING: True}
        self._reading = self._writing.execution_options(**reading)

    @classmethod
    async def open(cls, settings: StoreSettings, *, data: Path | None = None) -> Self:
        """Opens the database and makes sure that it answers.

        Args:
            data: the folder of the default file; ``.perhop`` when None. Created if need be.

        Raises:
            StoreDownError: nobody answers at this address, or the file cannot be opened.
            StoreError: the URL makes no sense, or the database refuses us.
        """
        database = cls(_url(settings, data or Path(".perhop")), settings)
        try:
            if database.dialect == "sqlite":
                await switch_to_wal(database._url.database or "", timeout_s=settings.query_timeout_s)
            async with database.session(reading=True) as session:
                await session.execute(text("SELECT 1"))
        except BaseException:
            await database.close()
            raise
        database._opened = True
        return database

    @property
    def url(self) -> str:
        """The address, without its password; of its parameters only those that say where and who."""
        others = set(self._url.query) - _SHOWN
        return self._url.difference_update_query(others).render_as_string(hide_password=True)

    @property
    def dialect(self) -> Dialect:
        """``sqlite`` or ``postgresql``."""
        return "sqlite" if self._url.get_backend_name() == "sqlite" else "postgresql"

    @asynccontextmanager
    async def session(self, *, reading: bool = False) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises. Objects stay readable after it.

        A block may also commit by itself, when something has to be durable before it goes on.

        Args:
            reading: the block only reads; on SQLite it then waits for no writer, on PostgreSQL it is no transaction.

        Raises:
            StoreDownError: the database is away, lets us in no more or does not answer in time. When that happens to
                the commit itself, it may have been made all the same.
        """
        engine = self._reading if reading else self._writing
        async with self._turn(reading=reading), AsyncSession(engine, expire_on_commit=False) as session:
            with self._reaching():
                # Now, not with the first statement: a writer on SQLite gets its turn before it reads.
                await session.connection()
            with self._using():
                yield session
                if not reading:
                    await session.commit()

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of PostgreSQL's driver, outside any transaction: a statement is carried out and committed in one
        round trip, at a tenth of what a session costs. For the few statements that somebody on the phone waits for.

        Raises:
            StoreDownError: the database is away or does not answer in time. When that happens to a statement, it may
                have been carried out all the same.
            StoreError: the database does not understand the statement, or refuses it.
        """
        async with AsyncExitStack() as stack:
            with self._reaching():
                connection = await stack.enter_async_context(self._writing.connect())
                entry = await connection.get_raw_connection()
            assert isinstance(entry.driver_connection, asyncpg.Connection), "only PostgreSQL has this"
            try:
                with self._using():
                    yield entry.driver_connection
            except StoreDownError:
                # Its state may be that of a statement under way, whether the socket is closed or not.
                entry.driver_connection.terminate()
                raise
            except asyncpg.PostgresError as error:
                raise StoreError(f"the database {self.url} refuses a statement: {type(error).__name__}") from error

    async def close(self) -> None:
        """Closes all connections; idempotent."""
        await self._writing.dispose()

    def migration_engine(self, *, timeout_s: float) -> AsyncEngine:
        """An engine without a pool for changing tables; whoever asks for it disposes of it.

        Foreign keys are not enforced on SQLite: there a table is changed by building it anew and dropping the old one,
        which would take along whatever refers to it.

        Args:
            timeout_s: of one statement, and on SQLite for another writer.
        """
        return self._make_engine(timeout_s=timeout_s, for_migrations=True)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """What happens in the block is getting a connection."""
        try:
            yield
        except (*OF_DRIVERS, OSError) as error:
            if is_down(error):
                raise StoreDownError(f"the database {self.url} does not answer: {_reason(error)}") from error
            # Whom it let in before it may let in again: a password is being changed, a database restored.
            refused = StoreDownError if self._opened else StoreError
            raise refused(f"the database {self.url} cannot be used: {_reason(error)}") from error

    @contextmanager
    def _using(self) -> Iterator[None]:
        """What happens in the block is done with a connection."""
        try:
            yield
        except OF_DRIVERS as error:
            if is_down(error):
                raise StoreDownError(f"the database {self.url} went away: {_reason(error)}") from error
            raise

    @asynccontextmanager
    async def _turn(self, *, reading: bool) -> AsyncIterator[None]:
        """A writer on SQLite waits here for those of this process, in order: the file's own lock is polled, at
        intervals that grow."""
        if reading or self.dialect != "sqlite":
            yield
            return
        try:
            # Not wait_for: up to Python 3.11 it forgets a cancellation that comes just as it is done.
            async with asyncio.timeout(self._settings.query_timeout_s):
                await self._writer.acquire()
        except TimeoutError:
            raise StoreDownError(f"the database {self.url} is busy: another writer does not end") from None
        try:
            yield
        finally:
            self._writer.release()

    def _make_engine(self, *, timeout_s: float, for_migrations: bool = False) -> AsyncEngine:
        url, settings = self._url, self._settings
        sqlite = self.dialect == "sqlite"
        connect: dict[str, object] = (
            {"timeout": timeout_s}
            if sqlite
            else {
                "timeout": settings.connect_timeout_s,
                "command_timeout": timeout_s,
                "server_settings": {"application_name": "perhop"},
            }
        )
        if for_migrations:
            engine = create_async_engine(url, connect_args=connect, hide_parameters=True, poolclass=NullPool)
        else:
            engine = create_async_engine(
                url,
                connect_args=connect,
                # Errors are logged; what is stored must not be.
                hide_parameters=True,
                pool_size=settings.pool,
                max_overflow=0,
                pool_timeout=timeout_s,
                # The one used last knows our statements best, and so does its process in the server.
                pool_use_lifo=True,
            )
        if sqlite:
            tune(engine, foreign_keys=not for_migrations)
        elif not for_migrations:
            keep_fresh(engine)
        return engine


def _url(settings: StoreSettings, data: Path) -> URL:
    if settings.url is None:
        url = URL.create("sqlite+aiosqlite", database=str(data / DEFAULT_FILE))
    else:
        try:
            url = make_url(settings.url.get_secret_value())
        except (ArgumentError, ValueError):
            # The reason would repeat the URL, password included.
            raise StoreError("store.url is no address; one looks like postgresql://user:password@host/name") from None
        if "@" in (url.host or ""):
            # The rest of a password would be shown as part of the host.
            raise StoreError("store.url has an @ too many; in a password it is written %40")
    if url.get_backend_name() == "sqlite" and url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder of {url.database} cannot be made: {error.strerror}") from error
    return url


def _reason(error: BaseException) -> str:
    """One line without statements or values."""
    cause = getattr(error, "orig", None) or error
    line = str(cause).strip().split("\n", 1)[0]
    return line.removeprefix(f"{type(cause)}: ") or type(cause).__name__
