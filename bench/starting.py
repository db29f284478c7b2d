"""Whether calls that start hold up those that live: the lag of the server's event loop meanwhile.

One ``perhop serve`` with the built-in model (voice detection, recognisers, a voice), WebRTC callers who come one after
another, hear the agent's greeting and hang up. The figures are the server's own (``perhop_loop_lag_seconds``): it has
itself called twenty times a second and notes how late that was.

    python bench/starting.py                  # a minute and a half; on an idle machine
    python bench/starting.py --calls 20       # a try
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import httpx
import typer
from bench.webrtc_caller import LightCaller
from rich.console import Console
from tests.integration.gateway import Gateway, gateway

RESULTS = Path(__file__).parent / "results" / "starting.md"
IDLE_S = 20.0
TALK_S = 4.0
BUCKETS_MS = (1, 2, 5, 10, 20, 30, 50, 100, 250, 500, 1000)
AGENT = """
[limits]
calls_per_minute = 100000
[[agents]]
name = "desk"
greeting = "Good morning, how can I help?"
instructions = "You are the front desk."
tools = ["builtin:hang_up"]
"""


@dataclass(frozen=True)
class Lag:
    """Looks of the server's loop at its clock, by how late they were.

    Attributes:
        counts: how many were no later than each of :data:`BUCKETS_MS`.
        looks: all of them.
    """

    counts: tuple[float, ...]
    looks: float

    @classmethod
    def now(cls, server: Gateway) -> Lag:
        """Since the server began."""
        name = "perhop_loop_lag_seconds"
        counts = tuple(server.figure(f"{name}_bucket", le=str(ms / 1000)) for ms in BUCKETS_MS)
        return cls(counts, server.figure(f"{name}_count"))

    def since(self, before: Lag) -> Lag:
        """Those between two moments."""
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        return Lag(counts, self.looks - before.looks)

    def quantile(self, share: float) -> str:
        """No later than this, ms, were so many of them."""
        for ms, count in zip(BUCKETS_MS, self.counts, strict=True):
            if count >= share * self.looks:
                return f"≤ {ms} ms"
        return f"> {BUCKETS_MS[-1]} ms"

    def within(self, ms: int) -> str:
        """How many were no later than this."""
        return f"{100 * self.counts[BUCKETS_MS.index(ms)] / max(1.0, self.looks):.2f} %"


async def one_call(http: httpx.AsyncClient) -> None:
    """A caller who hears the agent and hangs up."""
    async with LightCaller() as caller:
        await caller.call(http, agent="desk")
        await caller.heard()
        await caller.talk(int(TALK_S / 0.02))
        caller.hang_up()


async def run(server: Gateway, calls: int, every_s: float) -> tuple[Lag, Lag]:
    """The lag of an idle server, and while calls start."""
    before = Lag.now(server)
    await asyncio.sleep(IDLE_S)
    idle = Lag.now(server)
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http, asyncio.TaskGroup() as callers:
        due = time.monotonic()
        for _ in range(calls):
            callers.create_task(one_call(http))
            due += every_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    return idle.since(before), Lag.now(server).since(idle)


def report(idle: Lag, busy: Lag, calls: int, every_s: float) -> str:
    """What was found, as Markdown."""
    return f"""# Calls that start, and those that live

`python bench/starting.py`: {calls} WebRTC callers of the built-in model, one every {every_s:g} s, {TALK_S:g} s each.
Load of the machine when it ended: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.

| lag of the event loop | idle | while calls start | target |
|---|---|---|---|
| median | {idle.quantile(0.5)} | {busy.quantile(0.5)} | |
| p99 | {idle.quantile(0.99)} | {busy.quantile(0.99)} | ≤ 5 ms |
| within 5 ms | {idle.within(5)} | {busy.within(5)} | 99 % |
| looks | {idle.looks:.0f} | {busy.looks:.0f} | |
"""


def main(
    calls: Annotated[int, typer.Option(help="How many start.")] = 120,
    every_s: Annotated[float, typer.Option(help="Between two of them.")] = 0.5,
    write: Annotated[bool, typer.Option(help="Keep the result under bench/results/.")] = True,
) -> None:
    """Measure how late the loop is while calls start."""
    with tempfile.TemporaryDirectory() as folder, gateway(Path(folder), AGENT, inspected=False) as server:
        idle, busy = asyncio.run(run(server, calls, every_s))
    text = report(idle, busy, calls, every_s)
    Console().print(text)
    if write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    typer.run(main)
