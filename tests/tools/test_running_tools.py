"""The tools of a whole process: a crash in the middle of an effect, and what the next process makes of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from sqlalchemy import select

from perhop import running_tools
from perhop.config.store import StoreSettings
from perhop.config.tools import ToolSettings
from perhop.running_tools import start_tools
from perhop.store import Database, upgrade
from perhop.tools.base import ToolContext
from perhop.tools.bus import Endpoint, InProcessBus, Message, Service
from perhop.tools.bus.base import ServiceInfo
from perhop.tools.bus.discovery import TENANT, TOOL
from perhop.tools.effects.ledger import EffectRecord
from perhop.tools.effects.recovery import EffectRecovery
from perhop.tools.effects.store import StoreLedger
from perhop.tools.effects.tables import SCHEMA, EffectRow
from perhop.tools.guard import Guard
from perhop.tools.registry import ToolRegistry
from perhop.tools.wire import KEY_HEADER

TABLES: dict[str, dict[str, Any]] = {
    "book": {"kind": "bus", "description": "Books.", "parameters": {"properties": {"day": {"type": "string"}}}},
    "pay": {"kind": "http", "method": "POST", "url": "https://pay.example/", "description": "Pays."},
}


def context(number: int) -> ToolContext:
    return ToolContext(call_id="rtc_1", agent="desk", tenant="default", function_call_id=f"call_{number}")


async def states(db: Database) -> dict[str, str]:
    async with db.session(reading=True) as session:
        return {row.function_call_id: row.state for row in await session.scalars(select(EffectRow))}


@pytest.fixture
def registry() -> ToolRegistry:
    declared = {name: TypeAdapter(ToolSettings).validate_python(table) for name, table in TABLES.items()}
    made = ToolRegistry(declared=declared)
    made.load_all(["book", "pay"])
    return made


async def test_what_a_crash_left_open_is_asked_for_again_or_told_to_be_unknown(
    registry: ToolRegistry, tmp_path: Path
) -> None:
    db = await Database.open(StoreSettings.model_validate({"url": f"sqlite:///{tmp_path}/a.db"}))
    await upgrade(db, SCHEMA)
    crashed = StoreLedger(db)
    for number, (tool, arguments) in enumerate([("book", '{"day":"x"}'), ("pay", None), ("gone", "{}")]):
        record = EffectRecord(context=context(number), tool=tool, deadline=1.0, arguments=arguments)
        assert await crashed.begin(record) is None

    bus, asked = InProcessBus(), asyncio.Queue[Message]()

    async def respond(message: Message) -> bytes:
        await asked.put(message)
        return b'"done"'

    endpoint = Endpoint(name="book", subject="perhop.tools.*.book", respond=respond)
    await bus.serve(Service(name="calendar", endpoints=[endpoint]))
    unknown: list[str] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(db.close)
        guard = Guard()
        stack.push_async_callback(guard.aclose)
        runner = await start_tools(registry, db=db, guard=guard, bus=bus, stack=stack, unknown=unknown.append)
        async with asyncio.timeout(10):
            message = await asked.get()
            while not unknown or (await states(db))["call_0"] == "pending":  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(0.01)
        assert json.loads(message.payload) == {"day": "x"}
        assert message.headers[KEY_HEADER] == context(0).idempotency_key
        assert await states(db) == {"call_0": "done", "call_1": "unknown", "call_2": "pending"}, "gone may come back"
        assert unknown == ["pay"]
        result = await runner.run(registry.get("book"), '{"day":"x"}', context(0))
        assert result.ok, "the same function call again"
        assert asked.empty(), "is not sent again"
        assert (await runner.run(registry.get("pay"), "{}", context(1))).code == "unknown_outcome"


async def test_what_a_crash_left_open_is_asked_for_once_its_worker_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_tools, "EffectRecovery", partial(EffectRecovery, every_s=0.01))
    db = await Database.open(StoreSettings.model_validate({"url": f"sqlite:///{tmp_path}/a.db"}))
    await upgrade(db, SCHEMA)
    crashed = StoreLedger(db)
    for number, (tool, arguments) in enumerate([("book", '{"day":"x"}'), ("gone", None)]):
        record = EffectRecord(context=context(number), tool=tool, deadline=1.0, arguments=arguments)
        assert await crashed.begin(record) is None

    looked, served = asyncio.Event(), asyncio.Event()

    class LateBus(InProcessBus):
        """Tells who serves what once that was looked for in vain."""

        async def services(self, *, timeout_s: float = 0.5) -> list[ServiceInfo]:
            await served.wait()
            return await super().services(timeout_s=timeout_s)

    bus, asked = LateBus(), asyncio.Queue[Message]()

    async def respond(message: Message) -> bytes:
        await asked.put(message)
        return b'"done"'

    offer: dict[str, Any] = {"name": "book", "title": "", "description": "Books.", "effect": "once", "timeout_s": 5.0}
    offer["parameters"] = {"properties": {"day": {"type": "string"}}}
    metadata = {TOOL: json.dumps(offer), TENANT: "*"}
    endpoint = Endpoint(name="book", subject="perhop.tools.*.book", respond=respond, metadata=metadata)
    await bus.serve(Service(name="calendar", endpoints=[endpoint]))
    known = ToolRegistry()
    known.load_all(["bus:book"])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(db.close)
        guard = Guard()
        stack.push_async_callback(guard.aclose)
        await start_tools(known, db=db, guard=guard, bus=bus, stack=stack, unknown=lambda _: looked.set())
        async with asyncio.timeout(30):
            await looked.wait()
            assert await states(db) == {"call_0": "pending", "call_1": "unknown"}
            served.set()
            assert json.loads((await asked.get()).payload) == {"day": "x"}
            while "pending" in (await states(db)).values():  # noqa: ASYNC110 - a row of a table is not waited for
                await asyncio.sleep(0.01)
        assert await states(db) == {"call_0": "done", "call_1": "unknown"}


async def test_effects_of_a_live_process_are_on_record(registry: ToolRegistry, tmp_path: Path) -> None:
    db = await Database.open(StoreSettings.model_validate({"url": f"sqlite:///{tmp_path}/a.db"}))
    await upgrade(db, SCHEMA)
    bus = InProcessBus()

    async def respond(message: Message) -> bytes:
        assert (await states(db))["call_7"] == "pending", "recorded before it was sent"
        return b'"done"'

    endpoint = Endpoint(name="book", subject="perhop.tools.*.book", respond=respond)
    await bus.serve(Service(name="calendar", endpoints=[endpoint]))
    async with AsyncExitStack() as stack:
        runner = await start_tools(registry, db=db, guard=Guard(), bus=bus, stack=stack)
        assert (await runner.run(registry.get("book"), '{"day":"x"}', context(7))).ok
    assert await states(db) == {"call_7": "done"}
    await db.close()
