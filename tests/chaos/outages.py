"""Breaks one thing after the other under live calls, and finds out what became of everybody and everything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from tests.chaos import provider
from tests.chaos.callers import Caller
from tests.chaos.model import FunctionCall
from tests.chaos.report import IN_DOUBT, REFUSED, Outage, Report, Row
from tests.chaos.shop import MOMENTS, Order
from tests.chaos.site import Site, site

from perhop.store.models import CallRow
from perhop.tools.effects.tables import EffectRow as LedgerRow
from perhop.workers.sdk.tables import EffectRow

__all__ = ["KINDS", "Kind", "break_things"]

DOWN_S = 0.25
"""How long PostgreSQL and NATS are left dead before they are started again."""

BUSY = 2
"""Turns that were answered since the last outage when the next one begins, so that it meets some at work."""

NEXT_TURN_S = 60.0
SETTLED_S = 90.0
RECORDED_S = 20.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing to be broken.

    Attributes:
        strike: breaks it and sees to it that it comes back; told how often it did so before.
        least: times that show all there is to it.
    """

    what: str
    strike: Callable[[Site, int], Awaitable[None]]
    least: int = 1


async def _kill_nats(place: Site, _: int) -> None:
    await asyncio.to_thread(place.nats.kill)
    await asyncio.sleep(DOWN_S)
    await asyncio.to_thread(place.nats.start)


async def _kill_postgres(place: Site, _: int) -> None:
    await asyncio.to_thread(place.postgres.crash)
    await asyncio.sleep(DOWN_S)
    place.postgres.start()
    await place.postgres.ready()


async def _kill_worker(place: Site, number: int) -> None:
    """One of the replicas, between an effect and its answer; the others go on."""
    deaths = place.replicas.deaths
    place.replicas.moment.write_text(MOMENTS[number % len(MOMENTS)])
    async with asyncio.timeout(NEXT_TURN_S):
        await place.replicas.death(deaths)


KINDS = (
    Kind("a worker killed between effect and answer", _kill_worker, least=len(MOMENTS)),
    Kind("NATS killed and restarted", _kill_nats),
    Kind("PostgreSQL killed and restarted", _kill_postgres),
)


async def break_things(
    folder: Path,
    kinds: Iterable[Kind] = KINDS,
    *,
    times: int,
    speakers: int = 2,
    talkers: int = 1,
    writers: int = 2,
    tell: Callable[[Row], None] = lambda _: None,
) -> Report:
    """Breaks each of these under the same calls.

    Args:
        times: each, or the least that a kind takes.
        tell: hears of every outage that was survived.

    Raises:
        Exception: a call did not survive, or its next turn was not answered in time.
    """
    report = Report()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(site(folder))
        await stack.enter_async_context(report.events.followed(place.nats.settings()))
        await place.place_calls(stack, speakers=speakers, talkers=talkers, writers=writers)
        await _answered(place, time.monotonic())
        report.tasks, report.memory = (_tasks(place), 0.0), (_memory(place), 0.0)
        for kind in kinds:
            row = Row(kind.what, began=time.monotonic(), calls=len(place.callers), survived=len(place.callers))
            report.rows.append(row)
            for number in range(max(times, kind.least)):
                await _strike(place, kind, row, number)
                tell(row)
            row.took = time.monotonic() - row.began
        (folder / "drain").touch()
        await _settled(place)
        report.tasks = (report.tasks[0], _tasks(place))
        report.memory = (report.memory[0], _memory(place))
        await place.end_calls()
        place.raise_ended()
        await place.hang_up()
        await _audit(place, report)
    return report


# -- an outage ------------------------------------------------------------------------------------------------------


async def _strike(place: Site, kind: Kind, row: Row, number: int) -> None:
    """One outage, from a moment with work at hand to the next turn of everybody."""
    await _busy(place)
    await place.replicas.ready()
    gateway, workers = [place.server.process.pid], place.replicas.pids
    began, waited, held_up = time.monotonic(), _waited(gateway), _waited(workers)
    visit = asyncio.create_task(place.visit())
    try:
        await kind.strike(place, number)
        ended = time.monotonic()
        await _answered(place, ended)
        async with asyncio.timeout(NEXT_TURN_S):
            row.visitors += (await visit) < ended
    finally:
        visit.cancel()
    waited = _waited(gateway) - waited
    row.outages.append(Outage(began, ended, waited, waited + max(0.0, _waited(workers) - held_up)))
    row.survived = min(row.survived, await _survived(place))


async def _busy(place: Site) -> None:
    counted = _answers(place)
    while _answers(place) < counted + BUSY:
        place.raise_ended()
        await asyncio.sleep(0.02)


def _answers(place: Site) -> int:
    return sum(len(caller.turns) for caller in place.callers)


async def _answered(place: Site, moment: float) -> None:
    """Returns once everybody began a turn after this moment and was answered."""
    deadline = time.monotonic() + NEXT_TURN_S
    while waiting := [caller for caller in place.callers if not caller.answered_since(moment)]:
        place.raise_ended()
        if time.monotonic() > deadline:
            asked = [call for call in place.journal.read()[0] if call.answered is None]
            raise AssertionError(f"not answered within {NEXT_TURN_S:g} s: {waiting}; tools under way: {asked}")
        await asyncio.sleep(0.02)


async def _survived(place: Site) -> int:
    """How many calls there are still, under their ids and in the model session they began in."""
    live = {call["id"]: call for call in await place.live()}
    return sum(_is_well(caller, live) for caller in place.callers)


def _is_well(caller: Caller, live: dict[object, dict[str, object]]) -> bool:
    call = live.get(caller.call_id)
    return call is not None and call["ended"] is None and not call["waiting"] and call["epoch"] == 0


# -- what became of it ----------------------------------------------------------------------------------------------


async def _settled(place: Site) -> None:
    """Returns once nothing is open any more: what was refused for now was done, what was in doubt was found out."""
    deadline = time.monotonic() + SETTLED_S
    while left := await _left_open(place):
        place.raise_ended()
        assert time.monotonic() < deadline, f"still open after {SETTLED_S:g} s: {left}"
        await asyncio.sleep(0.25)


async def _left_open(place: Site) -> dict[str, float]:
    """What is still to be done, where there is anything."""
    last = {call.number: call for call in place.journal.read()[0]}
    asked = sum(call.answered is None or call.code in REFUSED for call in last.values())
    async with place.database.session(reading=True) as session:
        ledger = await session.scalar(select(func.count()).where(LedgerRow.state == "pending"))
        outside = await session.scalar(select(func.count()).where(EffectRow.state.in_(("pending", "sending"))))
    events = await asyncio.to_thread(place.server.figure, "perhop_bus_events_waiting")
    open_ = {"function calls": asked, "recorded": ledger or 0, "outside": outside or 0, "events": events}
    return {what: count for what, count in open_.items() if count}


async def _audit(place: Site, report: Report) -> None:
    calls, silences = place.journal.read()
    report.wrong = [call for call in calls if not call.right and call.code not in REFUSED + IN_DOUBT]
    report.deaf = max((length for _, length in silences), default=0.0)
    report.repeated = provider.repeated(place.provided, "charges")
    report.dropped = await asyncio.to_thread(place.server.figure, "perhop_bus_events_dropped")
    calls_recorded = await _recorded(place)
    report.unrecorded = sum(row.times for row in report.rows) + len(place.callers) - len(calls_recorded)
    await report.events.whole(calls_recorded)
    report.unheard = [
        f"{caller.call_id}: {said} answers of {caller.said}"
        for caller in place.callers
        if caller.said is not None and (said := report.events.said(caller.call_id, "agent")) != caller.said
    ]
    report.complaints = _complaints(place)
    gaps = [gap for speaker in place.speakers for gap in speaker.gaps]
    calm = [length for at, length in gaps if not any(_during(at, row.outages) for row in report.rows)]
    report.calm_gap = max(calm, default=0.02)
    async with place.database.session(reading=True) as session:
        found = await session.execute(select(Order.number, func.count()).group_by(Order.number))
        orders = dict(list(found))
        letters = await session.execute(
            select(EffectRow.payload).where(EffectRow.channel == "letter", EffectRow.state == "unknown")
        )
        unknown = {json.loads(payload)["number"] for (payload,) in letters}
    _attribute(report, calls, orders, unknown, place.provided)
    for row in report.rows:
        _judge(row, calls, gaps)


async def _recorded(place: Site) -> set[str]:
    """Calls whose end is in the database; it is written down in the background."""
    async with asyncio.timeout(RECORDED_S):
        while True:
            async with place.database.session(reading=True) as session:
                ended = dict(list(await session.execute(select(CallRow.id, CallRow.end_reason))))
            if None not in ended.values():
                return {call for call, reason in ended.items() if reason == "caller_hangup"}
            await asyncio.sleep(0.1)


def _attribute(
    report: Report, calls: Sequence[FunctionCall], orders: Mapping[str, int], unknown: AbstractSet[str], provided: Path
) -> None:
    """Counts every effect in the row in whose time it was first asked for; what came before the first goes there."""
    charges, written = (provider.effects(provided, kind) for kind in ("charges", "letters"))
    seen: set[str] = set()
    for call in calls:
        if call.number in seen or call.tool == "look":
            continue
        seen.add(call.number)
        row = next((row for row in reversed(report.rows) if row.began <= call.called), report.rows[0])
        row.keyed.take(call.number, charges.get(call.number, 0))
        if call.tool == "order":
            row.orders.take(call.number, orders.get(call.number, 0))
            row.keyless.take(call.number, written.get(call.number, 0), unknown=call.number in unknown)


def _during(at: float, outages: Sequence[Outage]) -> Outage | None:
    """The outage in which, or shortly after which, this was."""
    return next((one for one in outages if one.began <= at <= one.ended + 1.0), None)


def _judge(row: Row, calls: Sequence[FunctionCall], gaps: Sequence[tuple[float, float]]) -> None:
    for call in calls:
        if call.answered is None:
            continue
        met = next((one for one in row.outages if call.called <= one.ended and call.answered >= one.began), None)
        if met is None:
            continue
        row.answered += call.right
        row.refused += call.code in REFUSED
        row.in_doubt += call.code in IN_DOUBT
        if not call.right and call.called >= met.began:
            seconds = call.answered - call.called
            row.slowest, row.slow = max(row.slowest, seconds), max(row.slow, seconds - met.held_up)
    for at, length in gaps:
        outage = _during(at, row.outages)
        if outage is not None:
            row.gap = max(row.gap, length)
            row.excess = max(row.excess, length - outage.waited)


# -- the gateway's process --------------------------------------------------------------------------------------------


def _waited(pids: Iterable[int]) -> float:
    """How long the event loops of these processes were ready to run and did not get to, s."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # killed
            total += int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1])
    return total / 1e9


def _tasks(place: Site) -> float:
    return place.server.figure("perhop_tasks")


def _memory(place: Site) -> float:
    """Resident, MB."""
    status = Path(f"/proc/{place.server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _complaints(place: Site) -> list[str]:
    """What it logged as an error, but for what an outage is."""
    errors = [line["event"] for line in place.server.lines() if line["level"] in ("error", "critical")]
    return sorted({one for one in errors if not one.startswith("calls cannot be recorded")})
