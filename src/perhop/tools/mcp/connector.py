"""Connects Realtime sessions to the MCP servers they declare."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TypeVar

from perhop.realtime.mcp.declared import McpRules, McpServer
from perhop.realtime.mcp.effects import McpToolInfo
from perhop.realtime.wire import JsonObject
from perhop.tools.guard import Guard
from perhop.tools.mcp.connection import Connection, McpLimits, SessionGoneError
from perhop.tools.mcp.provider import McpError
from perhop.tools.mcp.stdio import StdioServer

__all__ = ["McpConnector", "McpLimits"]

T = TypeVar("T")


class McpConnector:
    """The MCP side of one process; implements :class:`~perhop.tools.mcp.provider.McpProvider`.

    Args:
        guard: the way out.
        rules: which servers sessions may name.
    """

    def __init__(self, guard: Guard, rules: McpRules, *, limits: McpLimits | None = None) -> None:
        self.rules = rules
        self._guard = guard
        self._limits = limits or McpLimits()
        self._connections: set[Connection] = set()
        # The SDK imports it with the first result that has a schema, which would hold up every call of the process.
        import_module("jsonschema")

    def open(self) -> _Session:
        """For one Realtime session; connects to nothing yet."""
        return _Session(self._connect)

    async def close(self) -> None:
        """Ends all connections: waits until they have said goodbye, and cancels those that take too long."""
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        tasks = [connection.task for connection in connections]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.close_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connect(self, server: McpServer | StdioServer) -> Connection:
        connection = Connection(server, self._guard, self._limits)
        self._connections.add(connection)
        connection.task.add_done_callback(lambda _: self._connections.discard(connection))
        return connection


class _Session:
    """The servers of one Realtime session: a connection each, made when it is first needed."""

    def __init__(self, connect: Callable[[McpServer | StdioServer], Connection]) -> None:
        self._connect = connect
        self._connections: dict[McpServer | StdioServer, Connection] = {}
        self._busy: dict[Connection, int] = {}
        self._closed = False

    async def list_tools(self, server: McpServer | StdioServer) -> tuple[McpToolInfo, ...]:
        """All tools of a server."""
        return await self._ask(server, lambda connection: connection.list_tools())

    async def call_tool(self, server: McpServer | StdioServer, name: str, arguments: JsonObject) -> str:
        """Runs a tool and returns its result as text."""
        return await self._ask(server, lambda connection: connection.call_tool(name, arguments))

    def release(self, server: McpServer | StdioServer) -> None:
        """Nothing more will be asked of this server; calls that run may end."""
        connection = self._connections.pop(server, None)
        if connection is not None and not self._busy.get(connection):
            connection.close()

    def close(self) -> None:
        """Gives all connections back; returns at once."""
        self._closed = True
        for connection in {*self._connections.values(), *self._busy}:
            connection.close()
        self._connections.clear()

    async def _ask(self, server: McpServer | StdioServer, request: Callable[[Connection], Awaitable[T]]) -> T:
        """Asks; and once more over a new connection when the server answers that it has forgotten the session.

        Only what was itself answered so: what else was under way may have had its effect.
        """
        connection = self._connection(server)
        try:
            return await self._through(connection, request)
        except SessionGoneError:
            if self._closed:
                raise
        return await self._through(self._connection(server), request)

    async def _through(self, connection: Connection, request: Callable[[Connection], Awaitable[T]]) -> T:
        self._busy[connection] = self._busy.get(connection, 0) + 1
        try:
            return await request(connection)
        finally:
            self._busy[connection] -= 1
            if not self._busy[connection]:
                del self._busy[connection]
                if connection not in self._connections.values():
                    connection.close()

    def _connection(self, server: McpServer | StdioServer) -> Connection:
        if self._closed:
            raise McpError("http_error", "The session is over.", 502)
        connection = self._connections.get(server)
        if connection is None or not connection.usable:
            if connection is not None and not self._busy.get(connection):
                connection.close()  # the last request that is still under way closes it otherwise
            connection = self._connections[server] = self._connect(server)
        return connection
