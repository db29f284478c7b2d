from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.brain.http.server import FakeServer

from perhop.brain.http import open_client


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer().run() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(timeout_s=5) as client:
        yield client
