"""How SQLite is used: WAL, foreign keys, and transactions that really begin when they are begun."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import aiosqlite
from sqlalchemy import event

from perhop.store.errors import StoreDownError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ["READING", "switch_to_wal", "tune"]

READING = "perhop_reading"
"""The execution option of an engine whose transactions only read."""

CACHE_KIB = 512
"""Pages a connection keeps. SQLite's own 2 MiB a connection fill as the file grows, which looks like a leak for days;
whatever is asked for often is in the system's cache of files anyway."""

_RETRY_S = 0.05


async def switch_to_wal(file: str, *, timeout_s: float) -> None:
    """Makes the file a database in WAL mode, which it stays.

    Raises:
        StoreDownError: it cannot be opened, is no database, or others use it in the old mode all the time.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            async with aiosqlite.connect(file, timeout=timeout_s) as connection:
                await connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # The change of mode does not wait for its lock by itself: another process may be doing the same.
            locked = error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not locked or asyncio.get_running_loop().time() >= deadline:
                raise StoreDownError(f"the database file {file} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreDownError(f"the database file {file} cannot be used: {error}") from error
        await asyncio.sleep(_RETRY_S)


def tune(engine: AsyncEngine, *, foreign_keys: bool) -> None:
    """Sets up every connection of this engine."""

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver begins no transactions by itself: it would do so too late, with the first change.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        # In WAL mode only this setting keeps a commit through a loss of power.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get(READING, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
