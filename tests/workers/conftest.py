from __future__ import annotations

from tests.bus.conftest import bus, nats_server, open_bus, shared_nats
from tests.store.databases import database, database_url, postgres_server, postgres_url, sqlite_url

__all__ = [
    "bus",
    "database",
    "database_url",
    "nats_server",
    "open_bus",
    "postgres_server",
    "postgres_url",
    "shared_nats",
    "sqlite_url",
]
