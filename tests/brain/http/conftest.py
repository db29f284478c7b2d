from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from tests.brain.http.server import FakeServer

from perhop.brain.http import open_client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_server() -> AsyncIterator[FakeServer]:
    async with FakeServer().run() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def server(running_server: FakeServer) -> AsyncIterator[FakeServer]:
    running_server.reset()
    yield running_server
    if running_server.gate is not None:
        running_server.gate.set()


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(timeout_s=5) as client:
        yield client
