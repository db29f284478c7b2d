"""A gateway whose agents' callers talk to another Perhop directly, over a wire that tests can cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openai import AsyncOpenAI
from tests.models.perhops import served

from perhop.config import AgentSettings, LogSettings, ServerSettings, Settings, UpstreamSettings, WebRTCSettings
from perhop.tools.tool import tool

__all__ = ["BEGUN", "GO", "Wire", "direct_gateway", "slow_hours", "through"]

BEGUN, GO = asyncio.Event(), asyncio.Event()
"""Of ``slow_hours``: it runs; it may go on."""


@tool(effect="none", name="opening_hours")
async def slow_hours(day: str) -> str:
    """Tells when we are open, in its own time.

    Args:
        day: of the week.
    """
    BEGUN.set()
    await GO.wait()
    return f"On {day}, slowly, from nine to five."


DESK: dict[str, Any] = {
    "name": "desk",
    "model": "second",
    "route": "direct",
    "instructions": "You are the front desk.",
    "tools": ("tests.models.perhops:opening_hours",),
}


class Wire:
    """The TCP connections between a gateway and its model; media does not pass here.

    Attributes:
        refuses: new connections are closed at once.
        opened: connections so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self.refuses = False
        self.opened = 0

    def cut(self) -> None:
        """Breaks every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self.refuses:
            writer.transport.abort()
            return
        self.opened += 1
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def through(model: UpstreamSettings) -> AsyncIterator[tuple[UpstreamSettings, Wire]]:
    """The same model, reached over a wire."""
    parts = urlsplit(model.url)
    wire = Wire(parts.hostname or "", parts.port or 0)
    server = await asyncio.start_server(wire.take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield model.model_copy(update={"url": f"{parts.scheme}://127.0.0.1:{port}{parts.path}"}), wire
    finally:
        server.close()
        wire.cut()


@asynccontextmanager
async def direct_gateway(
    folder: Path, model: UpstreamSettings, *, agent: dict[str, Any] | None = None, **fields: Any
) -> AsyncIterator[AsyncOpenAI]:
    """A Perhop whose agent ``desk`` takes direct calls; an official client of it.

    Args:
        agent: further settings of the agent.
    """
    settings = Settings(
        file=folder / "perhop.toml",  # tools come from the modules that the tests know too
        server=ServerSettings(port=0, drain_s=0, data=folder / "gateway"),
        webrtc=WebRTCSettings(host="127.0.0.1", port=0),
        models={"second": model},
        agents=(AgentSettings(**{**DESK, **(agent or {})}),),
        log=LogSettings(level="error"),
        **fields,
    )
    async with served(settings) as url, AsyncOpenAI(api_key="any", base_url=f"{url}/v1", max_retries=0) as client:
        yield client
