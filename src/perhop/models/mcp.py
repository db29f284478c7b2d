"""MCP work of one session of the built-in server: its effects become requests, what comes of them becomes inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from perhop.realtime.effects import (
    BrainInput,
    CallMcpTool,
    ListMcpTools,
    McpCallDone,
    McpCallFailed,
    McpListFailed,
    McpToolsListed,
    ReleaseMcpServer,
)
from perhop.tools.mcp.provider import McpError, McpSession

__all__ = ["McpWork"]

_log = structlog.get_logger(__name__)


class McpWork:
    """Carries MCP effects out.

    Args:
        session: the connections of this Realtime session.
        feed: takes what came of an effect.
    """

    def __init__(self, session: McpSession, feed: Callable[[BrainInput], None]) -> None:
        self._session = session
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()

    def carry_out(self, effect: ListMcpTools | CallMcpTool | ReleaseMcpServer) -> None:
        """Starts what the server asks for."""
        match effect:
            case ListMcpTools():
                self._spawn(self._list(effect))
            case CallMcpTool():
                self._spawn(self._call(effect))
            case ReleaseMcpServer():
                self._session.release(effect.server)

    def close(self) -> None:
        """Cancels what runs and gives the connections back."""
        for task in self._tasks:
            task.cancel()
        self._session.close()

    async def _list(self, effect: ListMcpTools) -> None:
        try:
            tools = await self._session.list_tools(effect.server)
        except McpError as error:
            _log.warning("MCP tools not listed", server=effect.server.label, kind=error.kind, code=error.code)
            self._feed(McpListFailed(effect.item_id, str(error)))
        else:
            self._feed(McpToolsListed(effect.item_id, tools))

    async def _call(self, effect: CallMcpTool) -> None:
        try:
            output = await self._session.call_tool(effect.server, effect.name, effect.arguments)
        except McpError as error:
            _log.warning(
                "MCP call failed", server=effect.server.label, tool=effect.name, kind=error.kind, code=error.code
            )
            self._feed(McpCallFailed(effect.item_id, error.kind, str(error), error.code))
        else:
            self._feed(McpCallDone(effect.item_id, output))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
