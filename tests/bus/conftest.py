"""Buses to test: the same tests run over both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.bus.servers import BINARY, NatsServer, needs_nats

from perhop.config.bus import BusSettings
from perhop.tools.bus import Bus, InProcessBus, NatsBus


@pytest.fixture(scope="session")
def shared_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests that leave it alone."""
    if BINARY is None:
        pytest.skip("nats-server is not installed (apt-get install nats-server)")
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of the test's own, to be killed and restarted."""
    if BINARY is None:
        pytest.skip("nats-server is not installed (apt-get install nats-server)")
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


async def until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Waits for what happens in another process and has no event of its own."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


OpenBus = Callable[..., Awaitable[Bus]]


@pytest.fixture(params=["memory", pytest.param("nats", marks=needs_nats)])
async def open_bus(request: pytest.FixtureRequest) -> AsyncIterator[OpenBus]:
    """Makes buses of one kind; closed at the end."""
    made: list[Bus] = []
    server: NatsServer | None = request.getfixturevalue("shared_nats") if request.param == "nats" else None

    async def open_bus(**changes: object) -> Bus:
        settings = server.settings(**changes) if server is not None else BusSettings(**changes)
        bus: Bus = await NatsBus.open(settings, wait_s=5) if server is not None else InProcessBus(settings)
        assert bus.connected
        made.append(bus)
        return bus

    yield open_bus
    for bus in made:
        await bus.close()


@pytest.fixture
async def bus(open_bus: OpenBus) -> Bus:
    return await open_bus()
