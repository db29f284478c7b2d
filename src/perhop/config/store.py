"""``[store]``: the database."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from perhop.config.table import Table

__all__ = ["StoreSettings"]

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


class StoreSettings(Table):
    """``[store]``: where calls, agents and what workers keep are stored.

    Attributes:
        url: ``sqlite:///path`` (four slashes for an absolute one) or ``postgresql://user:password@host/name``; the file
            ``perhop.db`` in ``server.data`` when unset.
        pool: connections of one process at most; on SQLite each is a thread.
        connect_timeout_s: to a new connection.
        query_timeout_s: one statement; on SQLite how long a writer waits for another one.
        keep_calls_days: past calls older than this are deleted; 0 keeps them for ever.
        queue: changes of calls that wait for a slow or absent database; beyond it the oldest are dropped.
    """

    url: SecretStr | None = None
    pool: Annotated[int, Field(ge=1, le=200)] = 5
    connect_timeout_s: Annotated[float, Field(gt=0, le=120)] = 5.0
    query_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    keep_calls_days: Annotated[int, Field(ge=0, le=36_500)] = 90
    queue: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000

    @field_validator("url")
    @classmethod
    def _names_a_database_we_know(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        scheme, separator, rest = url.get_secret_value().partition("://")
        driver = _DRIVERS.get(scheme)
        if driver is None or not separator:
            raise ValueError("must begin with sqlite:/// or postgresql://")
        if driver.startswith("sqlite") and (not rest.startswith("/") or rest in ("/", "/:memory:")):
            raise ValueError("needs the path of a file: sqlite:///relative.db or sqlite:////absolute.db")
        return SecretStr(f"{driver}://{rest}")
