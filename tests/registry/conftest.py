"""Databases and buses for the registry's tests, and registries over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from tests.bus.conftest import shared_nats
from tests.store.databases import database, database_url, postgres_server, postgres_url, sqlite_url

from perhop.config import Settings
from perhop.registry import Registry
from perhop.registry.opening import open_registry
from perhop.registry.tables import SCHEMA
from perhop.store import Database, upgrade

__all__ = ["database", "database_url", "postgres_server", "postgres_url", "shared_nats", "sqlite_url"]

OpenRegistry = Callable[..., Awaitable[Registry]]


@pytest.fixture
async def tables(database: Database) -> Database:
    await upgrade(database, SCHEMA)
    return database


@pytest.fixture
async def open_(tables: Database) -> AsyncIterator[OpenRegistry]:
    """Opens registries of processes that share a database; each with a settings file of its own."""
    async with AsyncExitStack() as stack:

        async def open_(**given: object) -> Registry:
            settings = Settings.model_validate(given)
            registry = await open_registry(settings, tables)
            stack.push_async_callback(registry.close)
            return registry

        yield open_
