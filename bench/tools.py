"""From a model's function call to the result: through the tool runner, NATS, a worker process, and back.

The six workers that come with Perhop run as processes (`perhop worker run …`) on a real NATS server, two of them three
times, with their tables on a real PostgreSQL. *Inside* is the same function of the same worker run in this process
instead, in the same kind of transaction of the same database, in turn with the calls over NATS; *added* is what those
take beyond it, percentile by percentile. A durable effect is recorded by the gateway before it is sent, which is a
commit of its own, and by the worker in the transaction that has the effect. The rows of a trivial tool, served by
a worker of its own, show what the way alone costs. Then twenty calls' audio is encoded and paced in the same event loop
while a worker hangs.

    python bench/tools.py                    # four minutes
    python bench/tools.py --seconds 2        # a try
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import structlog
import typer
import uvloop
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import text

from perhop.edges.webrtc.pacer import Pacer
from perhop.media.opus import OpusEncoder
from perhop.tools import Tool
from perhop.tools.result import ToolResult
from tools_asks import Ask, asks, phone
from tools_site import PROCESSES, REPLICAS, Site, site

LIVE_CALLS = 20
FRAME = bytes(range(256)) * 3 + bytes(192)
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")
LOOKS = "≤ 1 / 5 ms"
EFFECTS = "≤ 5 / 20 ms"
WARM_UP = 50
EFFECT_TABLES = {"add_note": "crm_notes", "book_appointment": "calendar_bookings", "send_message": "sms_messages"}
"""Where one effect of a tool is one row."""


@dataclass
class Times:
    """Of calls, s, and how many failed."""

    taken: list[float] = field(default_factory=list)
    failed: int = 0

    def note(self, began: float, result: ToolResult) -> None:
        self.taken.append(time.perf_counter() - began)
        self.failed += not result.ok

    def at(self, share: float) -> float:
        """A percentile, ms."""
        return percentile(self.taken, share) * 1e3

    def __str__(self) -> str:
        return f"{self.at(0.5):.2f} / {self.at(0.99):.2f} ms" if self.taken else "-"


@dataclass
class Row:
    """One line of the table."""

    name: str
    rate: str
    wanted: str
    inside: Times
    over: Times

    def __str__(self) -> str:
        added = " / ".join(f"{self.over.at(share) - self.inside.at(share):.2f}" for share in (0.5, 0.99))
        failed = self.inside.failed + self.over.failed
        return (
            f"| {self.name} | {self.rate} | {len(self.over.taken):,} | {failed} | {self.inside} | {self.over} "
            f"| {added} ms | {self.wanted} |"
        )


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Bench:
    """Asks one tool after the other."""

    def __init__(self, place: Site, seconds: float) -> None:
        self._place = place
        self._seconds = seconds
        self._numbers = itertools.count()
        self._inside: dict[str, Times] = {}

    async def one_by_one(self, ask: Ask, wanted: str) -> Row:
        """As fast as answers come: once over NATS, once inside, in turn."""
        place = self._place
        ways = (place.inside(ask.worker, ask.tool), Times()), (place.remote(ask.worker, ask.tool), Times())
        for tool, _ in ways:
            for _ in range(WARM_UP):
                await self._call(tool, ask)
        end = time.perf_counter() + self._seconds
        while time.perf_counter() < end:
            for tool, times in ways:
                began = time.perf_counter()
                times.note(began, await self._call(tool, ask))
        (_, inside), (_, over) = ways
        self._inside[ask.tool] = inside
        return Row(f"{ask.worker}: {ask.tool}", "one by one", wanted, inside, over)

    async def at_rate(self, ask: Ask, rate: int, wanted: str) -> Row:
        """So many calls a second, whether the others are answered or not; measured from when a call was due."""
        tool = self._place.remote(ask.worker, ask.tool)
        times = Times()
        tasks: set[asyncio.Task[None]] = set()

        async def call(due: float) -> None:
            times.note(due, await self._call(tool, ask))

        began = time.perf_counter()
        for number in range(int(rate * self._seconds)):
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(call(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)
        reached = f"{len(times.taken) / (time.perf_counter() - began):,.0f}/s"
        name = f"{ask.worker}, {REPLICAS} processes: {ask.tool}"
        return Row(name, reached, f"{rate:,}/s; {wanted}", self._inside[ask.tool], times)

    async def _call(self, tool: Tool, ask: Ask) -> ToolResult:
        return await self._place.call(tool, ask.arguments(next(self._numbers)))


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


async def pacing(name: str, seconds: float) -> str:
    """Times between two frames of a call, over all of them, as a line of the table."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    speakers = [Speaker() for _ in range(LIVE_CALLS)]
    for index, speaker in enumerate(speakers):
        pacer.add(speaker, loop.time() - index * 0.001)
    await asyncio.sleep(seconds)
    pacer.close()
    gaps = [gap for speaker in speakers for gap in speaker.gaps()]
    late = sum(gap > 0.03 for gap in gaps)
    figures = " / ".join(f"{percentile(gaps, share) * 1e3:.2f}" for share in (0.5, 0.99))
    return f"| {name} | {len(gaps):,} | {figures} ms | {max(gaps) * 1e3:.1f} ms | {late} |"


async def run(place: Site, seconds: float, console: Console) -> tuple[list[Row], list[str]]:
    """Everything that is measured: the rows of both tables."""
    someone = await place.told("crm", "remember_contact", {"phone": phone(0), "name": "Robin"})
    await place.told("crm", "remember_contact", {"phone": phone(1)})
    message = await place.told("sms", "send_message", {"phone": phone(0), "text": "See you on Monday."})
    real = asks(contact_id=int(str(someone["contact_id"])), message_id=str(message["message_id"]))
    look = Ask("trivial", "look", lambda _: {"word": "garden"})
    write = Ask("trivial", "write", lambda _: {"text": "Call back on Monday."})
    bench = Bench(place, seconds)
    details = next(ask for ask in real["none"] if ask.worker == "listings")
    rows: list[Row] = []
    paced: list[str] = []
    with Progress(console=console) as progress:
        task = progress.add_task("calls", total=len(real["none"]) + len(real["once"]) + 8)
        for ask in (look, *real["none"]):
            rows.append(await bench.one_by_one(ask, LOOKS))
            progress.advance(task)
        for ask in (look, details):
            rows.append(await bench.at_rate(ask, 1_000, LOOKS))
            progress.advance(task)
        for ask in (write, *real["once"]):
            rows.append(await bench.one_by_one(ask, EFFECTS))
            progress.advance(task)
        rows.append(await bench.at_rate(real["once"][0], 200, EFFECTS))
        progress.advance(task)
        paced.append(await pacing("nothing", seconds))
        progress.advance(task)
        hang = place.remote("trivial", "hang")
        hanging = [asyncio.create_task(place.call(hang, {})) for _ in range(LIVE_CALLS)]
        paced.append(await pacing(f"{LIVE_CALLS} tools at a worker that hangs", seconds))
        progress.advance(task)
        load = asyncio.create_task(bench.at_rate(details, 200, ""))
        paced.append(await pacing("the same, and 200 other tools a second", seconds))
        await load
        progress.advance(task)
        assert not any(one.done() for one in hanging)
        for one in hanging:
            one.cancel()
    return rows, paced


async def counted(place: Site) -> list[str]:
    """Effects as they are in the database, and as they were asked for."""
    told = []
    async with place.database.session(reading=True) as session:
        for tool, table in EFFECT_TABLES.items():
            there = await session.scalar(text(f"SELECT count(*) FROM {table}"))
            told.append(f"`{tool}` {there:,} by {place.done[tool]:,}")
        shown = [f"{name} {await session.scalar(text(f'SHOW {name}'))}" for name in SETTINGS]
        version = await session.scalar(text("SHOW server_version"))
    return [
        f"PostgreSQL {version}: {', '.join(shown)}.",
        f"Rows there are, by calls answered with a result (inside and over NATS): {', '.join(told)}.",
    ]


async def measure(seconds: float, console: Console) -> str:
    """The page."""
    async with site(console) as place:
        rows, paced = await run(place, seconds, console)
        postgres, effects = await counted(place)
    lines = [
        "# Tools over NATS",
        "",
        f"`python bench/tools.py --seconds {seconds:g}`. " + " ".join((__doc__ or "").split("\n\n")[1].split()),
        "",
        f"{sum(PROCESSES.values())} worker processes on {os.cpu_count()} cores. {postgres}",
        "",
        "| worker: tool | rate | calls | failed | inside p50 / p99 | over NATS p50 / p99 | added p50 / p99 | wanted |",
        "|---|---|---|---|---|---|---|---|",
        *map(str, rows),
        "",
        effects,
        "",
        f"## Audio of {LIVE_CALLS} live calls in the same event loop",
        "",
        "| meanwhile | frames | between two frames p50 / p99 | longest | over 30 ms |",
        "|---|---|---|---|---|",
        *paced,
        "",
    ]
    return "\n".join(lines)


def main(
    seconds: Annotated[float, typer.Option(help="For each row.", min=0.5)] = 10.0,
    output: Annotated[Path, typer.Option(help="Where the tables go.")] = ROOT / "bench" / "results" / "tools.md",
) -> None:
    """Measure tools over NATS."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    console = Console()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(measure(seconds, console))
    console.print(report, markup=False, soft_wrap=True)
    output.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
