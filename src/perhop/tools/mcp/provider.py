"""What a model server needs of MCP: a session per call, and one kind of error."""

from __future__ import annotations

from typing import Protocol

from perhop.errors import PerhopError
from perhop.realtime.mcp.declared import McpRules, McpServer
from perhop.realtime.mcp.effects import McpErrorKind, McpToolInfo
from perhop.realtime.wire import JsonObject

__all__ = ["McpError", "McpProvider", "McpResultTooLargeError", "McpSession"]


class McpError(PerhopError):
    """A server could not be asked, or did not do what it was asked.

    The message is for the model and the client: it may repeat what the server said about its own failure.

    Attributes:
        kind: with the protocol, inside the tool, or on the way there.
        code: JSON-RPC's for the protocol, HTTP's for the way (502 and 504 stand for no answer), else 0.
        ran: the tool was asked to run, and what failed is reading its answer: it may have done what it does.
    """

    def __init__(self, kind: McpErrorKind, message: str, code: int = 0, *, ran: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.ran = ran


class McpResultTooLargeError(McpError):
    """The tool did what it does, but what it returned is more than is passed on."""

    def __init__(self, message: str) -> None:
        super().__init__("tool_execution_error", message, ran=True)


class McpSession(Protocol):
    """The MCP servers of one Realtime session. Everything is bounded in time."""

    async def list_tools(self, server: McpServer) -> tuple[McpToolInfo, ...]:
        """All tools of a server. Raises McpError."""

    async def call_tool(self, server: McpServer, name: str, arguments: JsonObject) -> str:
        """Runs a tool and returns its result as text; cancelling tells the server. Raises McpError."""

    def release(self, server: McpServer) -> None:
        """Nothing more will be asked of this server; calls that run may end."""

    def close(self) -> None:
        """Gives all connections back; returns at once."""


class McpProvider(Protocol):
    @property
    def rules(self) -> McpRules:
        """Which servers sessions may use, and how."""

    def open(self) -> McpSession:
        """For one Realtime session; connects to nothing yet."""
