"""Model sessions that end while people talk: what callers lose and hear when a successor takes over.

Callers and agents talk at random. The model is a strict scripted server on a real socket whose sessions live for a few
seconds, so each call goes through many. Every caller frame is numbered, and looked for afterwards in the turns that the
model committed. Two halves: sessions replaced at a quiet moment if one comes in time, as in production, and sessions
replaced at once, whoever is talking. Then sockets are broken at random moments.

    python bench/renewal.py --count 200
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop
from pydantic import SecretStr
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.call.helpers import Caller
from tests.call.line.conversations import FRAME_S, Conversation, Outcome
from tests.models.upstream import Upstream

from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.line import LinePolicy
from perhop.call.observer import CallObserver
from perhop.config.models import UpstreamSettings
from perhop.models.openai import OpenAIModel
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Script

CAP_S = (4.0, 9.0)
"""Life of a session, at random between these."""

TALK_S = 40.0
AT_ONCE = 12
RESULTS = Path(__file__).parent / "results"


class SocketFar:
    """Sessions of one call at a server on a socket."""

    def __init__(self, upstream: Upstream, key: str) -> None:
        settings = UpstreamSettings(url=upstream.url, key=SecretStr(key))
        self.kind = ModelKind(lambda: OpenAIModel(settings), name="far", remote=True)
        self._upstream = upstream

    @property
    def models(self) -> list[ScriptedModel]:
        """All sessions there were."""
        return [session.model for session in self._upstream.sessions if isinstance(session.model, ScriptedModel)]

    def kill(self) -> None:
        """Breaks the newest socket."""
        self._upstream.last.kill()


class Listening(Caller):
    """Notes when the agent can be heard."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[tuple[float, bool]] = []

    def tick(self, frames: int = 1) -> None:
        before = self.frames
        super().tick(frames)
        self.ticks.append((time.monotonic(), self.frames > before))

    def gap_after(self, moment: float) -> float:
        """Silence in the agent's speech around this moment, s; 0 when it was silent before anyway."""
        before = [sent for at, sent in self.ticks if moment - 3 * FRAME_S <= at <= moment]
        if not any(before):
            return 0.0
        quiet = 0.0
        for at, sent in self.ticks:
            if at <= moment:
                continue
            if sent:
                return quiet if quiet < 1.5 else 0.0  # later than that it is another turn
            quiet += FRAME_S
        return 0.0


@dataclass
class Tally(CallObserver):
    """What happened to one call's sessions."""

    caller: Listening
    renewals: list[tuple[float, bool, str]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:  # noqa: ARG002
        self.renewals.append((time.monotonic(), forced, phase(call)))

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:  # noqa: ARG002
        self.losses.append(seconds)


def phase(call: Call) -> str:
    """What was going on."""
    if call._boundary._model._journal.speech_is_open:  # noqa: SLF001
        return "caller talking"
    if call.conversation.functions.running:
        return "tool in flight"
    if call.history.unplayed():
        return "agent talking"
    return "quiet"


@dataclass
class Half:
    """One kind of trouble, and what came of it."""

    name: str
    policy: Callable[[], LinePolicy]
    cap: bool
    kills: int
    outcomes: list[Outcome] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)

    @property
    def happened(self) -> int:
        """Renewals, or losses."""
        return sum(len(tally.losses) if self.kills else len(tally.renewals) for tally in self.tallies)


async def converse(half: Half, seed: int) -> None:
    """One call."""
    rng = random.Random(seed)
    upstream: Upstream | None = None
    caller = Listening()
    tally = Tally(caller)

    def far(script: Script) -> SocketFar:
        upstream = Upstream(
            lambda: ScriptedModel(script, session_cap_s=rng.uniform(*CAP_S) if half.cap else None), key="sk-bench"
        )
        upstreams.append(upstream)
        upstream.port = ports.pop()
        return SocketFar(upstream, "sk-bench")

    upstreams: list[Upstream] = []
    first = Upstream(lambda: ScriptedModel(lambda _: []))
    await first.listen()
    ports = [first.port]
    await first.close()
    conversation = Conversation(
        seed,
        kills=half.kills,
        seconds=TALK_S,
        far=far,
        wall=time.time,
        policy=half.policy(),
        observer=tally,
        caller=caller,
    )
    upstream = upstreams[0]
    await upstream.listen(port=upstream.port)
    try:
        half.outcomes.append(await conversation.run())
        half.tallies.append(tally)
    finally:
        await upstream.close()


async def measure(halves: list[Half], count: int, progress: Progress) -> None:
    """As many calls as it takes, some at once."""
    seed = 0
    for half in halves:
        wanted = count // 2
        task = progress.add_task(half.name, total=wanted)
        while half.happened < wanted:
            await asyncio.gather(*(converse(half, seed + index) for index in range(AT_ONCE)))
            seed += AT_ONCE
            progress.update(task, completed=half.happened)


def percentile(values: list[float], share: float) -> float:
    """Of sorted values, the one at this share."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def report(halves: list[Half]) -> tuple[Table, bool]:
    """The table, and whether everything is as it must be."""
    table = Table(title="Model sessions replaced while people talk")
    columns = (
        "",
        "replaced",
        "while",
        "frames",
        "lost",
        "doubled",
        "items doubled",
        "results lost",
        "other",
        "gap",
        "restored",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("", "while") else "right")
    good = True
    for half in halves:
        phases = Counter(name for tally in half.tallies for _, _, name in tally.renewals)
        gaps = [tally.caller.gap_after(at) * 1e3 for tally in half.tallies for at, _, _ in tally.renewals]
        losses = [seconds * 1e3 for tally in half.tallies for seconds in tally.losses]
        other = [problem for outcome in half.outcomes for problem in outcome.wrong]
        good = good and not other
        table.add_row(
            half.name,
            str(half.happened),
            ", ".join(f"{name} {number}" for name, number in phases.most_common()) or "any moment",
            f"{sum(outcome.frames for outcome in half.outcomes):,}",
            str(sum(len(outcome.lost_frames) for outcome in half.outcomes)),
            str(sum(len(outcome.doubled_frames) for outcome in half.outcomes)),
            str(sum(len(outcome.doubled_items) for outcome in half.outcomes)),
            str(sum(len(outcome.results_lost) for outcome in half.outcomes)),
            str(len(other)),
            f"p50 {statistics.median(gaps):.0f}, p99 {percentile(gaps, 0.99):.0f} ms" if gaps else "–",
            f"p50 {statistics.median(losses):.0f}, p95 {percentile(losses, 0.95):.0f} ms" if losses else "–",
        )
        for outcome in half.outcomes:
            if outcome.wrong:
                table.caption = f"{table.caption or ''}\nseed {outcome.seed}: {outcome.wrong}"
    return table, good


def main(
    count: Annotated[int, typer.Option(min=2, help="Renewals; half as many sockets are broken.")] = 200,
    output: Annotated[Path, typer.Option(help="Where the table goes.")] = RESULTS / "renewal.md",
) -> None:
    """Replace model sessions while people talk."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    halves = [
        Half("time to wait for a quiet moment", LinePolicy, cap=True, kills=0),
        Half("no time to wait", lambda: LinePolicy(lead_s=0.25), cap=True, kills=0),
        Half("sockets broken", LinePolicy, cap=False, kills=3),
    ]
    console = Console(width=200)
    with Progress(console=console) as progress:
        uvloop.run(measure(halves, count, progress))
    table, good = report(halves)
    console.print(table)
    record = Console(record=True, width=220, file=(output.with_suffix(".tmp")).open("w"))
    record.print(table)
    output.with_suffix(".tmp").unlink()
    command = f"python bench/renewal.py --count {count}"
    title = "# Model sessions replaced while people talk"
    output.write_text(f"{title}\n\n    {command}\n\n```\n{record.export_text()}```\n")
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
