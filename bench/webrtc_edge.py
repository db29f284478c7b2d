"""How many WebRTC calls one process on one core holds, and what the callers notice of it.

The system under test has one core to itself: edge, call and an echo model, so every call is decoded, handed through the
call path, encoded and sent back. The load runs in another process on the other core: every caller has its own socket,
really does ICE, DTLS and SRTP, and talks without a pause in pre-encoded Opus. A few of the callers are probes: they
send short tones instead, decode what comes back, and so measure the delay from a tone sent to the tone heard, both
codecs and the pacing included. Use an idle machine; as root, both processes are put before all others.

    python bench/webrtc_edge.py                          # 1, 50, 100 and 150 calls, 20 s each
    python bench/webrtc_edge.py --calls 150 --seconds 60
    python bench/webrtc_edge.py --calls 1 --calls 25 --peer aiortc

Columns: CPU is time on a core per second of call; gaps are packets that arrived more than 30 ms after the one before;
round is the CPU time of the busiest turn of the event loop (all its callbacks together); start is the same while 20
more calls start at once; late is how far the load itself fell behind its schedule: with more than 2 ms (p99) the row is
void, since it then measured the machine. So it is when the system under test stood still for more than 10 ms without
computing: somebody else had its core (stolen).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # started as a script, Python looks beside it only

from bench.webrtc_load import Load, LoadResult

RESULTS = ROOT / "bench" / "results" / "webrtc_edge.md"
STARTING = 20
"""Calls that start at once while the others go on."""

SETTLE_S = 2.0
MAX_LATENESS = 0.002
EXPLANATION = """\
One process on one core answers; its callers run on the other. CPU is time on a core per second of call. Delay is from a
tone sent to the tone heard, both codecs and the pacing included. Gaps are packets more than 30 ms after the one before.
Round is the CPU time of the busiest turn of the event loop, start the same while 20 more calls start at once. Late is
how far the load fell behind its own schedule; with more than 2 ms the row is void."""
MAX_STOLEN_MS = 10
HEADINGS = (
    "stack",
    "calls",
    "CPU ms/s a call",
    "core %",
    "delay ms p50",
    "p99",
    "gaps %",
    "round ms p99",
    "max",
    "start ms p99",
    "max",
    "MB a call",
    "late ms p99",
    "stolen ms max",
)


class Stack(StrEnum):
    """What answers: Perhop's edge with its call path, the edge alone, or aiortc's plain echo."""

    PERHOP = "perhop"
    EDGE = "edge"
    AIORTC = "aiortc"


class SystemUnderTest:
    """The other process, on its own core."""

    def __init__(
        self, stack: str, core: int, *, options: Sequence[str] = (), variables: Mapping[str, str] | None = None
    ) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.webrtc_sut", stack, *options],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self._process.pid, {core})
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, -20)
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def answer(self, offer: str) -> str:
        return str(self._ask({"offer": offer})["answer"])

    def loop(self) -> dict[str, float]:
        """What the event loop did since the last call; see :class:`bench.webrtc_sut.MeteredSelector`."""
        return {name: float(value) for name, value in self._ask({"loop": True}).items()}

    def cpu(self) -> float:
        """CPU seconds of all threads; schedstat counts exactly, tick-based figures lie under timer-driven load."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in tasks) / 1e9

    def waited(self) -> float:
        """Seconds in which it could have run but somebody else had its core, over all threads."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[1]) for path in tasks) / 1e9

    def memory(self) -> float:
        """Resident MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the system under test ended; its complaint stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(slots=True)
class Row:
    """One measurement."""

    stack: Stack
    calls: int
    seconds: float
    cpu: float
    memory: float | None
    loop: dict[str, float]
    starting: dict[str, float] | None
    load: LoadResult

    @property
    def is_void(self) -> bool:
        return percentile(self.load.lateness, 0.99) > MAX_LATENESS or self.loop["stolen"] > MAX_STOLEN_MS

    def cells(self) -> list[str]:
        load = self.load
        return [
            self.stack.value,
            str(self.calls),
            f"{self.cpu / self.seconds / self.calls * 1e3:.2f}",
            f"{self.cpu / self.seconds * 100:.0f}",
            f"{percentile(load.delays, 0.5) * 1e3:.0f}" if load.delays else "-",
            f"{percentile(load.delays, 0.99) * 1e3:.0f}" if load.delays else "-",
            f"{load.gaps / max(load.packets, 1) * 100:.2f}",
            f"{self.loop['p99']:.2f}",
            f"{self.loop['max']:.1f}",
            f"{self.starting['p99']:.2f}" if self.starting else "-",
            f"{self.starting['max']:.1f}" if self.starting else "-",
            f"{self.memory:.2f}" if self.memory is not None else "-",
            f"{percentile(load.lateness, 0.99) * 1e3:.2f}",
            f"{self.loop['stolen']:.1f}" + (" void" if self.is_void else ""),
        ]


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of all are not above; 0 without values."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def measure(stack: Stack, calls: int, *, seconds: float, probes: int, core: int) -> Row:
    """Starts a fresh process, brings up the calls, and listens."""
    load = Load(calls, min(probes, calls))
    with SystemUnderTest(stack.value, core) as system:
        load.connect(load.callers[:1], system.answer)
        before = system.memory()  # after the first call, which loads what all of them share
        first, last = load.callers[1:-STARTING], load.callers[1:][-STARTING:]
        starting = None
        if calls <= STARTING:
            load.connect(last, system.answer)
        else:
            for at in range(0, len(first), 5):
                load.connect(first[at : at + 5], system.answer)
            load.run(until=time.monotonic() + SETTLE_S, result=None)
            system.loop()
            load.connect(last, system.answer)
            load.run(until=time.monotonic() + 1.0, result=None)
            starting = system.loop()
        load.run(until=time.monotonic() + SETTLE_S, result=None)
        system.loop()
        result = LoadResult()
        used, began = system.cpu(), time.monotonic()
        load.run(until=began + seconds, result=result)
        used, elapsed = system.cpu() - used, time.monotonic() - began
        memory = (system.memory() - before) / (calls - 1) if calls > 1 else None
        return Row(stack, calls, elapsed, used, memory, system.loop(), starting, result)


def separate_cores() -> int:
    """Puts this process on the last core, in real time if allowed; returns the core for the system under test."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise typer.BadParameter("this needs two cores: one for the system under test, one for the load")
    os.sched_setaffinity(0, {cores[-1]})
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        print("no permission for real-time priority: the load may be late on a busy machine", file=sys.stderr)
    return cores[0]


def main(
    calls: Annotated[list[int] | None, typer.Option(help="Calls at once; repeat it for several rows.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.", min=2)] = 20.0,
    peer: Annotated[list[Stack] | None, typer.Option(help="Who answers; repeat it to compare.")] = None,
    probes: Annotated[int, typer.Option(help="Callers that measure the delay.", min=1)] = 8,
    output: Annotated[Path, typer.Option(help="Where the table goes as Markdown.")] = RESULTS,
) -> None:
    """Measure how many WebRTC calls one process on one core holds."""
    core = separate_cores()
    rows: list[Row] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for stack in peer or [Stack.PERHOP]:
            for count in calls or [1, 50, 100, 150]:
                task = progress.add_task(f"{stack.value}: {count} calls for {seconds:g} s", total=None)
                try:
                    rows.append(measure(stack, count, seconds=seconds, probes=probes, core=core))
                except TimeoutError as error:
                    progress.console.print(f"{stack.value}, {count} calls: {error}")
                progress.update(task, total=1, completed=1)
    table = Table(*HEADINGS, title="One process, one core")
    for row in rows:
        table.add_row(*row.cells())
    Console(width=max(Console().width, 140)).print(table)
    output.parent.mkdir(parents=True, exist_ok=True)
    lines = [" | ".join(HEADINGS), " | ".join("---" for _ in HEADINGS), *(" | ".join(row.cells()) for row in rows)]
    table_lines = "\n".join(f"| {line} |" for line in lines)
    output.write_text(f"# Calls on one core\n\n{EXPLANATION}\n\n{table_lines}\n")


if __name__ == "__main__":
    typer.run(main)
