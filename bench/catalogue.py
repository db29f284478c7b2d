"""37 agents and 90 tools: how long the registry takes to load them, and whether calls notice how many there are.

The catalogue is generated and lies in SQLite and, where it is installed, in PostgreSQL. Calls are started in turn with
a registry of one agent and with one of all, the same agent each time; then every tool is called once through a real
NATS server.

    python bench/catalogue.py                 # half a minute
    python bench/catalogue.py --calls 200     # a try
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import orjson
import structlog
import typer
from rich.console import Console
from tests.api.helpers import AnsweredLeg
from tests.bus.servers import BINARY, NatsServer
from tests.registry.generated import AGENTS, ARGUMENTS, TOOLS, WITH_TOOLS, catalogue, worker
from tests.store.postgres import PostgresServer, find_program

from perhop.call.legs import EndReason
from perhop.call.manager import CallManager, ModelKind
from perhop.config import Settings, StoreSettings
from perhop.models.echo import EchoModel
from perhop.registry import Registry
from perhop.registry.definitions import parse_agent
from perhop.registry.opening import open_registry
from perhop.running_tools import start_tools
from perhop.schemas import SCHEMAS
from perhop.store import Database, upgrade
from perhop.tools.base import ToolContext
from perhop.tools.bus import NatsBus
from perhop.tools.guard import Guard
from perhop.tools.runner import ToolRunner
from perhop.workers.sdk import WorkerHost

LOADS = 10
CHANGES = 50
BATCH = 50


@dataclass
class Figures:
    """What was measured; times in ms."""

    loads: dict[str, list[float]]
    starts: dict[int, list[float]]
    changes: list[float]
    seen: list[float]
    ratio: float = 0.0
    tools: list[float] | None = None
    failed: int = 0


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    """With all tables."""
    db = await Database.open(StoreSettings.model_validate({"url": url}))
    try:
        for schema in SCHEMAS:
            await upgrade(db, schema)
        yield db
    finally:
        await db.close()


async def opened(db: Database, given: dict[str, Any], stack: AsyncExitStack, **registry: Any) -> Registry:
    """The registry of a process with this settings file."""
    made = await open_registry(Settings.model_validate({**given, "registry": registry}), db)
    stack.push_async_callback(made.close)
    return made


async def loading(db: Database) -> list[float]:
    """Times to load everything from a database that has it."""
    took = []
    async with AsyncExitStack() as stack:
        await opened(db, catalogue(), stack)
    for _ in range(LOADS):
        async with AsyncExitStack() as stack:
            began = time.perf_counter()
            registry = await opened(db, {}, stack, tenants=[])
            took.append((time.perf_counter() - began) * 1e3)
            assert len(registry.names()) == AGENTS
    return took


def starting(registries: dict[int, Registry], calls: int) -> dict[int, list[float]]:
    """Times to find an agent and start a call with it, in turn with each registry."""
    took: dict[int, list[float]] = {size: [] for size in registries}
    manager = CallManager({"local": ModelKind(EchoModel), "echo": ModelKind(EchoModel)}, ToolRunner())
    gc.collect()
    gc.freeze()
    for number in range(calls):
        # In turn, and each of them first as often: what warms up for one must not count for the other.
        order = list(registries.items())
        for size, registry in order if number % 2 else reversed(order):
            leg = AnsweredLeg()
            began = time.perf_counter()
            agent = registry.get(WITH_TOOLS)
            call = manager.start(leg, agent=agent, session={}, tenant="default")
            took[size].append((time.perf_counter() - began) * 1e3)
            call.hang_up(EndReason.API_HANGUP)
    gc.unfreeze()
    return took


async def changing(here: Registry, there: Registry) -> tuple[list[float], list[float]]:
    """Times from a change to its use: in the same process, and in another one that looks every second."""
    own, other = [], []
    for number in range(CHANGES):
        seen = asyncio.Event()
        there.on_change(seen.set)
        began = time.perf_counter()
        agent = parse_agent("changing", {"title": str(number)})
        await here.put_agent(agent, tenant="default", author="key bench")
        own.append((time.perf_counter() - began) * 1e3)
        if number < CHANGES // 10:
            async with asyncio.timeout(10):
                await seen.wait()
            other.append((time.perf_counter() - began) * 1e3)
    return own, other


async def calling(registry: Registry, db: Database, folder: Path) -> tuple[list[float], int]:
    """Times of one call of each tool through NATS, and how many did not answer rightly."""
    server = NatsServer(folder / "nats")
    (folder / "nats").mkdir()
    server.start()
    runs: Counter[str] = Counter()
    took, failed = [], 0
    try:
        async with AsyncExitStack() as stack:
            own = await stack.enter_async_context(database(f"sqlite:///{folder / 'worker.db'}"))
            served = await NatsBus.open(server.settings(), wait_s=5)
            stack.push_async_callback(served.close)
            host = await WorkerHost.open(worker(runs), bus=served, database=own)
            stack.push_async_callback(host.close)
            bus = await NatsBus.open(server.settings(), wait_s=5)
            stack.push_async_callback(bus.close)
            runner = await start_tools(registry, db=db, guard=Guard(), bus=bus, stack=stack)
            async with asyncio.timeout(30):
                while not all(offered.tools for offered in registry.offered):
                    await asyncio.sleep(0.01)
            tools = {made.name: (name, made) for name in registry.names() for made in registry.get(name).tools.values()}
            for number, (agent, tool) in enumerate(tools.values()):
                context = ToolContext(call_id="rtc_1", agent=agent, tenant="default", function_call_id=f"call_{number}")
                began = time.perf_counter()
                result = await runner.run(tool, orjson.dumps(ARGUMENTS).decode(), context)
                took.append((time.perf_counter() - began) * 1e3)
                failed += not (result.ok and orjson.loads(result.output)["tool"] == tool.name)
    finally:
        server.stop()
    if len(runs) != TOOLS or set(runs.values()) != {1}:
        failed += 1
    return took, failed


async def measure(calls: int) -> Figures:
    """Everything, one after the other."""
    figures = Figures({}, {}, [], [])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with AsyncExitStack() as stack:
            db = await stack.enter_async_context(database(f"sqlite:///{folder / 'all.db'}"))
            small = await stack.enter_async_context(database(f"sqlite:///{folder / 'one.db'}"))
            figures.loads["SQLite"] = await loading(db)
            if find_program("postgres") is not None:
                server = PostgresServer()
                stack.callback(server.remove)
                server.initialise()
                server.start()
                await server.ready()
                async with database(await server.new_database()) as postgres:
                    figures.loads["PostgreSQL"] = await loading(postgres)
            everything = await opened(db, {}, stack, tenants=[], poll_s=60)
            one = await opened(small, catalogue(1), stack, poll_s=60)
            assert list(one.get(WITH_TOOLS).tools) == list(everything.get(WITH_TOOLS).tools)
            for _ in range(2):  # the first time warms up
                figures.starts = starting({1: one, AGENTS: everything}, calls)
            figures.ratio = _ratio(figures.starts)
            other = await opened(db, {}, stack, tenants=[])
            figures.changes, figures.seen = await changing(everything, other)
            await everything.delete("agent", "changing", tenant="default", author="key bench")
            if BINARY is not None:
                figures.tools, figures.failed = await calling(everything, db, folder)
    return figures


def _ratio(starts: dict[int, list[float]]) -> float:
    """How much longer it takes with all: the middle of what batches say, so that a busy moment counts for nothing."""
    one, everything = starts[1], starts[AGENTS]
    batches = range(0, len(one) - BATCH + 1, BATCH)
    return statistics.median(
        statistics.median(everything[at : at + BATCH]) / statistics.median(one[at : at + BATCH]) for at in batches
    )


def report(figures: Figures) -> tuple[str, bool]:
    """The page of results, and whether all targets were met."""
    rows = [
        (f"load from {name}, slowest of {LOADS}", f"{max(took):.0f} ms", "< 1000 ms", max(took) < 1000)
        for name, took in figures.loads.items()
    ]
    one, everything = (statistics.median(figures.starts[size]) for size in (1, AGENTS))
    change = (figures.ratio - 1) * 100
    rows += [
        ("start of a call with 1 agent, median", f"{one * 1e3:.0f} µs", "", True),
        (f"start of a call with {AGENTS} agents, median", f"{everything * 1e3:.0f} µs", "", True),
        ("difference", f"{change:+.1f} %", "± 10 %", abs(change) <= 10),
        ("a change is in use here, median", f"{statistics.median(figures.changes):.1f} ms", "", True),
        (
            "a change is in use in another process, slowest",
            f"{max(figures.seen):.0f} ms",
            "a few s",
            max(figures.seen) < 3000,
        ),
    ]
    if figures.tools is not None:
        good = len(figures.tools) - figures.failed
        rows += [
            ("tools called once through NATS", f"{good} of {len(figures.tools)}", f"{TOOLS} of {TOOLS}", good == TOOLS),
            ("one of them, median", f"{statistics.median(figures.tools):.1f} ms", "", True),
        ]
    lines = [
        "# Catalogue",
        "",
        f"{AGENTS} agents and {TOOLS} tools, generated; half of the tools described by tables, half by the worker that",
        "serves them.",
        "",
        "| what | measured | target |",
        "|---|---|---|",
        *(f"| {what} | {measured} | {target} |" for what, measured, target, _ in rows),
        "",
    ]
    return "\n".join(lines), all(met for *_, met in rows)


def main(
    calls: Annotated[int, typer.Option(help="Calls started with each registry.")] = 2000,
    output: Annotated[Path, typer.Option(help="Where the result goes.")] = ROOT / "bench" / "results" / "catalogue.md",
) -> None:
    """Measure the registry."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    text, met = report(asyncio.run(measure(calls)))
    output.write_text(text, "utf-8")
    Console().print(text)
    raise typer.Exit(0 if met else 1)


if __name__ == "__main__":
    typer.run(main)
