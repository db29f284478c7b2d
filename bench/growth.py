"""What does a gateway keep of calls that are over? Ten thousand short ones, and its memory after every thousand.

A third of them come over WebRTC, a third over WebSocket to the echo, a third over WebSocket to a model behind one more
socket; ten at a time. Caches of bounded size (the last calls, pages of the database, names in metrics) fill during the
first thousands, so what counts is the last half.

    python bench/growth.py                  # about two minutes
    python bench/growth.py --calls 2000
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.integration.gateway import Gateway, eventually, gateway
from tests.integration.test_leaks import make_calls, resident

RESULTS = ROOT / "bench" / "results" / "growth.md"
WARM_UP = 300
MAX_GROWTH = 500.0
"""Bytes a call over the last half: at a thousand calls an hour half of what the soak allows."""

MODEL = '[server]\ndefault_model = "echo"\n[limits]\nresume_window_s = 0\n'
GATEWAY = """
[models.far]
url = "{url}/v1"
[[agents]]
name = "far"
model = "far"
"""


async def measure(server: Gateway, calls: int, steps: int, progress: Progress) -> list[tuple[int, int]]:
    """(calls made, bytes resident) at the beginning and after every step."""
    await eventually(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, within_s=60)
    await make_calls(server, WARM_UP)
    found = [(0, resident(server))]
    task = progress.add_task("calls", total=calls)
    for step in range(1, steps + 1):
        await make_calls(server, calls // steps)
        found.append((step * (calls // steps), resident(server)))
        progress.update(task, completed=found[-1][0])
    return found


def report(found: list[tuple[int, int]]) -> tuple[str, bool]:
    """What came of it, as Markdown; and whether it held."""
    half, last = found[len(found) // 2], found[-1]
    growth = (last[1] - half[1]) / (last[0] - half[0])
    lines = [
        "# Memory of calls that are over",
        "",
        "`python bench/growth.py`; what it does is in that file.",
        "",
        "| calls | MB resident | bytes a call since the row before |",
        "|---|---|---|",
    ]
    before = found[0]
    for calls, rss in found:
        since = f"{(rss - before[1]) / (calls - before[0]):.0f}" if calls > before[0] else "–"
        lines.append(f"| {calls:,} | {rss / 1e6:.2f} | {since} |")
        before = calls, rss
    held = growth <= MAX_GROWTH
    verdict = "yes" if held else "no"
    lines += ["", f"Over the last half {growth:.0f} bytes a call; at most {MAX_GROWTH:g}: {verdict}.", ""]
    return "\n".join(lines), held


def main(
    calls: Annotated[int, typer.Option(help="Calls to make.", min=100)] = 10_000,
    output: Annotated[Path, typer.Option(help="Where the table goes.")] = RESULTS,
) -> None:
    """Measure what calls leave behind in memory."""
    console = Console()
    with (
        tempfile.TemporaryDirectory() as far,
        tempfile.TemporaryDirectory() as near,
        gateway(Path(far), MODEL, inspected=False) as model,
        gateway(Path(near), GATEWAY.format(url=model.url), inspected=False) as server,
        Progress(console=console) as progress,
    ):
        found = asyncio.run(measure(server, calls, min(10, calls // 50), progress))
    text, held = report(found)
    output.write_text(text, "utf-8")
    console.print(text)
    raise typer.Exit(0 if held else 1)


if __name__ == "__main__":
    typer.run(main)
