"""What tools of some kinds need to run: the ways out of this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # neither HTTP nor MCP is loaded by a module that only says "from perhop import tool"
    from perhop.tools.guard import Guard
    from perhop.tools.mcp.source import McpSession
    from perhop.tools.threads import Threads

__all__ = ["BusRequests", "ToolServices"]


class BusRequests(Protocol):
    """The part of :class:`perhop.tools.bus.Bus` that tools use."""

    async def request(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout_s: float
    ) -> bytes:
        """Asks one worker and returns its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolServices:
    """Handed to every tool that runs; None stands for a way that this process does not have.

    Attributes:
        threads: where blocking functions go; None uses the loop's own threads.
        guard: the way out for HTTP.
        bus: the way to workers.
        mcp: the MCP servers that agents declare.
    """

    threads: Threads | None = None
    guard: Guard | None = None
    bus: BusRequests | None = None
    mcp: McpSession | None = None
