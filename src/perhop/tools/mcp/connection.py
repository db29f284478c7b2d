"""One connection to one MCP server, through the guard.

The official SDK speaks the protocol: version negotiation, session ids, JSON and event-stream answers, cancellation, and
the DELETE that ends a session. Its contexts have to be left by the task that entered them, so each connection lives in
a task of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import mcp_types
import orjson
from mcp import Client, ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

from perhop.realtime.mcp.declared import McpServer
from perhop.realtime.mcp.effects import McpToolInfo
from perhop.realtime.wire import JsonObject
from perhop.tools.guard import Guard, OutgoingError, OutgoingLimits, OutgoingTimeoutError, RefusedAddressError
from perhop.tools.mcp.provider import McpError
from perhop.tools.mcp.result import tool_info, tool_result
from perhop.tools.mcp.stdio import StdioServer

__all__ = ["Connection", "McpLimits", "SessionGoneError"]

T = TypeVar("T")

_MAX_MESSAGE = 500
_CALL, _LIST = "tools/call", "tools/list"
_FORBIDDEN, _NOT_FOUND, _BAD_GATEWAY, _GATEWAY_TIMEOUT = 403, 404, 502, 504


@dataclass(frozen=True, slots=True, kw_only=True)
class McpLimits:
    """Bounds of a connection.

    Attributes:
        connect_s: connection and handshake.
        request_s: one request; a tool that takes longer is cancelled.
        close_s: saying goodbye.
        max_tools: tools of one server; further ones are left out.
        max_pages: pages of a listing that are read.
        max_tool_bytes: description and schema of one tool; larger tools are left out.
        max_result_bytes: one result, as text.
        max_answer_bytes: one HTTP answer.
    """

    connect_s: float = 10.0
    request_s: float = 20.0
    close_s: float = 5.0
    max_tools: int = 128
    max_pages: int = 16
    max_tool_bytes: int = 32_768
    max_result_bytes: int = 65_536
    max_answer_bytes: int = 4 * 1024 * 1024


class SessionGoneError(McpError):
    """This very request was answered with: the session is forgotten. So nothing was done, and it may be made again."""


class Connection:
    """Opens at once; every request waits until it is open.

    Attributes:
        task: it lives as long as this task.
        stale: the server has forgotten the session; a new connection is needed.
    """

    def __init__(self, server: McpServer | StdioServer, guard: Guard, limits: McpLimits) -> None:
        self._server = server
        self._guard = guard
        self._limits = limits
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._client.add_done_callback(_seen)
        self._leaving = asyncio.Event()
        self._failure: McpError | None = None
        self._refusal: int | None = None
        self._forgotten: set[str] = set()  # methods whose last answer was that there is no such session
        self._listed = False
        self.stale = False
        self.task = asyncio.get_running_loop().create_task(self._live(), name=f"mcp {server.label}")

    @property
    def usable(self) -> bool:
        """Requests can be sent through it."""
        return not self.task.done() and not self.stale

    async def list_tools(self) -> tuple[McpToolInfo, ...]:
        """All tools, page by page.

        Raises:
            McpError: they cannot be listed.
        """
        limits = self._limits
        found: list[McpToolInfo] = []
        cursor: str | None = None
        for _ in range(limits.max_pages):
            page = await self._ask(_LIST, _page_at(cursor))
            found += [info for tool in page.tools if (info := tool_info(tool, limits.max_tool_bytes)) is not None]
            cursor = page.next_cursor
            if cursor is None or len(found) >= limits.max_tools:
                break
        self._listed = True
        return tuple(found[: limits.max_tools])

    async def call_tool(self, name: str, arguments: JsonObject) -> str:
        """Runs a tool.

        Raises:
            McpError: it did not run, says that it failed, or its answer cannot be taken; ``ran`` tells that apart.
        """
        if not self._listed:
            # The SDK checks results against the listing. Without one it asks for it after the call, and when that
            # fails, so does a call that had its effect.
            await self.list_tools()
        result = await self._ask(_CALL, lambda client: client.call_tool(name, arguments))
        return tool_result(result, max_bytes=self._limits.max_result_bytes)

    def close(self) -> None:
        """Ends the connection in its own time; returns at once."""
        self._leaving.set()

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        limits, loop = self._limits, asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout(limits.connect_s) as patience,
                self._transport() as transport,
                Client(
                    transport,
                    client_info=mcp_types.Implementation(name="Perhop", version="1"),
                    read_timeout_seconds=limits.request_s,
                    cache=None,
                ) as client,
            ):
                patience.reschedule(None)
                self._watch_results(client.session)
                self._client.set_result(client)
                await self._leaving.wait()
                patience.reschedule(loop.time() + limits.close_s)
        except Exception as error:  # noqa: BLE001 - whatever ends a connection ends this one and nothing else
            self._failure = self._explained(error)
        finally:
            if not self._client.done():
                self._client.set_exception(self._failure or self._closed())

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[AbstractAsyncContextManager[Any]]:
        """What carries the messages, over HTTP or the pipes of a program."""
        if isinstance(self._server, StdioServer):
            program, *arguments = self._server.command
            started = StdioServerParameters(
                command=program, args=arguments, env=dict(self._server.env), cwd=self._server.folder or None
            )
            # What it complains about may hold what callers said.
            with Path(os.devnull).open("w") as unread:  # noqa: ASYNC230 - it blocks nobody
                yield stdio_client(started, errlog=unread)
        else:
            async with self._http(self._server) as http:
                http.event_hooks["response"].append(self._note_refusal)
                yield streamable_http_client(self._server.url, http_client=http)

    def _http(self, server: McpServer) -> httpx2.AsyncClient:
        headers = dict(server.headers)
        if server.authorization is not None:
            headers["authorization"] = f"Bearer {server.authorization}"
        limits = self._limits
        outgoing = OutgoingLimits(
            connect_s=limits.connect_s,
            # Event streams are silent as long as nothing happens; requests have a limit of their own.
            read_s=300.0,
            total_s=None,
            max_bytes=limits.max_answer_bytes,
            max_connections=16,
        )
        return self._guard.client(headers=headers, limits=outgoing)

    async def _note_refusal(self, response: httpx2.Response) -> None:
        if response.request.method == "POST":
            self._refusal = response.status_code if response.is_error else None
            change = self._forgotten.add if self._refusal == _NOT_FOUND else self._forgotten.discard
            change(_method_of(response.request))

    async def _ask(self, method: str, request: Callable[[Client], Awaitable[T]]) -> T:
        client = await asyncio.shield(self._client)
        try:
            return await request(client)
        except MCPError as error:
            if error.code == mcp_types.CONNECTION_CLOSED:
                if isinstance(self._server, StdioServer):
                    self._leaving.set()  # a program that ended does not end its connection by itself
                # The request only knows that the connection is gone; the connection itself knows why.
                await asyncio.wait([self.task], timeout=self._limits.close_s)
                raise _unread(self._failure or self._closed(), method) from None
            explained = self._explained(error)
            if explained.code == _NOT_FOUND and error.code == mcp_types.INVALID_REQUEST and method in self._forgotten:
                # Others that are under way were not told so: nobody knows what became of them.
                raise SessionGoneError(explained.kind, str(explained), explained.code) from None
            # An error of the server itself is a refusal; one that the SDK made up says that the answer is no MCP.
            raise (_unread(explained, method) if _made_up(error) else explained) from None
        except (RuntimeError, ValidationError, TimeoutError) as error:
            raise _unread(self._explained(error), method) from None

    def _watch_results(self, session: ClientSession) -> None:
        """Tells what fails while a result is checked from what fails before: by then the tool ran. To check it, the
        SDK may ask for a listing, whose error looks like one of the call."""
        validate = session.validate_tool_result

        async def validated(name: str, result: mcp_types.CallToolResult) -> None:
            try:
                await validate(name, result)
            except (MCPError, RuntimeError, ValidationError, TimeoutError) as error:
                if isinstance(error, MCPError) and error.code == mcp_types.CONNECTION_CLOSED:
                    raise
                found = self._explained(error)
                raise McpError(found.kind, str(found), found.code, ran=True) from None

        session.validate_tool_result = validated  # type: ignore[method-assign]

    def _explained(self, error: BaseException) -> McpError:
        """Any error in our own terms, naming the server by its label."""
        causes = list(_leaves(error))
        own = next((cause for cause in causes if isinstance(cause, McpError)), None)
        return own or self._translated(causes[0])

    def _translated(self, error: BaseException) -> McpError:
        label = f"The MCP server '{self._server.label[:64]}'"
        match error:
            case MCPError() if self._refusal is not None and error.code in _HTTP_CODES:
                # Another request's refusal, which may come later, does not make a forgotten session known again.
                self.stale = self.stale or (self._refusal == _NOT_FOUND and error.code == mcp_types.INVALID_REQUEST)
                return McpError("http_error", f"{label} answered with HTTP status {self._refusal}.", self._refusal)
            case MCPError(code=mcp_types.REQUEST_TIMEOUT):
                message = f"{label} did not answer within {self._limits.request_s:g} s."
                return McpError("http_error", message, _GATEWAY_TIMEOUT)
            case MCPError() if error.code != mcp_types.PARSE_ERROR:  # that one repeats what could not be parsed
                return McpError("protocol_error", error.message[:_MAX_MESSAGE], error.code)
            case TimeoutError() | OutgoingTimeoutError() | httpx2.TimeoutException():
                return McpError("http_error", f"{label} did not answer in time.", _GATEWAY_TIMEOUT)
            case RefusedAddressError():
                return McpError("http_error", f"{label} must not be reached: {error}", _FORBIDDEN)
            case OutgoingError():
                return McpError("http_error", f"{label}: {error}", _BAD_GATEWAY)
            case httpx2.TransportError() | OSError():
                return McpError("http_error", f"{label} could not be reached.", _BAD_GATEWAY)
            case _:
                return McpError(
                    "protocol_error", f"{label} answered with something that is not valid MCP.", mcp_types.PARSE_ERROR
                )

    def _closed(self) -> McpError:
        return McpError("http_error", f"The connection to '{self._server.label[:64]}' was closed.", _BAD_GATEWAY)


_HTTP_CODES = (mcp_types.INTERNAL_ERROR, mcp_types.INVALID_REQUEST, mcp_types.METHOD_NOT_FOUND)
"""What the SDK makes of an HTTP status without a JSON-RPC error in its body."""


_MADE_UP = ("Unexpected content type", "Server returned an error response")
"""How the SDK begins the errors that it makes of an HTTP answer without JSON-RPC in it."""


def _made_up(error: MCPError) -> bool:
    return error.code == mcp_types.PARSE_ERROR or error.message.startswith(_MADE_UP)


def _unread(error: McpError, method: str) -> McpError:
    """The error, of an answer that was not understood. Those of the way there say by their code what they mean."""
    if method != _CALL or error.kind == "http_error":
        return error
    return McpError(error.kind, str(error), error.code, ran=True)


def _page_at(cursor: str | None) -> Callable[[Client], Awaitable[mcp_types.ListToolsResult]]:
    return lambda client: client.list_tools(cursor=cursor)


def _method_of(request: httpx2.Request) -> str:
    """What a message asks for; empty when it answers."""
    return str(orjson.loads(request.content).get("method", ""))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _seen(client: asyncio.Future[Client]) -> None:
    """A connection that fails before anybody waits for it is no unhandled error."""
    if not client.cancelled():
        client.exception()
