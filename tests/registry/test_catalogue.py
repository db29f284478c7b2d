"""37 agents and 90 tools: loaded at once, and every tool called through NATS."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
from tests.bus.servers import NatsServer
from tests.registry.conftest import OpenRegistry
from tests.registry.generated import AGENTS, ARGUMENTS, TOOLS, catalogue, tool_names, worker
from tests.store.databases import open_database

from perhop.running_tools import start_tools
from perhop.store import Database, upgrade
from perhop.tools.base import ToolContext
from perhop.tools.bus import NatsBus
from perhop.tools.effects.tables import SCHEMA as EFFECTS
from perhop.tools.guard import Guard
from perhop.workers.sdk import WorkerHost


async def test_it_loads_from_the_database_in_less_than_a_second(open_: OpenRegistry) -> None:
    await open_(**catalogue())
    began = time.perf_counter()
    registry = await open_(registry={"tenants": []})
    took_s = time.perf_counter() - began
    assert len(registry.names()) == AGENTS
    assert len({reference for name in registry.names() for reference in registry.get(name).tools}) == TOOLS // 2
    assert len(registry.offered) == TOOLS // 2
    assert took_s < 1


async def test_each_tool_is_called_once_through_nats(
    tables: Database, open_: OpenRegistry, shared_nats: NatsServer, tmp_path: Path
) -> None:
    await upgrade(tables, EFFECTS)
    runs: Counter[str] = Counter()
    registry = await open_(**catalogue())
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(f"sqlite:///{tmp_path / 'worker.db'}"))
        served = await NatsBus.open(shared_nats.settings(), wait_s=5)
        stack.push_async_callback(served.close)
        host = await WorkerHost.open(worker(runs), bus=served, database=database)
        stack.push_async_callback(host.close)
        bus = await NatsBus.open(shared_nats.settings(), wait_s=5)
        stack.push_async_callback(bus.close)
        runner = await start_tools(
            registry, db=tables, guard=Guard(), bus=bus, stack=stack, on_change=registry.on_change
        )
        async with asyncio.timeout(30):
            while not all(offered.tools for offered in registry.offered):  # noqa: ASYNC110 - discovery tells nobody
                await asyncio.sleep(0.01)
        agents = {tool: (agent, made) for agent in registry.names() for tool, made in registry.get(agent).tools.items()}
        assert sorted(agents) == sorted(tool_names())
        for number, (name, (agent, tool)) in enumerate(agents.items()):
            context = ToolContext(call_id="rtc_1", agent=agent, tenant="default", function_call_id=f"call_{number}")
            result = await runner.run(tool, orjson.dumps(ARGUMENTS).decode(), context)
            said = orjson.loads(result.output)
            assert (result.ok, said["tool"], said["agent"]) == (True, name, agent)
    assert runs == Counter(tool_names())


async def test_a_tool_that_is_added_while_it_runs_is_found_on_the_bus(
    tables: Database, open_: OpenRegistry, shared_nats: NatsServer, tmp_path: Path
) -> None:
    from perhop.registry.definitions import parse_agent

    await upgrade(tables, EFFECTS)
    registry = await open_()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(f"sqlite:///{tmp_path / 'worker.db'}"))
        bus = await NatsBus.open(shared_nats.settings(), wait_s=5)
        stack.push_async_callback(bus.close)
        host = await WorkerHost.open(worker(Counter(), 2), bus=bus, database=database)
        stack.push_async_callback(host.close)
        await start_tools(registry, db=tables, guard=Guard(), bus=bus, stack=stack, on_change=registry.on_change)
        name = tool_names()[1]
        await registry.put_agent(parse_agent("new", {"tools": [f"bus:{name}"]}), tenant="default", author="key me")
        async with asyncio.timeout(10):
            while name not in registry.get("new").tools:  # noqa: ASYNC110 - discovery tells nobody
                await asyncio.sleep(0.01)
