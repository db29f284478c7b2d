"""Bookings appear in a calendar elsewhere, and its other events block their time; with a real Radicale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import httpx2
import pytest
from icalendar import Calendar
from sqlalchemy import select
from tests.workers.calendar.radicale import PASSWORD, USER, Radicale
from tests.workers.calendar.test_booking import FRIDAY, HOURS, THURSDAY_NOON, book, free

from perhop.config import Settings
from perhop.store import Database
from perhop.tools.bus import RemoteError
from perhop.tools.guard import Guard, OutgoingTimeoutError, Reach
from perhop.workers.calendar.tables import BookingRow
from perhop.workers.calendar.worker import make_worker
from perhop.workers.sdk.tables import EffectRow
from perhop.workers.sdk.testing import WorkerBench, running

ALL = ["09:00", "10:00", "11:00", "13:00", "14:00", "15:00", "16:00", "17:00"]


@pytest.fixture
def calendar(radicale: Radicale, request: pytest.FixtureRequest) -> str:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return radicale.make_calendar(name)


@asynccontextmanager
async def diary(
    calendar: str, database: Database, *, password: str = PASSWORD, guard: Guard | None = None
) -> AsyncIterator[WorkerBench]:
    resource = {
        "ids": ["home-1"],
        "title": "Viewing",
        "timezone": "America/Los_Angeles",
        "hours": HOURS,
        "caldav": {"url": calendar, "user": USER, "password": password},
    }
    settings = Settings.model_validate({"workers": {"calendar": {"resources": [resource], "sync_s": 1}}})
    way_out = Guard(Reach.of(hosts=["127.0.0.1"]))
    worker = make_worker(settings, guard or way_out, now=lambda: THURSDAY_NOON, retry_s=0.05)
    async with running(worker, database=database) as bench:
        yield bench
    await way_out.aclose()


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Waits for what happens on the server, which tells nobody."""
    async with asyncio.timeout(20):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.05)


def events(radicale: Radicale, calendar: str) -> list[dict[str, Any]]:
    return [
        {"summary": str(event["SUMMARY"]), "start": event.start, "sequence": event["SEQUENCE"]}
        for text in radicale.objects(calendar)
        for event in Calendar.from_ical(text).walk("VEVENT")
    ]


async def settled(bench: WorkerBench) -> bool:
    async with bench.database.session(reading=True) as session:
        return not {"pending", "sending"} & set(await session.scalars(select(EffectRow.state)))


async def test_a_booking_appears_moves_and_disappears_elsewhere(
    radicale: Radicale, calendar: str, database: Database
) -> None:
    async with diary(calendar, database) as bench:
        booking = await book(bench, name="Ann")
        await until(lambda: len(events(radicale, calendar)) == 1)
        (event,) = events(radicale, calendar)
        assert event["summary"] == "Viewing: Ann"
        assert event["start"].isoformat() == "2026-11-27T18:00:00+00:00"
        number = {"booking_id": booking["booking_id"]}
        await bench.call("reschedule_appointment", {**number, "day": FRIDAY, "time": "15:00"})
        await until(lambda: events(radicale, calendar)[0]["sequence"] == 1)
        assert events(radicale, calendar)[0]["start"].isoformat() == "2026-11-27T23:00:00+00:00"
        await bench.call("cancel_appointment", number)
        await until(lambda: events(radicale, calendar) == [])


async def test_changes_in_quick_succession_end_in_the_last_one(
    radicale: Radicale, calendar: str, database: Database
) -> None:
    async with diary(calendar, database) as bench:
        booking = await book(bench)
        for time in ("11:00", "13:00", "14:00", "15:00", "16:00"):
            wanted = {"booking_id": booking["booking_id"], "day": FRIDAY, "time": time}
            await bench.call("reschedule_appointment", wanted)

        async def done() -> bool:
            return await settled(bench) and [one["sequence"] for one in events(radicale, calendar)] == [5]

        await until(done)
        assert events(radicale, calendar)[0]["start"].isoformat() == "2026-11-28T00:00:00+00:00"


class LateCalendar:
    """In place of the guard: a calendar server that carries out the first PUT when it is told to.

    Args:
        answers: whether that PUT is answered; its client is told of a timeout otherwise.
    """

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.putting, self.go = asyncio.Event(), asyncio.Event()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes | None = None, limits: object
    ) -> httpx2.Response:
        if method == "REPORT":
            return httpx2.Response(207, content=b'<d:multistatus xmlns:d="DAV:"/>')
        self.asked.append(method)
        if method == "DELETE":
            return httpx2.Response(204 if self.objects.pop(url, None) else 404)
        assert (method, headers["if-none-match"]) == ("PUT", "*")
        self.putting.set()
        await self.go.wait()
        self.objects[url] = content or b""
        if not self.answers:
            raise OutgoingTimeoutError("no answer in time")
        return httpx2.Response(201, headers={"etag": '"1"'})


@pytest.mark.parametrize("answers", [True, False], ids=["answered", "in doubt"])
async def test_what_arrives_after_the_booking_was_cancelled_is_removed(database: Database, *, answers: bool) -> None:
    there = LateCalendar(answers=answers)
    async with diary("http://dav.example/c/", database, guard=cast("Guard", there)) as bench:
        booking = await book(bench)
        await asyncio.wait_for(there.putting.wait(), 20)
        await bench.call("cancel_appointment", {"booking_id": booking["booking_id"]})

        async def removed() -> bool:
            async with database.session(reading=True) as session:
                return await session.scalar(select(BookingRow.pushed)) == 1

        await until(removed)
        assert there.asked == ["PUT", "DELETE"]
        there.go.set()
        await until(partial(settled, bench))
    assert there.objects == {}
    assert there.asked == ["PUT", "DELETE", "DELETE"]


async def test_events_of_others_block_their_time_until_they_are_gone(
    radicale: Radicale, calendar: str, database: Database
) -> None:
    radicale.put(calendar, "lunch", "SUMMARY:Lunch", "DTSTART:20261127T190000Z", "DTEND:20261127T193000Z")
    radicale.put(calendar, "maybe", "DTSTART:20261127T220000Z", "DTEND:20261127T230000Z", "TRANSP:TRANSPARENT")
    daily = ("RRULE:FREQ=DAILY;COUNT=5", "DTSTART;TZID=America/Los_Angeles:20261126T170000")
    radicale.put(calendar, "daily", *daily, "DURATION:PT1H")
    async with diary(calendar, database) as bench:

        async def blocked() -> bool:
            return await free(bench) == [time for time in ALL if time not in ("11:00", "17:00")]

        await until(blocked)
        with pytest.raises(RemoteError, match="11 am is already taken"):
            await book(bench, "11:00")
        radicale.delete(calendar, "lunch")

        async def freed() -> bool:
            return "11:00" in await free(bench)

        await until(freed)


async def test_an_event_that_gets_shorter_or_moves_keeps_what_it_still_has(
    radicale: Radicale, calendar: str, database: Database
) -> None:
    radicale.put(calendar, "long", "DTSTART:20261127T170000Z", "DTEND:20261127T200000Z")
    async with diary(calendar, database) as bench:
        for times, blocked in (
            (("DTSTART:20261127T170000Z", "DTEND:20261127T200000Z"), ("09:00", "10:00", "11:00")),
            (("DTSTART:20261127T180000Z", "DTEND:20261127T190000Z"), ("10:00",)),
            (("DTSTART:20261127T180000Z", "DTEND:20261127T220000Z"), ("10:00", "11:00", "13:00")),
        ):
            radicale.put(calendar, "long", *times)
            left = [time for time in ALL if time not in blocked]

            async def as_planned(left: list[str] = left) -> bool:
                return await free(bench) == left

            await until(as_planned)


async def test_a_booking_stays_when_somebody_plans_something_else_at_its_time(
    radicale: Radicale, calendar: str, database: Database
) -> None:
    async with diary(calendar, database) as bench:
        booking = await book(bench)
        radicale.put(calendar, "other", "DTSTART:20261127T180000Z", "DTEND:20261127T200000Z")

        async def seen() -> bool:
            return "11:00" not in await free(bench)

        await until(seen)
        await bench.call("cancel_appointment", {"booking_id": booking["booking_id"]})

        async def theirs() -> bool:
            return "10:00" not in await free(bench)

        await until(theirs)


async def test_a_server_that_is_away_is_told_later(radicale: Radicale, calendar: str, database: Database) -> None:
    async with diary(calendar, database) as bench:
        radicale.stop()
        try:
            await book(bench)
            assert "10:00" not in await free(bench)
        finally:
            radicale.start()
        await until(lambda: len(events(radicale, calendar)) == 1)


async def test_what_a_person_did_to_our_event_is_set_right_with_the_next_change(
    radicale: Radicale, calendar: str, database: Database
) -> None:
    async with diary(calendar, database) as bench:
        booking = await book(bench)
        await until(lambda: len(events(radicale, calendar)) == 1)
        uid = str(Calendar.from_ical(radicale.objects(calendar)[0]).walk("VEVENT")[0]["UID"])
        radicale.delete(calendar, uid)
        await bench.call(
            "reschedule_appointment", {"booking_id": booking["booking_id"], "day": FRIDAY, "time": "15:00"}
        )
        await until(lambda: len(events(radicale, calendar)) == 1)


async def test_a_wrong_password_keeps_nobody_from_booking(calendar: str, database: Database) -> None:
    async with diary(calendar, database, password="wrong") as bench:
        assert (await book(bench))["state"] == "booked"
