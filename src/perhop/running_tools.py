"""The tools of a process at work: what runs them, what records their effects, and what finds out about more of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

from perhop.config import ConfigError
from perhop.store import Database
from perhop.tools.base import JsonObject, Tool
from perhop.tools.bus import Bus
from perhop.tools.effects.ledger import EffectRecord, EffectState
from perhop.tools.effects.recovery import EffectRecovery
from perhop.tools.effects.store import StoreLedger
from perhop.tools.errors import UnknownToolError
from perhop.tools.guard import Guard
from perhop.tools.kinds.offered import OfferedTool, keep_offered
from perhop.tools.runner import ToolRunner
from perhop.tools.services import ToolServices

if TYPE_CHECKING:
    from perhop.realtime.mcp.declared import McpServer
    from perhop.realtime.mcp.effects import McpToolInfo
    from perhop.tools.mcp.connector import McpConnector
    from perhop.tools.mcp.source import McpSession, McpSource
    from perhop.tools.mcp.stdio import StdioServer

__all__ = ["KnownTools", "start_tools"]


class KnownTools(Protocol):
    """All that agents refer to, at the moment."""

    def find(self, name: str, *, tenant: str = ...) -> Tool:
        """A tool. Raises UnknownToolError."""

    @property
    def sources(self) -> Sequence[McpSource]:
        """MCP servers, which tell what tools they have."""

    @property
    def offered(self) -> Sequence[OfferedTool]:
        """Tools that are described by whoever serves them."""


async def start_tools(
    known: KnownTools,
    *,
    db: Database,
    guard: Guard,
    bus: Bus,
    stack: AsyncExitStack,
    on_change: Callable[[Callable[[], None]], None] | None = None,
    unknown: Callable[[str], None] = lambda _: None,
) -> ToolRunner:
    """Starts what tools need; ``stack`` ends it.

    Args:
        on_change: calls what it is given whenever ``known`` changed; None if that never happens.
        unknown: told the tool of every effect of which nobody will know whether it happened.

    Raises:
        ConfigError: an MCP server is declared and the package for it is missing.
    """
    ledger = StoreLedger(db)
    stack.push_async_callback(ledger.close)
    mcp = _Mcp(guard)
    stack.push_async_callback(mcp.close)
    if known.sources:
        mcp.open()
    runner = ToolRunner(services=ToolServices(guard=guard, bus=bus, mcp=mcp), effects=ledger, unknown=unknown)
    stack.push_async_callback(runner.close)

    async def ask(record: EffectRecord) -> EffectState | None:
        try:
            tool = known.find(record.tool, tenant=record.context.tenant)
        except UnknownToolError:
            # Right after the start nobody has told of their tools yet. Arguments are kept only for what can be asked.
            return None if record.arguments is not None else EffectState.UNKNOWN
        return await runner.settle_later(tool, record)

    def settled(record: EffectRecord, state: EffectState) -> None:
        if state is EffectState.UNKNOWN:
            unknown(record.tool)

    recovery = EffectRecovery(ledger, ask, report=settled)
    recovery.start()
    stack.push_async_callback(recovery.close)
    upkeep = _Upkeep(known, bus, mcp)
    stack.push_async_callback(upkeep.close)
    upkeep.update()
    if on_change is not None:
        on_change(upkeep.update)
    return runner


class _Mcp:
    """The servers that agents declare; their package is needed only when there are any."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._connector: McpConnector | None = None
        self._session: McpSession | None = None

    def open(self) -> McpSession:
        """Raises ConfigError: the package is missing."""
        if self._session is None:
            try:
                from perhop.realtime.mcp.declared import McpRules
                from perhop.tools.mcp.connector import McpConnector
            except ModuleNotFoundError as error:
                if error.name is not None and error.name.startswith("perhop"):
                    raise
                raise ConfigError("[tools] with kind = 'mcp' need the package mcp: pip install 'perhop[mcp]'") from None
            self._connector = McpConnector(self._guard, McpRules())
            self._session = self._connector.open()
        return self._session

    async def list_tools(self, server: McpServer | StdioServer) -> tuple[McpToolInfo, ...]:
        return await self.open().list_tools(server)

    async def call_tool(self, server: McpServer | StdioServer, name: str, arguments: JsonObject) -> str:
        return await self.open().call_tool(server, name, arguments)

    async def close(self) -> None:
        if self._connector is not None:
            await self._connector.close()


class _Upkeep:
    """Keeps asking for the tools that others describe: one task for each MCP server, and one for the bus."""

    def __init__(self, known: KnownTools, bus: Bus, mcp: _Mcp) -> None:
        self._known = known
        self._bus = bus
        self._mcp = mcp
        self._listing: dict[McpSource, asyncio.Task[None]] = {}
        self._offered: frozenset[OfferedTool] = frozenset()
        self._asking: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def update(self) -> None:
        """Asks for what is new, and no longer for what is gone."""
        sources = self._known.sources
        for gone in self._listing.keys() - set(sources):
            self._end(self._listing.pop(gone))
        for source in sources:
            if source not in self._listing:
                from perhop.tools.mcp.source import keep_listed

                self._listing[source] = _task(keep_listed([source], self._mcp), f"mcp tools {source.name}")
        offered = frozenset(self._known.offered)
        if offered != self._offered:
            self._offered = offered
            if self._asking is not None:
                self._end(self._asking)
            self._asking = _task(keep_offered(self._bus, list(offered)), "offered tools") if offered else None

    async def close(self) -> None:
        for task in (*self._listing.values(), *([self._asking] if self._asking is not None else ())):
            self._end(task)
        if self._ending:
            await asyncio.wait(self._ending)

    def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _task(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work, name=name)
