"""What a gateway adds between WebRTC callers and a WebSocket model, and how many calls one core of it bridges.

Three processes: callers (real ICE, DTLS, SRTP and Opus), the gateway on a core of its own (edge, call, model leg), and
an echo model behind a WebSocket. What a caller says is decoded, sent to the model as ``input_audio_buffer.append``,
comes back as ``response.output_audio.delta``, is encoded and paced back to it. Probes measure the delay from a tone
sent to the tone heard: the whole round trip, both codecs, both hops and the pacing.

    python bench/bridge.py                            # 1, 10, 50, 100, 150 calls; always talking, then 40 % of it:
                                                      # 8 minutes
    python bench/bridge.py --calls 10 --seconds 5 --no-talk --no-stops
    python bench/bridge.py --peer in-process          # the same without the second hop: what the WebSocket costs

*Stops* is another measurement: agents speak (given faster than it is played, as models do), their callers talk over
them, and the time from the model's ``speech_started`` to the end of the last packet with the agent's voice is taken.

Callers and model share the other core; callers come first. With more than 2 ms (p99) between their schedule and them,
or a gateway that waited for its own core for more than 1 % of the time, a row is void: use an idle machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # started as a script, Python looks beside it only

from bench.bridge_stops import Stops, measure_stops
from bench.webrtc_edge import MAX_LATENESS, SystemUnderTest, percentile, separate_cores
from bench.webrtc_load import PAUSE, Load, LoadResult

RESULTS = ROOT / "bench" / "results" / "bridge.md"
SETTLE_S = 3.0
MAX_WAITED = 0.01
STOPS_SAY_MS = "8000"
STOPS_PACE = "4"
"""What is interrupted: longer than anybody listens, and given four times as fast as it is played."""
QUIET_EAR = {"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}}
"""As calls have it; the echo finds no turns in what it hears."""
HEADINGS = (
    "model",
    "agent talks",
    "calls",
    "CPU ms/s a call",
    "core %",
    "delay ms p50",
    "p99",
    "gaps %",
    "MB a call",
    "late ms p99",
    "waited %",
)
EXPLANATION = """\
One process on one core is the gateway; callers and model run on the other. CPU is time on a core per second of call.
Delay is from a tone sent by a WebRTC caller to the tone heard, by way of the model, which echoes in real time and drops
what a stall made come in a burst. Gaps are packets more than 30 ms after the one before. Late is how far the callers
fell behind their own schedule, waited is how long the gateway was kept from its core; with more than 2 ms or 1 % the
row is void. An agent that talks 40 % of the time takes turns: 4 s of speech as a response, then 6 s of silence, each
call at another phase."""


class Peer(StrEnum):
    """Where the model is: behind a WebSocket in another process, or in the gateway's."""

    WEBSOCKET = "websocket"
    IN_PROCESS = "in-process"


class Model:
    """The model's process, on the callers' core."""

    def __init__(self, core: int, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.models.upstream", *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self._process.pid, {core})
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, -20)
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]
        self.said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(json.loads(line))


@dataclass(slots=True)
class Row:
    """One measurement."""

    peer: Peer
    talk: float
    calls: int
    seconds: float
    cpu: float
    waited: float
    memory: float | None
    load: LoadResult = field(default_factory=LoadResult)

    @property
    def is_void(self) -> bool:
        return percentile(self.load.lateness, 0.99) > MAX_LATENESS or self.waited / self.seconds > MAX_WAITED

    def cells(self) -> list[str]:
        load = self.load
        return [
            self.peer.value,
            f"{self.talk:.0%}",
            str(self.calls),
            f"{self.cpu / self.seconds / self.calls * 1e3:.2f}",
            f"{self.cpu / self.seconds * 100:.0f}",
            f"{percentile(load.delays, 0.5) * 1e3:.1f}" if load.delays else "-",
            f"{percentile(load.delays, 0.99) * 1e3:.1f}" if load.delays else "-",
            f"{load.gaps / max(load.packets, 1) * 100:.2f}",
            f"{self.memory:.2f}" if self.memory is not None else "-",
            f"{percentile(load.lateness, 0.99) * 1e3:.2f}",
            f"{self.waited / self.seconds * 100:.2f}" + (" void" if self.is_void else ""),
        ]


@contextlib.contextmanager
def bridged(peer: Peer, core: int, *model: str, session: dict[str, Any]) -> Iterator[tuple[SystemUnderTest, Model]]:
    """A gateway and its model."""
    with Model(max(os.sched_getaffinity(0)), *model) as upstream:
        variables = {"PERHOP_BENCH_MODEL": upstream.url, "PERHOP_BENCH_SESSION": json.dumps(session)}
        stack = "bridge" if peer is Peer.WEBSOCKET else "perhop"
        with SystemUnderTest(stack, core, options=["--uvloop"], variables=variables) as system:
            yield system, upstream


def measure(peer: Peer, calls: int, *, talk: float, seconds: float, probes: int, core: int) -> Row:
    """Starts fresh processes, brings up the calls, and listens."""
    load = Load(calls, min(probes, calls))
    for caller in load.callers:
        caller.longest_gap = PAUSE if talk < 1 else float("inf")
    with bridged(peer, core, "--kind", "echo", "--talk", str(talk), session=QUIET_EAR) as (system, _):
        load.connect(load.callers[:1], system.answer)
        load.run(until=time.monotonic() + SETTLE_S / 2, result=None)
        before = system.memory()  # after the first call, which loads what all of them share
        for at in range(1, calls, 5):
            load.connect(load.callers[at : min(at + 5, calls)], system.answer)
        load.run(until=time.monotonic() + SETTLE_S, result=None)
        used, waited, began = system.cpu(), system.waited(), time.monotonic()
        result = LoadResult()
        load.run(until=began + seconds, result=result)
        elapsed = time.monotonic() - began
        used, waited = system.cpu() - used, system.waited() - waited
        memory = (system.memory() - before) / (calls - 1) if calls > 1 else None
        return Row(peer, talk, calls, elapsed, used, waited, memory, result)


def main(
    calls: Annotated[list[int] | None, typer.Option(help="Calls at once; repeat it for several rows.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.", min=2)] = 20.0,
    peer: Annotated[list[Peer] | None, typer.Option(help="Where the model is; repeat it to compare.")] = None,
    probes: Annotated[int, typer.Option(help="Callers that measure the delay.", min=1)] = 8,
    talk: Annotated[bool, typer.Option(help="Also with an agent that talks 40 % of the time.")] = True,
    stops: Annotated[bool, typer.Option(help="Also how fast an agent falls silent.")] = True,
    output: Annotated[Path, typer.Option(help="Where the tables go as Markdown.")] = RESULTS,
) -> None:
    """Measure what the gateway adds."""
    core = separate_cores()
    rows: list[Row] = []
    silences: list[Stops] = []
    counts = calls or [1, 10, 50, 100, 150]
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for where in peer or [Peer.WEBSOCKET]:
            for share in [1.0, 0.4] if talk and where is Peer.WEBSOCKET else [1.0]:
                for count in counts:
                    task = progress.add_task(f"{where.value}: {count} calls, agent talks {share:.0%}", total=None)
                    try:
                        rows.append(measure(where, count, talk=share, seconds=seconds, probes=probes, core=core))
                    except TimeoutError as error:
                        progress.console.print(f"{where.value}, {count} calls: {error}")
                    progress.update(task, total=1, completed=1)
        for count in counts if stops else []:
            task = progress.add_task(f"silence after speech_started, {count} calls", total=None)
            kind = ("--kind", "scripted", "--say-ms", STOPS_SAY_MS, "--pace", STOPS_PACE, "--report")
            with bridged(Peer.WEBSOCKET, core, *kind, session={}) as (system, model):
                silences.append(measure_stops(system, model.said, calls=count, seconds=seconds))
            progress.update(task, total=1, completed=1)
    tables = [
        (HEADINGS, [row.cells() for row in rows], "Callers and a model, bridged"),
        (Stops.HEADINGS, [stop.cells() for stop in silences], "From the model's speech_started to silence"),
    ]
    text = ["# The gateway between WebRTC and WebSocket", EXPLANATION]
    for headings, cells, title in tables:
        if not cells:
            continue
        table = Table(*headings, title=title)
        for row in cells:
            table.add_row(*row)
        Console(width=max(Console().width, 140)).print(table)
        lines = [" | ".join(headings), " | ".join("---" for _ in headings), *(" | ".join(row) for row in cells)]
        text += [f"## {title}", "\n".join(f"| {line} |" for line in lines)]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    typer.run(main)
