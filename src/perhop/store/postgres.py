"""How PostgreSQL is used: connections that were lost while they lay idle are replaced before anybody gets one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

if TYPE_CHECKING:
    from sqlalchemy.engine import AdaptedConnection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["IDLE_S", "keep_fresh"]

IDLE_S = 5.0
"""A connection that was used within this time is used again unasked."""

_SINCE = "perhop_idle_since"


def keep_fresh(engine: AsyncEngine, *, idle_s: float = IDLE_S) -> None:
    """Watches over the pool of this engine.

    A server that ends or is restarted closes its connections, and the driver knows without asking; so what is used all
    the time costs no further round trip. One that lay idle for longer is asked, for what lies between may have
    forgotten it without a word.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def returned(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info[_SINCE] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def taken(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: PoolProxiedConnection) -> None:
        driver = entry.driver_connection
        if driver is None or driver.is_closed():
            raise DisconnectionError
        since = entry.info.get(_SINCE)
        if since is None or time.monotonic() - since <= idle_s:
            return
        try:
            cast("AdaptedConnection", connection).run_async(lambda own: own.execute("SELECT 1"))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise DisconnectionError from error
