"""The tools of MCP servers that agents declare."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import orjson
import structlog

from perhop.config.tools import McpToolSettings
from perhop.realtime.mcp.declared import McpServer
from perhop.realtime.mcp.effects import McpToolInfo
from perhop.tools.base import Effect, JsonObject, Tool, ToolContext
from perhop.tools.errors import ResultTooLargeError, ToolDefinitionError, ToolError, ToolUnavailableError
from perhop.tools.kinds.described import DescribedTool
from perhop.tools.mcp.provider import McpError, McpResultTooLargeError
from perhop.tools.mcp.stdio import StdioServer
from perhop.tools.retry import Backoff
from perhop.tools.services import ToolServices

__all__ = ["McpSession", "McpSource", "McpTool", "keep_listed"]

_log = structlog.get_logger(__name__)

_MAX_MESSAGE = 500
_FORBIDDEN = 403
_LISTING = Backoff(first_s=1.0, most_s=60.0)


class McpSession(Protocol):
    """The servers of agents, each with one connection for all calls of this process."""

    async def list_tools(self, server: McpServer | StdioServer) -> tuple[McpToolInfo, ...]:
        """All tools of a server. Raises McpError."""

    async def call_tool(self, server: McpServer | StdioServer, name: str, arguments: JsonObject) -> str:
        """Runs a tool and returns its result as text; cancelling tells the server. Raises McpError."""


@dataclass(frozen=True, kw_only=True, eq=False)
class McpTool(DescribedTool):
    """One tool of an MCP server.

    Attributes:
        server: where it is.
        remote_name: what the server calls it.
    """

    kind: ClassVar[str] = "mcp"

    server: McpServer | StdioServer
    remote_name: str

    async def execute(self, values: JsonObject, context: ToolContext, *, services: ToolServices) -> object:  # noqa: ARG002
        if services.mcp is None:
            raise ToolUnavailableError("MCP servers are not reached from here.", sent=False)
        try:
            text = await services.mcp.call_tool(self.server, self.remote_name, values)
        except McpResultTooLargeError as error:
            raise ResultTooLargeError(str(error)[:_MAX_MESSAGE]) from None
        except McpError as error:
            if error.ran or error.kind == "http_error":
                sent = error.ran or error.code != _FORBIDDEN
                raise ToolUnavailableError(str(error)[:_MAX_MESSAGE], sent=sent) from None
            raise ToolError(str(error)[:_MAX_MESSAGE]) from None
        try:
            value: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
        return value


@dataclass(eq=False)
class McpSource:
    """A declared server, and the tools it was found to have. What was found once stays: a server that is away for a
    while takes no tools from calls that were told of them.

    Args:
        name: of the table.
        settings: the table.
        folder: where a program runs.
    """

    name: str
    settings: McpToolSettings
    folder: str = ""
    server: McpServer | StdioServer = field(init=False)
    _tools: dict[str, Tool] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        given = self.settings
        if given.command is not None:
            env = tuple((name, secret.get_secret_value()) for name, secret in sorted(given.env.items()))
            self.server = StdioServer(self.name, given.command, env, self.folder)
        else:
            headers = tuple((name, secret.get_secret_value()) for name, secret in sorted(given.headers.items()))
            self.server = McpServer(self.name, str(given.url), None, headers)

    @property
    def tools(self) -> Mapping[str, Tool]:
        """By name; empty until the server was first asked."""
        return MappingProxyType(self._tools)

    async def refresh(self, session: McpSession) -> None:
        """Asks the server what it has.

        Raises:
            McpError: it does not say.
        """
        for info in await session.list_tools(self.server):
            if self.settings.include and info.name not in self.settings.include:
                continue
            name = self._local_name(info.name)
            known = self._tools.get(name)
            if known is not None and _same(known, info):
                continue
            try:
                self._tools[name] = self._tool(name, info)
            except ToolDefinitionError as error:
                _log.warning("tool of an MCP server left out", server=self.name, reason=str(error)[:_MAX_MESSAGE])

    def _local_name(self, name: str) -> str:
        prefix = f"{self.name}_" if self.settings.prefix is None else self.settings.prefix
        return prefix + re.sub(r"[^A-Za-z0-9_-]", "_", name)

    def _tool(self, name: str, info: McpToolInfo) -> McpTool:
        given, hints = self.settings, info.annotations or {}
        effect: Effect = (
            given.effects.get(info.name) or given.effect or ("none" if hints.get("readOnlyHint") is True else "once")
        )
        idempotent = hints.get("idempotentHint") is True if given.idempotent is None else given.idempotent
        names = ("timeout_s", "finish_on_hangup", "retries", "attempt_s", "max_concurrent", "filler_after_s", "fillers")
        options: dict[str, Any] = {n: value for n in names if (value := getattr(given, n)) is not None}
        return McpTool(
            name=name,
            description=info.description or str(hints.get("title") or info.name),
            parameters=dict(info.input_schema),
            title=str(hints.get("title") or ""),
            effect=effect,
            idempotent=idempotent,
            server=self.server,
            remote_name=info.name,
            **options,
        )


def _same(tool: Tool, info: McpToolInfo) -> bool:
    """Whether the server still describes it as it did; then the old one stays, and with it its count of what runs."""
    described = {key: value for key, value in tool.parameters.items() if not key.startswith("x-")}
    return tool.description == info.description and described == {
        "properties": {},
        "additionalProperties": False,
        **info.input_schema,
    }


async def keep_listed(sources: Sequence[McpSource], session: McpSession, *, every_s: float = 300.0) -> None:
    """Asks all servers now, again soon those that do not answer, and all from time to time; runs until cancelled."""

    async def keep(source: McpSource) -> None:
        failures = 0
        while True:
            try:
                await source.refresh(session)
                failures = 0
            except McpError as error:
                failures += 1
                _log.warning("MCP server does not list its tools", server=source.name, kind=error.kind, code=error.code)
            await asyncio.sleep(every_s if not failures else _LISTING.wait_s(failures) or every_s)

    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(keep(source), name=f"mcp tools {source.name}")
