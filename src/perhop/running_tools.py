"""The tools of a process at work: what runs them, what records their effects, and what finds out about more of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from perhop.config import ConfigError
from perhop.store import Database
from perhop.tools.bus import Bus
from perhop.tools.effects.ledger import EffectRecord, EffectState
from perhop.tools.effects.recovery import EffectRecovery
from perhop.tools.effects.store import StoreLedger
from perhop.tools.errors import UnknownToolError
from perhop.tools.guard import Guard
from perhop.tools.kinds.offered import keep_offered
from perhop.tools.registry import ToolRegistry
from perhop.tools.runner import ToolRunner
from perhop.tools.services import ToolServices

if TYPE_CHECKING:
    from perhop.tools.mcp.source import McpSession

__all__ = ["start_tools"]


async def start_tools(
    registry: ToolRegistry, *, db: Database, guard: Guard, bus: Bus, stack: AsyncExitStack
) -> ToolRunner:
    """Starts what tools need; ``stack`` ends it.

    Args:
        registry: with everything that agents name.

    Raises:
        ConfigError: an MCP server is declared and the package for it is missing.
    """
    ledger = StoreLedger(db)
    stack.push_async_callback(ledger.close)
    mcp = _mcp(registry, guard, stack)
    runner = ToolRunner(services=ToolServices(guard=guard, bus=bus, mcp=mcp), effects=ledger)
    stack.push_async_callback(runner.close)

    async def ask(record: EffectRecord) -> EffectState | None:
        try:
            tool = registry.find(record.tool, tenant=record.context.tenant)
        except UnknownToolError:
            return EffectState.UNKNOWN
        return await runner.settle_later(tool, record)

    recovery = EffectRecovery(ledger, ask)
    recovery.start()
    stack.push_async_callback(recovery.close)
    if registry.offered:
        _keep(keep_offered(bus, registry.offered), "offered tools", stack)
    return runner


def _mcp(registry: ToolRegistry, guard: Guard, stack: AsyncExitStack) -> McpSession | None:
    """The servers that agents declare, if any; only then their package is needed."""
    if not registry.sources:
        return None
    try:
        from perhop.realtime.mcp.declared import McpRules
        from perhop.tools.mcp.connector import McpConnector
        from perhop.tools.mcp.source import keep_listed
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("perhop"):
            raise
        raise ConfigError("[tools] with kind = 'mcp' need the package mcp: pip install 'perhop[mcp]'") from None
    connector = McpConnector(guard, McpRules())
    stack.push_async_callback(connector.close)
    session = connector.open()
    _keep(keep_listed(registry.sources, session), "mcp tools", stack)
    return session


def _keep(work: Coroutine[object, object, None], name: str, stack: AsyncExitStack) -> None:
    """Runs until the process ends."""
    task = asyncio.get_running_loop().create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)
