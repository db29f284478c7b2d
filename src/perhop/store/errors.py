"""What can go wrong with a database as such, and which errors of the drivers mean it."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from perhop.errors import PerhopError

__all__ = ["OF_DRIVERS", "NotMigratedError", "StoreDownError", "StoreError", "is_down", "is_refused"]

OF_DRIVERS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
    TimeoutError,
)
"""What a lost database raises: not all of it is wrapped by SQLAlchemy."""

_SQLITE_DOWN = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_READONLY")

_POSTGRES_DOWN = (
    "08",  # connection exceptions
    "53",  # out of connections, disk or memory
    "57P",  # the server is shutting down, was killed, or is not up yet
)
"""Beginnings of the SQLSTATE codes that say that the server, not the statement, is at fault."""


class StoreError(PerhopError):
    """The database cannot be used as it is configured."""


class StoreDownError(StoreError):
    """The database does not answer, lets us in no more, or cannot write; trying again later can help."""


class NotMigratedError(StoreError):
    """The tables are not those that this version of Perhop works with."""


def is_down(error: BaseException) -> bool:
    """Whether this error of SQLAlchemy or of a driver says that the database is away, rather than the query wrong."""
    if isinstance(error, PoolTimeoutError | OSError | TimeoutError):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        code = getattr(error.orig, "sqlstate", None) or ""
        if isinstance(code, str) and code.startswith(_POSTGRES_DOWN):
            return True
        cause = error.orig.__cause__ if error.orig is not None else None
        if isinstance(error, OperationalError | InterfaceError) and isinstance(cause, OSError | TimeoutError):
            return True
        name = getattr(error.orig, "sqlite_errorname", None) or ""
        return isinstance(name, str) and name.startswith(_SQLITE_DOWN)
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_POSTGRES_DOWN)
    # The second is what the driver says of its own state when a connection is lost in the middle of many statements.
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)


def is_refused(error: DBAPIError) -> bool:
    """Whether this error says that the values, rather than the statement or the database, are wrong."""
    code = getattr(error.orig, "sqlstate", None) or ""
    # Some of asyncpg's errors of data arrive without their class.
    return isinstance(error, DataError | IntegrityError) or str(code).startswith(("22", "23"))
