"""A real server on a real port, for clients that want one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from tests.api.helpers import World

from perhop.cli.server import PerhopServer, open_server

Serve = Callable[[World], Awaitable[PerhopServer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a world on a free loopback port until the test is over."""
    async with AsyncExitStack() as stack:

        async def start(world: World) -> PerhopServer:
            settings = world.services.settings
            free = settings.server.model_copy(update={"port": 0, "drain_s": 0.0})
            started = asyncio.Event()
            server = open_server(
                settings.model_copy(update={"server": free}),
                app=world.app,
                on_started=lambda _: started.set(),
                signals=False,
            )
            serving = asyncio.create_task(server.serve_here())

            async def stop() -> None:
                server.should_exit = True
                await serving

            stack.push_async_callback(stop)
            await started.wait()
            return server

        yield start
