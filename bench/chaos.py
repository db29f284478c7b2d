"""Breaks things many times under load, and keeps what came of it: sockets, databases, the bus, workers.

Each row is a counted test of the suite, run far more often than there.

    python bench/chaos.py                 # everything, 50 times
    python bench/chaos.py --count 5 --only "sessions"
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "chaos.md"
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error)")


@dataclass(frozen=True)
class Trouble:
    """One way to break something.

    Attributes:
        tests: as pytest takes them.
        scale: how many runs a count of one means.
        kills: of a test that takes no count, how often one run of it breaks something; it is run as often as it takes.
    """

    what: str
    must: str
    tests: str
    scale: int = 1
    kills: int = 0


TROUBLES = (
    Trouble(
        "model sessions end and sockets break in conversations (three tests)",
        "every caller frame in one turn, no item doubled, no result lost, every response done",
        "tests/call/line/test_conversations.py",
        4,
    ),
    Trouble(
        "PostgreSQL killed and restarted under load",
        "no effect lost or doubled",
        "tests/workers/sdk/test_outages.py::test_a_database_killed_under_load_neither_loses_nor_doubles_an_effect",
    ),
    Trouble(
        "NATS killed and restarted under load",
        "no effect lost or doubled",
        "tests/workers/sdk/test_outages.py::test_a_bus_killed_under_load_neither_loses_nor_doubles_an_effect",
    ),
    Trouble(
        "a worker killed between effect and answer",
        "no effect lost or doubled; unknown counted apart",
        "tests/workers/sdk/test_processes.py",
        kills=8,
    ),
)


def main(
    count: Annotated[int, typer.Option(min=1, help="How often each thing is broken.")] = 50,
    only: Annotated[str, typer.Option(help="Only rows with this word.")] = "",
    output: Annotated[Path, typer.Option(help="Where the table goes.")] = RESULTS,
) -> None:
    """Break things under load."""
    console = Console()
    rows, failed = [], False
    with Progress(console=console) as progress:
        chosen = [trouble for trouble in TROUBLES if only in trouble.what]
        task = progress.add_task("breaking", total=len(chosen))
        for trouble in chosen:
            progress.update(task, description=trouble.what)
            began = time.monotonic()
            times = count * trouble.scale
            command = [sys.executable, "-m", "pytest", trouble.tests, "--timeout", "3600"]
            command += ["-k", "killed"] if trouble.kills else ["--count", str(times)]
            outcomes: Counter[str] = Counter()
            for _ in range(math.ceil(times / trouble.kills) if trouble.kills else 1):
                run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
                outcomes.update({word: int(number) for number, word in COUNTS.findall(run.stdout)})
                if run.returncode:
                    outcomes["broken"] += 1
                    console.print(run.stdout[-3_000:])
            failed = failed or bool(outcomes["broken"])
            verdict = "**broken**" if outcomes["broken"] else "held"
            shown = ", ".join(f"{number} {word}" for word, number in outcomes.items()) or "did not run"
            took = f"{time.monotonic() - began:.0f} s"
            rows.append(f"| {trouble.what} | {times} | {trouble.must} | {verdict} ({shown}) | {took} |")
            progress.advance(task)
    table = ["| what is broken | times, each test | what must hold | | took |", "|---|---|---|---|---|", *rows]
    output.write_text("\n".join(["# Chaos", "", f"    python bench/chaos.py --count {count}", "", *table, ""]))
    console.print("\n".join(table))
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
