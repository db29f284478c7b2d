"""MCP work: what a Realtime server asks of its host, and what the host tells it in return.

Part of :mod:`perhop.realtime.effects`. The host bounds every one of these in time, so each request has its answer; an
answer that nobody waits for any more is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from perhop.realtime.mcp.declared import McpServer
from perhop.realtime.wire import JsonObject

__all__ = [
    "CallMcpTool",
    "ListMcpTools",
    "McpCallDone",
    "McpCallFailed",
    "McpErrorKind",
    "McpListFailed",
    "McpToolInfo",
    "McpToolsListed",
    "ReleaseMcpServer",
]

McpErrorKind = Literal["protocol_error", "tool_execution_error", "http_error"]
"""What went wrong, in the terms of ``mcp_call.error``: with the protocol, inside the tool, or on the way."""


# -- server → host ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListMcpTools:
    """Fetch the tools of a server: answer with :class:`McpToolsListed` or :class:`McpListFailed`."""

    item_id: str
    server: McpServer


@dataclass(frozen=True, slots=True)
class CallMcpTool:
    """Run a tool: answer with :class:`McpCallDone` or :class:`McpCallFailed`."""

    item_id: str
    server: McpServer
    name: str
    arguments: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReleaseMcpServer:
    """Nothing more will be asked of this server: what still runs may end, then let go of the connection."""

    server: McpServer


# -- host → server ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class McpToolInfo:
    """A tool as its server describes it.

    Attributes:
        input_schema: JSON schema of its arguments.
        annotations: hints of the server (``readOnlyHint`` …); nothing obliges it to tell the truth.
    """

    name: str
    description: str = ""
    input_schema: JsonObject = field(default_factory=dict)
    annotations: JsonObject | None = None

    @property
    def read_only(self) -> bool:
        """The server says that calling it changes nothing."""
        return (self.annotations or {}).get("readOnlyHint") is True


@dataclass(frozen=True, slots=True)
class McpToolsListed:
    """All tools of a server."""

    item_id: str
    tools: tuple[McpToolInfo, ...]


@dataclass(frozen=True, slots=True)
class McpListFailed:
    """They could not be fetched; ``message`` says why."""

    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class McpCallDone:
    """What the tool returned, as text."""

    item_id: str
    output: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class McpCallFailed:
    """The tool did not return; ``code`` is JSON-RPC's or HTTP's, where the kind has one."""

    item_id: str
    kind: McpErrorKind
    message: str = field(repr=False)
    code: int = 0
