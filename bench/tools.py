"""From a model's function call to the result: through the tool runner, NATS, a worker process, and back.

Six workers run as processes on a real NATS server, the first of them three times, with their tables on a real
PostgreSQL. *Added* is what that costs beyond the same function inside the process. A durable effect is recorded by the
gateway before it is sent and by the worker in the transaction that has it: two databases' worth of commits. Then twenty
calls' audio is encoded and paced in the same event loop while a worker hangs.

    python bench/tools.py                    # two minutes
    python bench/tools.py --seconds 3        # a try
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import structlog
import typer
import uvloop
from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select, text
from tests.bus.servers import NatsServer
from tests.store.postgres import PostgresServer

from perhop.config import StoreSettings
from perhop.edges.webrtc.pacer import Pacer
from perhop.media.opus import OpusEncoder
from perhop.schemas import SCHEMAS
from perhop.store import Database, upgrade
from perhop.tools import FunctionTool, Tool, ToolContext, tool
from perhop.tools.bus import Bus, NatsBus, discover
from perhop.tools.effects.store import StoreLedger
from perhop.tools.kinds.bus import BusTool
from perhop.tools.result import ToolResult
from perhop.tools.runner import RunnerLimits, ToolRunner
from perhop.tools.services import ToolServices
from tools_workers import NAMES, Base, Row

REPLICAS = 3
LIVE_CALLS = 20
FRAME = bytes(range(256)) * 3 + bytes(192)
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")

_numbers = itertools.count()


@tool(effect="none")
async def look(word: str) -> dict[str, str]:
    """Looks something up."""
    return {"found": word}


@dataclass
class Figures:
    """Times of calls, s, and what went wrong."""

    name: str
    rate: float | None
    seconds: float
    times: list[float]
    failed: int
    goal: str = ""

    def row(self, base: Figures | None) -> str:
        p50, p99 = (percentile(self.times, share) * 1e3 for share in (0.5, 0.99))
        rate = f"{len(self.times) / self.seconds:,.0f}/s" if self.rate else "one by one"
        added = "-"
        if base is not None:
            base50, base99 = (percentile(base.times, share) * 1e3 for share in (0.5, 0.99))
            added = f"{p50 - base50:.2f} / {p99 - base99:.2f} ms"
        calls = f"{len(self.times):,}"
        return f"| {self.name} | {rate} | {calls} | {self.failed} | {p50:.2f} / {p99:.2f} ms | {added} | {self.goal} |"


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class WorkerProcesses:
    """``perhop worker run`` in processes of their own."""

    def __init__(self, nats_url: str, database_url: str) -> None:
        self._environment = {
            **os.environ,
            "PERHOP_BUS__URL": nats_url,
            "PERHOP_WORKER__DATABASE": database_url,
            "PERHOP_LOG__FORMAT": "json",
        }
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, name: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "perhop",
            "worker",
            "run",
            f"tools_workers:{name}",
            cwd=Path(__file__).parent,
            env=self._environment,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        ready = asyncio.Event()
        self._readers.append(asyncio.create_task(self._read(process, ready)))
        async with asyncio.timeout(60):
            await ready.wait()

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"worker ready" in line:
                ready.set()
            elif re.search(rb'"level": "(warning|error)"', line):
                sys.stderr.buffer.write(line)

    async def close(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await asyncio.gather(*self._readers)


@dataclass
class Site:
    """All that is measured."""

    runner: ToolRunner
    bus: Bus
    database: Database

    async def call(self, one: Tool, arguments: str) -> ToolResult:
        number = next(_numbers)
        context = ToolContext(call_id=f"rtc_{number}", agent="bench", tenant="bench", function_call_id=f"call_{number}")
        return await self.runner.run(one, arguments, context)


@asynccontextmanager
async def site(console: Console) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perhop-bench-")))
        nats = NatsServer(folder / "nats")
        nats.start()
        stack.callback(nats.stop)
        postgres = PostgresServer()
        stack.callback(postgres.remove)
        postgres.initialise()
        postgres.start()
        await postgres.ready()
        database_url = await postgres.new_database()
        database = await Database.open(StoreSettings(url=SecretStr(database_url), pool=10))
        stack.push_async_callback(database.close)
        for schema in SCHEMAS:
            await upgrade(database, schema)
        async with database.session() as session:
            await (await session.connection()).run_sync(Base.metadata.create_all)
        workers = WorkerProcesses(nats.url, database_url)
        stack.push_async_callback(workers.close)
        for name in (*NAMES, *[NAMES[0]] * (REPLICAS - 1)):
            console.print(f"[dim]starting worker {name}[/]")
            await workers.start(name)
        bus = await NatsBus.open(nats.settings(), wait_s=5)
        stack.push_async_callback(bus.close)
        ledger = StoreLedger(database)
        stack.push_async_callback(ledger.close)
        limits = RunnerLimits(running=1_000)
        runner = ToolRunner(limits=limits, services=ToolServices(bus=bus), effects=ledger)
        stack.push_async_callback(runner.close)
        yield Site(runner, bus, database)


def bus_tool(name: str, effect: str, parameters: dict[str, object]) -> BusTool:
    return BusTool(
        name=name,
        description="",
        parameters={"type": "object", "properties": parameters, "additionalProperties": False},
        effect=effect,  # type: ignore[arg-type]
        timeout_s=600 if name.endswith("_hang") else 10,
    )


async def one_by_one(name: str, seconds: float, call: Callable[[], Awaitable[ToolResult]], goal: str = "") -> Figures:
    """As fast as answers come, one at a time."""
    for _ in range(50):
        await call()
    times: list[float] = []
    failed, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        result = await call()
        times.append(time.perf_counter() - start)
        failed += not result.ok
    return Figures(name, None, time.perf_counter() - began, times, failed, goal)


async def at_rate(
    name: str, rate: float, seconds: float, call: Callable[[], Awaitable[ToolResult]], goal: str
) -> Figures:
    """So many calls a second, whether the others are answered or not; measured from when a call was due."""
    times: list[float] = []
    failed = 0
    tasks: set[asyncio.Task[None]] = set()

    async def ask(due: float) -> None:
        nonlocal failed
        result = await call()
        times.append(time.perf_counter() - due)
        failed += not result.ok

    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(ask(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)
    return Figures(name, rate, time.perf_counter() - began, times, failed, goal)


class Speaker:
    """One live call's audio on its way out: a frame is encoded every 20 ms, and it is noted when."""

    def __init__(self) -> None:
        self._encoder = OpusEncoder()
        self.turns: list[float] = []

    def on_turn(self, now: float) -> bool:  # noqa: ARG002 - the loop's own clock has steps of 1 ms
        self._encoder.encode(FRAME)
        self.turns.append(time.perf_counter())
        return True

    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.turns)]


async def pacing(seconds: float) -> list[float]:
    """Times between two frames of a call, s, over all of them."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    speakers = [Speaker() for _ in range(LIVE_CALLS)]
    for index, speaker in enumerate(speakers):
        pacer.add(speaker, loop.time() - index * 0.001)
    await asyncio.sleep(seconds)
    pacer.close()
    return [gap for speaker in speakers for gap in speaker.gaps()]


async def hanging(place: Site) -> list[asyncio.Task[ToolResult]]:
    """As many calls of a hanging worker as there are live calls."""
    hang = bus_tool("sms_hang", "none", {})
    return [asyncio.create_task(place.call(hang, "{}")) for _ in range(LIVE_CALLS)]


def pacing_row(name: str, gaps: list[float]) -> str:
    late = sum(gap > 0.03 for gap in gaps)
    figures = " / ".join(f"{percentile(gaps, share) * 1e3:.2f}" for share in (0.5, 0.99))
    return f"| {name} | {len(gaps):,} | {figures} ms | {max(gaps) * 1e3:.1f} ms | {late} |"


async def measure(seconds: float, console: Console) -> str:
    async with site(console) as place:
        offers = await discover(place.bus, timeout_s=1.0)
        replicas = {offer.worker: offer.replicas for offer in offers}
        assert set(replicas) == set(NAMES), replicas
        assert replicas[NAMES[0]] == REPLICAS
        rows, paced = await _run(place, seconds, console)
        async with place.database.session(reading=True) as session:
            written = await session.scalar(select(func.count()).select_from(Row))
            shown = {name: await session.scalar(text(f"SHOW {name}")) for name in SETTINGS}
            version = await session.scalar(text("SHOW server_version"))
    asked = sum(len(figures.times) for figures in rows if figures.name.startswith("effect"))
    lines = [
        "# Tools over NATS",
        "",
        f"`python bench/tools.py --seconds {seconds:g}`. " + " ".join((__doc__ or "").split("\n\n")[1].split()),
        "",
        f"{len(NAMES)} workers in {len(NAMES) + REPLICAS - 1} processes on {os.cpu_count()} cores.",
        f"PostgreSQL {version}: " + ", ".join(f"{name} {value}" for name, value in shown.items()) + ".",
        "",
        "| call | rate | calls | failed | p50 / p99 | added p50 / p99 | wanted |",
        "|---|---|---|---|---|---|---|",
        rows[0].row(None),
        *(figures.row(rows[0]) for figures in rows[1:]),
        "",
        f"Rows written by effects: {written:,}; effects asked for: {asked:,} and {2 * 50:,} to warm up.",
        "",
        f"## Audio of {LIVE_CALLS} live calls in the same event loop",
        "",
        "| meanwhile | frames | between two frames p50 / p99 | longest | over 30 ms |",
        "|---|---|---|---|---|",
        *paced,
        "",
    ]
    return "\n".join(lines)


async def _run(place: Site, seconds: float, console: Console) -> tuple[list[Figures], list[str]]:
    word: dict[str, object] = {"word": {"type": "string"}}
    text_: dict[str, object] = {"text": {"type": "string"}}
    looks = itertools.cycle([bus_tool(f"{name}_look", "none", word) for name in NAMES])
    writes = itertools.cycle([bus_tool(f"{name}_write", "once", text_) for name in NAMES])
    look_first, write_first = bus_tool("crm_look", "none", word), bus_tool("crm_write", "once", text_)
    local: FunctionTool[..., object] = look  # type: ignore[assignment]
    arguments, note = '{"word": "garden"}', '{"text": "call back on Monday"}'
    rows: list[Figures] = []
    paced: list[str] = []
    with Progress(console=console) as progress:
        task = progress.add_task("calls", total=9)
        for step in (
            lambda: one_by_one("in process, no effect", seconds, lambda: place.call(local, arguments)),
            lambda: one_by_one(
                "none: six workers", seconds, lambda: place.call(next(looks), arguments), "added ≤ 1 / 5 ms"
            ),
            lambda: at_rate(
                "none: three replicas",
                1_000,
                seconds,
                lambda: place.call(look_first, arguments),
                "1,000/s; added ≤ 1 / 5 ms",
            ),
            lambda: one_by_one(
                "effect, durable: six workers", seconds, lambda: place.call(next(writes), note), "added ≤ 5 / 20 ms"
            ),
            lambda: one_by_one(
                "effect, durable: one worker", seconds, lambda: place.call(write_first, note), "added ≤ 5 / 20 ms"
            ),
            lambda: at_rate(
                "effect, durable: three replicas",
                200,
                seconds,
                lambda: place.call(write_first, note),
                "200/s; added ≤ 5 / 20 ms",
            ),
        ):
            rows.append(await step())
            progress.advance(task)
        paced.append(pacing_row("nothing", await pacing(seconds)))
        progress.advance(task)
        calls = await hanging(place)
        paced.append(pacing_row(f"{LIVE_CALLS} tools at a worker that hangs", await pacing(seconds)))
        progress.advance(task)
        load = asyncio.create_task(at_rate("", 200, seconds, lambda: place.call(look_first, arguments), ""))
        paced.append(pacing_row("the same, and 200 other tools a second", await pacing(seconds)))
        await load
        progress.advance(task)
        assert not any(call.done() for call in calls)
        for call in calls:
            call.cancel()
    return rows, paced


def main(
    seconds: Annotated[float, typer.Option(help="For each row.", min=0.5)] = 10.0,
    output: Annotated[Path, typer.Option(help="Where the tables go.")] = ROOT / "bench" / "results" / "tools.md",
) -> None:
    """Measure tools over NATS."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    console = Console()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(measure(seconds, console))
    console.print(report, markup=False)
    output.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
