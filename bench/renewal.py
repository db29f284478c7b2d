"""Model sessions that end while people talk: what callers lose and hear when a successor takes over.

Callers and agents talk at random. The model is a strict scripted server on a real socket whose sessions live for a few
seconds, so each call goes through many. Every caller frame is numbered, and looked for afterwards in the turns that the
model committed. Two halves: sessions replaced at a quiet moment if one comes in time, as in production, and sessions
replaced at once, whoever is talking. Then sockets are broken at random moments.
What callers hear of it is silence while speech is owed to them; it is judged, as everything else is.

    python bench/renewal.py --count 200
"""

from __future__ import annotations

import asyncio
import io
import math
import random
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

from tests.call.line.conversations import Conversation, Outcome
from tests.call.line.owed import Gap, Listening
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

GAP_P99_MS = 40.0
"""Of every kind of renewal."""

RESTORED_P95_MS = 1_000.0
"""After a socket broke."""

NOTES = """\
A gap is counted tick by tick (20 ms): silence from the takeover, or the loss, on while audio that was received waits to
be played, and after a response that was cut off until another one is heard or the caller speaks. Silence after a
response that was given to its end is none. After a socket broke in the middle of a response the model has to answer
again, while what was received plays on; the time to the next session is what is judged there.
"""


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


@dataclass(slots=True)
class Takeover:
    """One session that took the place of another.

    Attributes:
        phase: what was going on.
        gap: what it cost the caller.
        restored_s: from the loss of the session before; None when there was none.
    """

    phase: str
    gap: Gap
    restored_s: float | None = None


@dataclass
class Tally(CallObserver):
    """What happened to one call's sessions."""

    caller: Listening
    takeovers: list[Takeover] = field(default_factory=list)

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:  # noqa: ARG002
        self.takeovers.append(Takeover(self._phase(call), self.caller.taken_over()))

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:  # noqa: ARG002
        self.takeovers.append(Takeover(self._phase(call), self.caller.taken_over(), seconds))

    def _phase(self, call: Call) -> str:
        """What is going on."""
        if self.caller.speaking:
            return "caller talking"
        if self.caller.spoken_to:
            return "agent talking"
        if call.conversation.functions.running:
            return "tool in flight"
        return "answer due" if call.conversation.busy else "quiet"


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
        return len(self.takeovers)

    @property
    def takeovers(self) -> list[Takeover]:
        """Those that this half is about: renewals, or what made up for losses."""
        lost = self.kills > 0
        return [one for tally in self.tallies for one in tally.takeovers if (one.restored_s is not None) is lost]


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
    """The smallest of these values that so large a share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0.0


def kept(halves: list[Half]) -> tuple[Table, bool]:
    """What became of the callers' words, and whether everything is where it must be."""
    table = Table(title="Model sessions replaced while people talk")
    columns = ("", "replaced", "while", "frames", "lost", "doubled", "items doubled", "results lost", "other")
    for column in columns:
        table.add_column(column, justify="left" if column in ("", "while") else "right")
    good = True
    for half in halves:
        phases = Counter(one.phase for one in half.takeovers)
        other = [problem for outcome in half.outcomes for problem in outcome.wrong]
        good = good and not other
        table.add_row(
            half.name,
            str(half.happened),
            ", ".join(f"{name} {number}" for name, number in phases.most_common()),
            f"{sum(outcome.frames for outcome in half.outcomes):,}",
            str(sum(len(outcome.lost_frames) for outcome in half.outcomes)),
            str(sum(len(outcome.doubled_frames) for outcome in half.outcomes)),
            str(sum(len(outcome.doubled_items) for outcome in half.outcomes)),
            str(sum(len(outcome.results_lost) for outcome in half.outcomes)),
            str(len(other)),
        )
        for outcome in half.outcomes:
            if outcome.wrong:
                table.caption = f"{table.caption or ''}\nseed {outcome.seed}: {outcome.wrong}"
    return table, good


def heard(halves: list[Half]) -> tuple[Table, bool]:
    """What callers heard of it, kind by kind, and whether that is little enough.

    Every kind of renewal is judged by itself: many that nobody could hear make up for none that somebody did.
    """
    renewals = [one for half in halves if not half.kills for one in half.takeovers]
    kills = [one for half in halves if half.kills for one in half.takeovers]
    kinds = {
        "renewals at a quiet moment": [one for one in renewals if one.phase == "quiet"],
        "renewals while something was going on": [one for one in renewals if one.phase != "quiet"],
        "… of these while the agent was heard": [one for one in renewals if one.phase == "agent talking"],
        "… of these with its response cut off": [one for one in renewals if one.gap.cut_off],
        "sockets broken": kills,
        "… of these with a response cut off": [one for one in kills if one.gap.cut_off],
    }
    table = Table(title="Silence while speech was owed, ms; time without a session, ms")
    for column in ("", "takeovers", "gap p50", "p99", "max", "over 40", "restored p50", "p95", "max", ""):
        table.add_column(column, justify="right" if column else "left")
    good = True
    for name, takeovers in kinds.items():
        gaps = [float(one.gap.ms) for one in takeovers]
        restored = [one.restored_s * 1e3 for one in takeovers if one.restored_s is not None]
        if restored:
            fine = percentile(restored, 0.95) <= RESTORED_P95_MS
        else:
            fine = percentile(gaps, 0.99) <= GAP_P99_MS
        good = good and fine
        figures = [f"{percentile(gaps, share):.0f}" for share in (0.5, 0.99, 1.0)] if gaps else ["–"] * 3
        times = [f"{percentile(restored, share):.0f}" for share in (0.5, 0.95, 1.0)] if restored else ["–"] * 3
        verdict = "–" if not takeovers else "ok" if fine else "too much"
        over = str(sum(gap > GAP_P99_MS for gap in gaps))
        table.add_row(name, str(len(takeovers)), *figures, over, *times, verdict)
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
    (words, complete), (silence, unnoticed) = kept(halves), heard(halves)
    record = Console(record=True, width=180, file=io.StringIO())
    for table in (words, silence):
        console.print(table)
        record.print(table)
    command = f"python bench/renewal.py --count {count}"
    title = "# Model sessions replaced while people talk"
    output.write_text(f"{title}\n\n    {command}\n\n```\n{record.export_text()}```\n\n{NOTES}")
    raise typer.Exit(0 if complete and unnoticed else 1)


if __name__ == "__main__":
    typer.run(main)
