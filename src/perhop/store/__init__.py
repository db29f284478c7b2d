"""The database: SQLite in a file by default, PostgreSQL when configured.

Whoever owns tables describes them as a :class:`Schema` with its own migrations and its own version table, so that the
tables of Perhop, and of every worker, move forward independently. :func:`upgrade` brings one up to date.
"""

from __future__ import annotations

from perhop.store.database import Database
from perhop.store.errors import NotMigratedError, StoreDownError, StoreError
from perhop.store.schema import Schema, check, current, downgrade, upgrade

__all__ = [
    "Database",
    "NotMigratedError",
    "Schema",
    "StoreDownError",
    "StoreError",
    "check",
    "current",
    "downgrade",
    "upgrade",
]
