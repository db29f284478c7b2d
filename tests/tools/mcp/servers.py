"""Real MCP servers on loopback: the official SDK's, with the tools of these tests, and everything they were asked."""

from __future__ import annotations

import asyncio
import json as json_
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, TypedDict

import uvicorn
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import TextContent, ToolAnnotations
from starlette.types import ASGIApp, Receive, Scope, Send

from perhop.realtime.mcp.declared import McpRules, McpServer
from perhop.tools.guard import Guard, Reach
from perhop.tools.mcp.connector import McpConnector, McpLimits

LOOPBACK = ip_network("127.0.0.0/8")


class Place(TypedDict):
    """What ``find`` returns."""

    name: str
    country: str


@dataclass
class Happened:
    """What a server was asked, and what became of it.

    Attributes:
        requests: (method, headers) of every HTTP request.
        answer: replaces the server: the status of every further answer, or None.
    """

    url: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answer: int | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def methods(self) -> list[str]:
        return [method for method, _ in self.requests]

    def headers(self, name: str) -> set[str]:
        return {headers[name] for _, headers in self.requests if name in headers}

    def server(self, label: str = "maps", **fields: Any) -> McpServer:
        return McpServer(label, self.url, **fields)


def maps(happened: Happened) -> MCPServer:
    """A server of a few tools."""
    server = MCPServer("maps", log_level="ERROR")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def find(place: str) -> Place:
        """Finds a place."""
        return {"name": place, "country": "Italy"}

    @server.tool()
    def greet(name: str) -> str:
        """Says hello."""
        return f"Hello, {name}!"

    @server.tool()
    def several() -> list[str]:
        """Many texts."""
        return ["one", "two"]

    @server.tool()
    def picture() -> Image:
        """No text at all."""
        return Image(data=b"\x89PNG", format="png")

    @server.tool()
    def fail(reason: str) -> str:
        """Fails."""
        raise ToolError(reason)

    @server.tool(structured_output=False)
    def long(size: int) -> str:
        """A long text."""
        return "x" * size

    @server.tool()
    async def wait() -> str:
        """Never returns."""
        happened.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            happened.cancelled.set()
            raise
        return ""

    @server.tool(structured_output=False)
    def blocks() -> list[TextContent]:
        """Text in two blocks."""
        return [TextContent(text="one"), TextContent(text="two")]

    return server


@asynccontextmanager
async def mcp_server(
    build: Callable[[Happened], MCPServer] = maps, *, json: bool = False, stateless: bool = False
) -> AsyncIterator[Happened]:
    """Serves until the block ends.

    Args:
        json: answer with JSON instead of event streams.
        stateless: no sessions.
    """
    happened = Happened()
    app = build(happened).streamable_http_app(json_response=json, stateless_http=stateless)
    async with serving(_watched(app, happened)) as base:
        happened.url = f"{base}/mcp"
        yield happened


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serves an ASGI application on loopback; the address is its base."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has nothing else to wait for
        await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def _watched(app: ASGIApp, happened: Happened) -> ASGIApp:
    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            happened.requests.append((scope["method"], headers))
            if happened.answer is not None:
                await send({"type": "http.response.start", "status": happened.answer, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return watch


@dataclass
class HandshakeServer:
    """A server as they were before the newest revision, in a few lines: for what the real one cannot be made to do.

    Attributes:
        results: method → what it returns, given its parameters.
        seen: (method, session id) of every message.
        forgets_after: tool calls that the first session is good for.
        written: method → its answer, with 200, as a page for people.
    """

    results: dict[str, Callable[[dict[str, Any]], object]]
    seen: list[tuple[str, str]] = field(default_factory=list)
    forgets_after: int = 1_000
    written: dict[str, bytes] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = (await receive()).get("body", b"")
        message = json_.loads(body) if body else {}
        session = dict(scope["headers"]).get(b"mcp-session-id", b"").decode()
        method = message.get("method", scope["method"])
        self.seen.append((method, session))
        headers = [(b"content-type", b"application/json")]
        if method == "initialize":
            headers.append((b"mcp-session-id", f"s{self.asked('initialize')}".encode()))
        status, answer = self._answer(method, message, session)
        if method in self.written:
            headers, answer = [(b"content-type", b"text/html")], self.written[method]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def asked(self, method: str) -> int:
        """How often a method was asked for."""
        return [seen for seen, _ in self.seen].count(method)

    def _answer(self, method: str, message: dict[str, Any], session: str) -> tuple[int, bytes]:
        if "id" not in message:
            return {"GET": 405, "DELETE": 200}.get(method, 202), b""
        if session == "s1" and method == "tools/call" and self.asked(method) > self.forgets_after:
            return 404, b""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if method == "initialize":
            capabilities = {"tools": {}}
            info = {"name": "old", "version": "1"}
            answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": info}
        elif method in self.results:
            answer["result"] = self.results[method](message.get("params") or {})
        else:
            answer["error"] = {"code": -32601, "message": "Method not found"}
        return 200, json_.dumps(answer).encode()


@asynccontextmanager
async def connector(limits: McpLimits | None = None, *, reach: Reach | None = None) -> AsyncIterator[McpConnector]:
    """A connector that may reach loopback."""
    guard = Guard(reach or Reach.of(networks=[LOOPBACK]))
    made = McpConnector(guard, McpRules(hosts=frozenset({"*"})), limits=limits)
    try:
        yield made
    finally:
        await made.close()
        await guard.aclose()
