"""The long runs behind short tests: as much of them as there is time for.

    python -m tests.fuzz                      # 60 s of frames, then 10,000 walks and 2,000 races
    python -m tests.fuzz frames --seconds 600
    python -m tests.fuzz walks --count 100000 --first 20000
    python -m tests.fuzz races --count 10000

Every run says which seeds it took. What breaks is printed with its seed, and a frame that breaks something is written
to a file, to be kept under a name in ``tests/realtime/fixtures/frames``.
"""

from __future__ import annotations

import hashlib
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from tests.call.races import races as run_races
from tests.realtime.fuzzing import Fuzzer
from tests.realtime.walks import random_walk
from tests.virtual_time import run_virtual

FRAMES_A_SEED = 2_000
STEPS = 50
RACES_AT_ONCE = 100

console = Console(highlight=False)
app = typer.Typer(add_completion=False, invoke_without_command=True)

Count = Annotated[int, typer.Option(min=1, help="How many seeds.")]
First = Annotated[int, typer.Option(min=0, help="The first seed.")]
Seconds = Annotated[float, typer.Option(min=0, help="How long.")]


@app.callback()
def everything(context: typer.Context) -> None:
    """Runs everything, unless told what."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if context.invoked_subcommand is None:
        frames()
        walks()
        races()


@app.command()
def frames(seconds: Seconds = 60.0, first: First = 0) -> None:
    """Bent client frames through the parser and into a session."""
    ends, seed, count, slowest = time.monotonic() + seconds, first, 0, 0.0
    while time.monotonic() < ends:
        fuzzer = Fuzzer(seed)
        try:
            fuzzer.run(FRAMES_A_SEED)
        except Exception:  # noqa: BLE001 - whatever it is, it is what we are looking for
            broken = Path(f"crash-{hashlib.sha256(fuzzer.last).hexdigest()[:12]}.json")
            broken.write_bytes(fuzzer.last)
            _fail(f"frames: seed {seed} broke on {broken}")
        count += fuzzer.tally.frames
        slowest = max(slowest, fuzzer.tally.slowest_s)
        seed += 1
    console.print(f"frames: {count:,} frames, seeds {first} to {seed - 1}; the slowest took {slowest * 1e3:.1f} ms")


@app.command()
def walks(count: Count = 10_000, first: First = 0) -> None:
    """Random walks through the life of responses."""
    for seed in range(first, first + count):
        try:
            random_walk(seed, STEPS, official=seed % 50 == 0)
        except Exception:  # noqa: BLE001 - as above
            _fail(f"walks: seed {seed} broke a rule")
    console.print(f"walks: {count:,} walks of {STEPS} steps, seeds {first} to {first + count - 1}")


@app.command()
def races(count: Count = 2_000, first: First = 0) -> None:
    """Speech against tool results, through whole calls."""
    collisions = 0
    for start in range(first, first + count, RACES_AT_ONCE):
        outcomes = run_virtual(run_races(range(start, min(start + RACES_AT_ONCE, first + count))))
        if lost := [outcome for outcome in outcomes if outcome.lost]:
            _fail(f"races: {lost[0]}", trace=False)
        collisions += sum(outcome.collisions for outcome in outcomes)
    console.print(f"races: {count:,} races, seeds {first} to {first + count - 1}; {collisions} collisions, none seen")


def _fail(what: str, *, trace: bool = True) -> None:
    if trace:
        traceback.print_exc()
    console.print(f"[red]{what}")
    sys.exit(1)


if __name__ == "__main__":
    app()
