from __future__ import annotations

from tests.store.databases import database, database_url, postgres_login, postgres_server, postgres_url, sqlite_url

__all__ = ["database", "database_url", "postgres_login", "postgres_server", "postgres_url", "sqlite_url"]
