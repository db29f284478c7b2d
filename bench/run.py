"""Runs every benchmark, one after the other, and keeps what each found under ``bench/results/``.

python bench/run.py                       # all of them, about 20 minutes on two quiet cores
python bench/run.py loss first_audio      # these
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

BENCHES = {
    "webrtc_edge": "calls one core holds, delay, gaps, loop lag, memory; the echo of the real call path",
    "webrtc_edge_aiortc": "the same callers against a plain aiortc echo",
    "bridge": "what the gateway adds between WebRTC callers and a WebSocket model, calls one core bridges",
    "loss": "what the model hears of a lossy network, against aiortc's receiver",
    "first_audio": "end of speech to first audio, and sentences cut short",
    "starting": "how late the event loop is while calls start",
    "growth": "memory a gateway keeps of ten thousand calls that are over",
    "renewal": "model sessions replaced and lost while people talk",
    "tools": "a function call to its result: through NATS, six workers, PostgreSQL; pacing while one hangs",
    "catalogue": "37 agents and 90 tools: loading them, starting calls, every tool through NATS",
    "brain": "voice detection, recognition, synthesis",
}
HERE = Path(__file__).parent
AIORTC = ["--peer", "aiortc", "--calls", "1", "--calls", "20"]
COMMANDS = {
    "webrtc_edge_aiortc": ["webrtc_edge.py", *AIORTC, "--output", str(HERE / "results" / "webrtc_edge_aiortc.md")],
}


def main(names: Annotated[list[str] | None, typer.Argument(help=f"Of: {', '.join(BENCHES)}.")] = None) -> None:
    """Run benchmarks."""
    console = Console()
    failed = []
    for name in names or BENCHES:
        if name not in BENCHES:
            raise typer.BadParameter(f"no benchmark {name!r}; there are: {', '.join(BENCHES)}")
        console.rule(f"[bold]{name}[/]: {BENCHES[name]}")
        command = [sys.executable, *COMMANDS.get(name, [f"{name}.py"])]
        command[1] = str(HERE / command[1])
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/]")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
