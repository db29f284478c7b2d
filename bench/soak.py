"""Does Perhop hold for hours? A steady mix of long and short calls, and a line through the memory it uses.

Three processes: ``perhop serve``, a scripted model behind a WebSocket whose sessions last two minutes, and the callers
in this one. A few callers over WebRTC talk for ten minutes each and speak into every fourth answer; short
calls over WebRTC and WebSocket come and go all the time. The model calls a tool in every third turn.

    python bench/soak.py                    # two hours: the verdict counts
    python bench/soak.py --minutes 5        # does it run at all?

The slope of resident memory is a least-squares fit over the samples after the warm-up (a fifth of the time, half an
hour at most): heaps grow until they have seen the most that happens at once.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.webrtc_caller import LightCaller

RESULTS = ROOT / "bench" / "results" / "soak.md"
MAX_SLOPE = 1.0
"""MB an hour."""

SAMPLE_S = 5.0
LONG_CALLS = 6
LONG_S = 600.0
SHORT_AT_ONCE = 3
MODEL_CAP_S = 120.0
COUNTED_FROM = 60.0
"""Minutes a run must take for its slope to mean something."""

_TIME = np.arange(960) / 48_000
TONE = (9_000 * np.sin(2 * np.pi * 400 * _TIME)).astype("<i2").tobytes()
"""20 ms of a loud voice: the model takes it for speech."""

_CONFIG = """
[log]
level = "warning"
format = "json"
[server]
drain_s = 1
[limits]
resume_window_s = 5
[models.far]
url = "http://127.0.0.1:{port}/v1"
session_cap_s = {cap}
key = "sk-soak"
[[agents]]
name = "soak"
model = "far"
tools = ["soak_tools:look_up"]
"""
_TOOLS = '''
import asyncio
from perhop import tool

@tool
async def look_up(what: str) -> str:
    """Looks something up.

    Args:
        what: to look up.
    """
    await asyncio.sleep(0.3)
    return "It is noon."
'''


@dataclass
class Sample:
    """What was seen at one moment.

    Attributes:
        at: s since the start.
        rss: MB.
    """

    at: float
    rss: float
    files: int
    lag_ms: float
    live: int


@dataclass
class Run:
    """What happened so far."""

    samples: list[Sample] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


class Server:
    """The process under test."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    def sample(self, at: float) -> Sample:
        """Memory, files and the longest lag since the last sample."""
        proc = Path(f"/proc/{self.process.pid}")
        found = re.search(r"VmRSS:\s+(\d+) kB", (proc / "status").read_text())
        assert found is not None, "it is gone"
        figures = self.figures()
        return Sample(
            at,
            int(found[1]) / 1024,
            len(list((proc / "fd").iterdir())),
            figures["perhop_loop_lag_longest_seconds"] * 1e3,
            int(figures["perhop_calls_live"]),
        )

    def figures(self) -> Counter[str]:
        """All metrics by name, labels added up."""
        sums: Counter[str] = Counter()
        for family in text_string_to_metric_families(httpx.get(f"{self.url}/metrics").text):
            for sample in family.samples:
                sums[sample.name] += sample.value  # type: ignore[assignment]
        return sums


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Server]:
    """Starts the model and the server."""
    model = subprocess.Popen(
        [sys.executable, ROOT / "bench" / "soak_model.py", "--cap", str(MODEL_CAP_S)], stdout=subprocess.PIPE
    )
    try:
        assert model.stdout is not None
        port = int(model.stdout.readline())
        (folder / "perhop.toml").write_text(_CONFIG.format(port=port, cap=MODEL_CAP_S))
        (folder / "soak_tools.py").write_text(_TOOLS)
        log = folder / "log"
        command = [sys.executable, "-c", "from perhop.cli import main; main()", "serve", "--echo", "--port", "0"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
        with log.open("wb") as sink:
            server = subprocess.Popen(command, cwd=folder, env=environment, stdout=sink, stderr=sink)
        try:
            yield Server(server, _url(server, log))
        finally:
            server.terminate()
            server.wait(30)
    finally:
        model.kill()
        model.wait()


def _url(server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
        if found and httpx.get(f"{found[0]}/readyz").status_code == 200:
            return found[0]
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"perhop serve does not start:\n{log.read_text()[-2000:]}")


async def converse(http: httpx.AsyncClient, rng: random.Random, seconds: float) -> None:
    """A call over WebRTC: speak, listen, sometimes speak into the answer."""
    async with LightCaller() as caller:
        await caller.call(http, agent="soak")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await caller.talk(rng.randint(30, 80), TONE)
            interrupts = rng.random() < 0.25
            await caller.talk(60 if interrupts else rng.randint(180, 260))
            caller.peer.received.clear()
            caller.peer.reports.clear()
        caller.hang_up()


async def write(url: str, rng: random.Random) -> None:
    """A short call over WebSocket: a few texts, some audio, their answers."""
    address = f"{url.replace('http', 'ws', 1)}/v1/realtime?agent={rng.choice(('soak', 'echo'))}"
    async with connect(address, max_size=None) as socket:
        for _ in range(rng.randint(1, 4)):
            content = [{"type": "input_text", "text": "What time is it?"}]
            item = {"type": "message", "role": "user", "content": content}
            audio = base64.b64encode(bytes(48_000)).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await socket.send(json.dumps({"type": "response.create"}))
            while json.loads(await socket.recv())["type"] != "response.done":
                pass
            await asyncio.sleep(rng.uniform(0.1, 1.0))


async def load(server: Server, run: Run, until: float) -> None:
    """Callers until this time."""
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:

        async def one(kind: str, rng: random.Random, seconds: float) -> None:
            try:
                async with asyncio.timeout(seconds + 60):
                    if kind == "websocket":
                        await write(server.url, rng)
                    else:
                        await converse(http, rng, seconds)
                run.calls[kind] += 1
            except (OSError, TimeoutError, httpx.HTTPError, WebSocketException) as error:
                run.failures[f"{kind}: {type(error).__name__}"] += 1

        whole = min(LONG_S, (until - time.monotonic()) / 4)

        async def long(seed: int) -> None:
            rng = random.Random(seed)
            length = whole * (seed + 1) / LONG_CALLS  # the first ones end one after the other
            while (left := until - time.monotonic()) > 5:
                await one("long", rng, min(length, left - 5))
                length = whole

        async def short(seed: int) -> None:
            rng = random.Random(1000 + seed)
            while until - time.monotonic() > 10:
                await one(rng.choice(("short", "websocket")), rng, rng.uniform(2, 8))

        await asyncio.gather(*map(long, range(LONG_CALLS)), *map(short, range(SHORT_AT_ONCE)))


def slope(samples: list[Sample]) -> tuple[float, float]:
    """MB an hour by least squares, and the half width of its 95 % interval."""
    at = np.array([sample.at for sample in samples]) / 3600
    rss = np.array([sample.rss for sample in samples])
    if len(at) < 10:
        return math.nan, math.nan
    centred = at - at.mean()
    gradient = float((centred * rss).sum() / (centred**2).sum())
    rest = rss - rss.mean() - gradient * centred
    error = math.sqrt(float((rest**2).sum()) / (len(at) - 2) / float((centred**2).sum()))
    return gradient, 1.96 * error


def report(run: Run, server: Server, minutes: float) -> tuple[str, bool]:
    """What came of it, as Markdown; and whether it held."""
    warm = min(minutes * 60 / 5, 1800)
    settled = [sample for sample in run.samples if sample.at >= warm]
    gradient, half = slope(settled)
    counts = minutes >= COUNTED_FROM
    figures = server.figures()
    lags = sorted(sample.lag_ms for sample in settled) or [math.nan]
    speech_min = figures["perhop_packets_sent_total"] / 50 / 60
    held = not run.failures and (not counts or gradient <= MAX_SLOPE)
    verdict = ("yes" if gradient <= MAX_SLOPE else "no") if counts else f"a run of {minutes:g} minutes cannot say"
    rows = [
        ("length", f"{minutes:g} min, the first {warm / 60:.1f} as warm-up"),
        ("calls", ", ".join(f"{count} {kind}" for kind, count in sorted(run.calls.items()))),
        ("calls that failed", ", ".join(f"{count} {kind}" for kind, count in run.failures.items()) or "none"),
        ("live at once, most", str(max(sample.live for sample in run.samples))),
        ("memory, begin and end", f"{settled[0].rss:.1f} MB, {settled[-1].rss:.1f} MB" if settled else "–"),
        ("slope of memory", f"{gradient:+.2f} ± {half:.2f} MB/h"),
        (f"at most {MAX_SLOPE:g} MB/h", verdict),
        ("file descriptors, begin and end", f"{settled[0].files}, {settled[-1].files}" if settled else "–"),
        ("longest loop lag of 5 s", f"median {lags[len(lags) // 2]:.1f} ms, worst {lags[-1]:.1f} ms"),
        ("gaps over 30 ms in what agents said", f"{figures['perhop_audio_gaps_total']:.0f} in {speech_min:.0f} min"),
        ("turns, tools", f"{figures['perhop_turns_total']:.0f}, {figures['perhop_tools_total']:.0f}"),
        ("renewals, reconnects", f"{figures['perhop_renewals_total']:.0f}, {figures['perhop_reconnects_total']:.0f}"),
        ("errors told to clients", f"{figures['perhop_errors_total']:.0f}"),
    ]
    lines = ["# Soak", "", "`make soak`; what it does is in `bench/soak.py`.", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows), ""]), held


async def soak(server: Server, run: Run, minutes: float, progress: Progress) -> None:
    """Load and samples, side by side."""
    began = time.monotonic()
    until = began + minutes * 60
    task = progress.add_task("soak", total=minutes * 60, note="")
    loading = asyncio.create_task(load(server, run, until))
    while not loading.done():
        await asyncio.wait({loading}, timeout=SAMPLE_S)
        sample = await asyncio.to_thread(server.sample, time.monotonic() - began)
        run.samples.append(sample)
        note = f"{sample.rss:.0f} MB, {sample.live} live, {run.calls.total()} over, {run.failures.total()} failed"
        progress.update(task, completed=min(sample.at, minutes * 60), note=note)
    await loading


def main(
    minutes: Annotated[float, typer.Option(help="How long.", min=0.5)] = 120.0,
    output: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Keep a server busy and watch its memory."""
    console = Console()
    run = Run()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as server:
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
            asyncio.run(soak(server, run, minutes, progress))
        text, held = report(run, server, minutes)
    console.print(text)
    output.write_text(text, encoding="utf-8")
    console.print(f"written to {output}")
    if not held:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
