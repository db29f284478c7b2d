"""``[worker]``: processes that serve tools over the bus."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from perhop.config.store import StoreSettings
from perhop.config.table import Port, Table

__all__ = ["WorkerSettings"]


class WorkerSettings(Table):
    """``[worker]``: what ``perhop worker run`` needs beyond ``[bus]``.

    Attributes:
        database: URL of the worker's database, as in ``store.url``. When unset, ``store.url``; when that is unset too,
            the file ``<name of the worker>.db`` in ``server.data``.
        host: address of health and metrics.
        port: TCP, of the same; 0 takes any free one.
        drain_s: how long calls that run may go on after SIGTERM.
        keep_outcomes_days: how long a repetition of a function call is recognised.
    """

    database: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Port = 0
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 20.0
    keep_outcomes_days: Annotated[int, Field(ge=1, le=36_500)] = 30

    @field_validator("database")
    @classmethod
    def _names_a_database_we_know(cls, database: SecretStr | None) -> SecretStr | None:
        return StoreSettings(url=database).url
