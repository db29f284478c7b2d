"""Breaks things many times under load, and keeps what came of it: workers, the bus, databases, sockets.

The first table is about live calls. ``perhop serve`` with its store on PostgreSQL and its bus on NATS, a scripted model
behind a WebSocket and two replicas of a worker, each a process of its own; callers over WebRTC and WebSocket talk and
write without a pause, and every answer calls tools: orders in the database, charges at a provider that knows
idempotency keys, letters at one that knows none. Meanwhile one thing after the other is killed with SIGKILL and comes
back, under the same calls. After every outage each call must be up, in the model session it began in, and its next turn
answered. ``tests/chaos`` does it, ``make test`` with few outages.

The second table is of counted tests of the suite, run far more often than there.

    python bench/chaos.py                 # everything, 50 times
    python bench/chaos.py --count 5 --only NATS
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.chaos.outages import KINDS, break_things
from tests.chaos.report import CLEAR_S, GAP_S, Count, Report, Row

RESULTS = ROOT / "bench" / "results" / "chaos.md"
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error)")
MOST = 20
"""Faults that are listed."""

CALLS = {"speakers": 3, "talkers": 1, "writers": 2}
HOW = {"speakers": "over WebRTC", "talkers": "over WebSocket with audio", "writers": "with text"}
LIVE = (
    "what is broken",
    "times",
    "calls live / survived",
    "placed meanwhile",
    "effects asked for: database, provider with keys, without",
    "lost",
    "doubled",
    "unknown",
    "tools it met: answered, refused, in doubt",
    "slowest refusal",
    "longest gap heard",
    "took",
)
COUNTED = ("what is broken", "times, each test", "what must hold", "", "took")


@dataclass(frozen=True)
class Counted:
    """A test of the suite that breaks something.

    Attributes:
        tests: as pytest takes them.
        option: by which they take their count.
        scale: how many runs a count of one means.
    """

    what: str
    must: str
    tests: str
    option: str = "--kills"
    scale: int = 1


OUTAGES = "tests/workers/sdk/test_outages.py"
TESTS = (
    Counted(
        "model sessions end and sockets break in conversations (three tests)",
        "every caller frame in one turn, no item doubled, no result lost, every response done",
        "tests/call/line/test_conversations.py",
        "--count",
        4,
    ),
    Counted(
        "PostgreSQL killed under six callers who ask a worker without a pause",
        "no effect lost or doubled",
        f"{OUTAGES}::test_a_database_killed_under_load_neither_loses_nor_doubles_an_effect",
    ),
    Counted(
        "NATS killed under the same",
        "no effect lost or doubled",
        f"{OUTAGES}::test_a_bus_killed_under_load_neither_loses_nor_doubles_an_effect",
    ),
)


async def under_calls(count: int, only: str, progress: Progress, task: TaskID) -> Report | None:
    """Breaks what has this word in its name."""
    kinds = [kind for kind in KINDS if only in kind.what]
    if not kinds:
        return None
    done: Counter[str] = Counter()

    def tell(row: Row) -> None:
        done[row.what] = row.times
        progress.update(task, description=row.what, completed=done.total(), total=count * len(kinds))

    with tempfile.TemporaryDirectory(prefix="perhop-chaos-") as folder:
        return await break_things(Path(folder), kinds, times=count, tell=tell, **CALLS)


def live_row(row: Row) -> list[str]:
    """One row of the first table."""
    sorts: Sequence[Count] = (row.orders, row.keyed, row.keyless)
    return [
        row.what,
        str(row.times),
        f"{row.calls} / {row.survived}",
        str(row.visitors),
        ", ".join(f"{count.asked:,}" for count in sorts),
        ", ".join(str(len(count.lost)) for count in sorts),
        ", ".join(str(len(count.doubled)) for count in sorts),
        ", ".join(str(count.unknown) for count in sorts),
        f"{row.answered:,}, {row.refused:,}, {row.in_doubt:,}",
        f"{row.slowest:.2f} s" if row.slowest else "–",
        f"{row.gap * 1e3:.0f} ms" if row.gap else "under 30 ms",
        f"{row.took:.0f} s",
    ]


def live_lines(report: Report) -> list[str]:
    """The first table and what is below it."""
    events = report.events
    late = [*events.out_of_order(), *events.missing(), *report.unheard]
    calls = " and ".join(f"{CALLS[kind]} {how}" for kind, how in HOW.items())
    rules = f"A refusal must come within {CLEAR_S:g} s of the call; a gap in what is heard may be {GAP_S * 1e3:.0f} ms"
    figures = (
        ("longest gap heard at all other times", f"{report.calm_gap * 1e3:.0f} ms"),
        ("longest time in which the model heard nothing of a caller", f"{report.deaf * 1e3:.0f} ms"),
        ("requests that the provider recognised by their key", f"{report.repeated:,}"),
        ("events of calls that a consumer got", f"{events.count:,}"),
        ("of them out of order, missing or too many; given up", f"{len(late)}; {report.dropped:.0f}"),
        ("handed out again by a server that was killed, and known by their ids", f"{events.again:,}"),
        ("memory of the gateway, begin and end", " and ".join(f"{one:.0f} MB" for one in report.memory)),
        ("tasks in its event loop", " and ".join(f"{one:.0f}" for one in report.tasks)),
        ("what did not hold", "; ".join(report.faults()[:MOST]) or "nothing"),
    )
    return [
        "## Under live calls",
        "",
        f"{calls}: the same ones from the first outage to the last. Lost, doubled and unknown are of the database, the",
        f"provider with keys and the one without. {rules},",
        "neither counted while the machine was busy with others.",
        "",
        *table(LIVE, [live_row(row) for row in report.rows]),
        "",
        *table(("", ""), figures),
        "",
    ]


def counted_row(test: Counted, count: int, console: Console) -> tuple[list[str], bool]:
    """Runs a counted test; its row of the second table, and whether it held."""
    began = time.monotonic()
    times = count * test.scale
    command = [sys.executable, "-m", "pytest", test.tests, "--timeout", "3600", test.option, str(times)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        console.print(run.stdout[-3_000:], markup=False)
    shown = ", ".join(" ".join(found) for found in COUNTS.findall(run.stdout)) or "did not run"
    verdict = "**broken**" if run.returncode else "held"
    took = f"{time.monotonic() - began:.0f} s"
    return [test.what, str(times), test.must, f"{verdict} ({shown})", took], not run.returncode


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]


def main(
    count: Annotated[int, typer.Option(min=1, help="How often each thing is broken.")] = 50,
    only: Annotated[str, typer.Option(help="Only rows with this word.")] = "",
    output: Annotated[Path, typer.Option(help="Where the tables go.")] = RESULTS,
) -> None:
    """Break things under load."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    console = Console()
    lines = ["# Chaos", "", f"    python bench/chaos.py --count {count}", ""]
    tests = [test for test in TESTS if only in test.what]
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"), TimeElapsedColumn())
    held = True
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=None)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(under_calls(count, only, progress, task))
        if report is not None:
            held = not report.faults()
            lines += live_lines(report)
        rows = []
        for test in tests:
            progress.update(task, description=test.what)
            row, well = counted_row(test, count, console)
            rows.append(row)
            held = held and well
    if rows:
        lines += ["## Counted tests", "", *table(COUNTED, rows), ""]
    output.write_text("\n".join(lines), encoding="utf-8")
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    raise typer.Exit(0 if held else 1)


if __name__ == "__main__":
    typer.run(main)
