from __future__ import annotations

from tests.bus.conftest import nats_server, shared_nats
from tests.store.databases import database, database_url, postgres_server, postgres_url, sqlite_url

__all__ = ["database", "database_url", "nats_server", "postgres_server", "postgres_url", "shared_nats", "sqlite_url"]
