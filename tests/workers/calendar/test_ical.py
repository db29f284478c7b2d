"""Bookings as iCalendar: exported, subscribed to, and read back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar
from pydantic import SecretStr
from tests.workers.calendar.test_booking import FRIDAY, THURSDAY_NOON, book, settings

from perhop.config import StoreSettings
from perhop.store import Database, upgrade
from perhop.tools.bus import InProcessBus
from perhop.tools.guard import Guard
from perhop.workers.calendar.aside import Aside, AsideError
from perhop.workers.calendar.bookings import entry_of
from perhop.workers.calendar.feed import Feed, feed_path
from perhop.workers.calendar.hours import cells, resources_of
from perhop.workers.calendar.ical import CalendarError, Entry, busy_times, domain_of, feed, single
from perhop.workers.calendar.tables import SCHEMA, BookingRow
from perhop.workers.calendar.worker import make_worker
from perhop.workers.sdk import Site
from perhop.workers.sdk.testing import running

BERLIN = ZoneInfo("Europe/Berlin")
SECRET = SecretStr("a secret of at least 24 characters")


async def test_the_bookings_of_some_days_are_exported(tmp_path: Path) -> None:
    worker = make_worker(settings(), Guard(), now=lambda: THURSDAY_NOON)
    async with running(worker, database=tmp_path) as bench:
        booking = await book(bench, name="Ann; O'Hara, Esq.", note="line one\nline two")
        gone = await book(bench, "15:00")
        await bench.call("cancel_appointment", {"booking_id": gone["booking_id"]})
        asked = {"resource_id": "home-1", "first_day": FRIDAY, "last_day": FRIDAY}
        told = await bench.call("export_calendar", asked)
        other = await bench.call("export_calendar", {**asked, "first_day": "2026-11-28", "last_day": "2026-12-31"})
    assert (told["count"], other["count"]) == (2, 0)
    one, two = Calendar.from_ical(told["icalendar"]).walk("VEVENT")
    assert str(one["SUMMARY"]) == "Viewing: Ann; O'Hara, Esq."
    assert one.start == datetime(2026, 11, 27, 18, tzinfo=UTC)
    assert one.end - one.start == timedelta(hours=1)
    assert booking["booking_id"] in str(one["DESCRIPTION"])
    assert (str(one["STATUS"]), str(two["STATUS"])) == ("CONFIRMED", "CANCELLED")


async def test_whoever_knows_its_address_can_subscribe_to_a_calendar(tmp_path: Path) -> None:
    database = await Database.open(StoreSettings(url=SecretStr(f"sqlite:///{tmp_path / 'calendar.db'}")))
    wanted, bus = settings(), InProcessBus()
    resources = resources_of(wanted.workers.calendar.resources)
    aside = Aside()
    calendars = Feed(resources, aside, host="127.0.0.1", port=0, secret=SECRET, now=lambda: THURSDAY_NOON)
    await upgrade(database, SCHEMA)
    serving = asyncio.create_task(calendars.run(Site(bus=bus, database=database)))
    try:
        async with asyncio.timeout(10):
            await calendars.listening.wait()
        async with running(make_worker(wanted, Guard(), now=lambda: THURSDAY_NOON), database=database) as bench:
            await book(bench)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{calendars.port}") as http:
            path = feed_path(SECRET, "default", "home-1")
            told = await http.get(path)
            refused = [
                (await http.get(other)).status_code
                for other in (
                    path.replace("home-1", "home-2"),
                    feed_path(SECRET, "other", "home-1"),
                    feed_path(SecretStr("another secret of 24 characters"), "default", "home-1"),
                )
            ]
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await aside.close()
        await bus.close()
        await database.close()
    assert told.headers["content-type"] == "text/calendar; charset=utf-8"
    assert len(Calendar.from_ical(told.text).walk("VEVENT")) == 1
    assert refused == [404, 404, 404]


def event(*lines: str) -> bytes:
    inner = ["BEGIN:VEVENT", "UID:x", "DTSTAMP:20261101T000000Z", *lines, "END:VEVENT"]
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *inner, "END:VCALENDAR", ""]).encode()


BEGIN, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("DTSTART:20260310T100000Z", "DTEND:20260310T110000Z"), [("2026-03-10T10:00", "2026-03-10T11:00")]),
        (("DTSTART:20260310T100000", "DURATION:PT30M"), [("2026-03-10T09:00", "2026-03-10T09:30")]),
        (("DTSTART;VALUE=DATE:20260310",), [("2026-03-09T23:00", "2026-03-10T23:00")]),
        (  # the clocks change on March 29th: ten in Berlin is an hour earlier in UTC
            ("DTSTART;TZID=Europe/Berlin:20260323T100000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=2"),
            [("2026-03-23T09:00", "2026-03-23T10:00"), ("2026-03-30T08:00", "2026-03-30T09:00")],
        ),
        (("DTSTART:20260310T100000Z", "DURATION:PT1H", "STATUS:CANCELLED"), []),
        (("DTSTART:20260310T100000Z", "DURATION:PT1H", "TRANSP:TRANSPARENT"), []),
        (("DTSTART:20250310T100000Z", "DURATION:PT1H"), []),
    ],
)
def test_what_time_an_event_takes(lines: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    found = sorted((one.starts_at, one.ends_at) for one in busy_times([event(*lines)], BEGIN, END, zone=BERLIN))
    assert [(start.isoformat()[:16], end.isoformat()[:16]) for start, end in found] == expected


def booking() -> BookingRow:
    at = datetime(2026, 3, 10, 10, tzinfo=UTC)
    return BookingRow(
        tenant="default",
        id="12345678",
        resource="home-1",
        starts_at=at,
        ends_at=at + timedelta(hours=1),
        state="booked",
        revision=3,
        created_at=at,
        updated_at=at,
    )


def entry(site: str = "a1") -> Entry:
    return entry_of(booking(), site=site)


def test_our_own_bookings_take_no_time_when_they_come_back() -> None:
    data = single(entry(), title="Viewing")
    assert entry().uid.encode() in data
    assert busy_times([data], BEGIN, END, zone=BERLIN, own=domain_of("a1")) == []


def test_bookings_of_another_deployment_on_the_same_calendar_take_their_time() -> None:
    ours, theirs = entry("a1"), entry("b2")
    assert ours.uid != theirs.uid, "the same number of the same tenant"
    [found] = busy_times([single(theirs, title="Viewing")], BEGIN, END, zone=BERLIN, own=domain_of("a1"))
    assert found.starts_at == booking().starts_at


def work(data: bytes) -> int:
    """Function calls that reading an object takes, whatever the machine: what it costs, without a clock."""
    calls = 0

    def count(frame: object, kind: str, argument: object) -> None:
        nonlocal calls
        calls += kind in ("call", "c_call")

    sys.setprofile(count)
    try:
        busy_times([data], BEGIN, END, zone=BERLIN)
    except CalendarError:
        pass
    finally:
        sys.setprofile(None)
    return calls


START = "DTSTART:20260302T100000Z"


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=MINUTELY",
        "FREQ=MINUTELY;COUNT=1000000",
        "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11;BYMINUTE=0,5,10,15,20,25,30,35,40,45,50,55",
        "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    ],
)
def test_a_rule_that_recurs_too_often_is_refused_before_it_is_followed(rule: str) -> None:
    with pytest.raises(CalendarError, match="recurs more than"):
        busy_times([event(START, "DURATION:PT1M", f"RRULE:{rule}")], BEGIN, END, zone=BERLIN)
    plain = work(event(START, "DURATION:PT1M"))
    assert work(event(START, "DURATION:PT1M", f"RRULE:{rule}")) < 5 * plain


@pytest.mark.parametrize("start", ["DTSTART:00010101T000000Z", "DTSTART:19000101T000000Z"])
def test_a_rule_that_began_long_ago_is_refused_before_it_is_followed(start: str) -> None:
    with pytest.raises(CalendarError, match="recurs more than"):
        busy_times([event(start, "DURATION:PT1M", "RRULE:FREQ=DAILY")], BEGIN, END, zone=BERLIN)


@pytest.mark.parametrize(
    ("lines", "times"),
    [
        ((START, "RRULE:FREQ=HOURLY;COUNT=3"), 3),
        ((START, "RRULE:FREQ=MINUTELY;INTERVAL=1440"), 59),
        (("DTSTART:20150302T100000Z", "RRULE:FREQ=DAILY"), 60),
        (("DTSTART:19700302T100000Z", "RRULE:FREQ=YEARLY"), 1),
        (("DTSTART:19900301T100000Z", "RRULE:FREQ=WEEKLY;BYDAY=TU,TH"), 17),
        (("DTSTART:20100301T100000Z", "RRULE:FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1"), 2),
    ],
)
def test_what_people_put_into_calendars_is_followed(lines: tuple[str, ...], times: int) -> None:
    assert len(busy_times([event(*lines, "DURATION:PT30M")], BEGIN, END, zone=BERLIN)) == times


def report(*objects: bytes) -> bytes:
    data = "".join(
        f"<d:response><d:propstat><d:prop><c:calendar-data>{escape(one.decode())}</c:calendar-data></d:prop>"
        "</d:propstat></d:response>"
        for one in objects
    )
    return f'<d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">{data}</d:multistatus>'.encode()


async def test_calendars_are_read_and_written_in_a_process_beside() -> None:
    aside = Aside()
    try:
        plain = event(START, "DURATION:PT30M")
        never = event(START, "DURATION:PT30M", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")
        often = event(START, "DURATION:PT30M", "RRULE:FREQ=MINUTELY")
        own = domain_of("a1")
        read = await aside.read(
            report(plain, often, never, b"nonsense", single(entry(), title="")), BEGIN, END, zone=BERLIN, own=own
        )
        assert (len(read.busy), read.unread) == (1, 3)
        [one] = read.busy
        assert one == busy_times([plain], BEGIN, END, zone=BERLIN)[0]
        assert aside.pid not in (None, os.getpid())
        for wrong in (b"<a", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'):
            with pytest.raises(CalendarError, match="something else than XML"):
                await aside.read(wrong, BEGIN, END, zone=BERLIN, own=own)
        assert await aside.sequence(single(entry(), title="")) == 3
        many = [replace(entry(), id=f"{number:08}", uid=f"{number}@x") for number in range(1_001)]
        assert await aside.write(many, title="Viewing") == feed(many, title="Viewing")
        assert await aside.write([], title="Viewing") == feed([], title="Viewing")
    finally:
        await aside.close()


async def test_a_process_beside_that_dies_or_hangs_is_replaced() -> None:
    aside = Aside()
    try:
        assert await aside.sequence(single(entry(), title="")) == 3
        assert aside.pid is not None
        os.kill(aside.pid, signal.SIGSTOP)
        hanging = asyncio.create_task(aside.sequence(single(entry(), title="")))
        os.kill(aside.pid, signal.SIGKILL)
        with pytest.raises(AsideError):
            await hanging
        assert await aside.sequence(single(entry(), title="")) == 3
    finally:
        await aside.close()
    with pytest.raises(AsideError, match="the worker ends"):
        await aside.sequence(b"")


async def test_a_process_beside_that_takes_too_long_is_killed() -> None:
    aside = Aside(timeout_s=0.001)
    with pytest.raises(AsideError, match="TimeoutError"):
        await aside.sequence(single(entry(), title=""))
    assert aside.pid is None
    await aside.close()


@given(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(lambda text: event(text, "DTSTART:20260310T1000Z"))))
def test_whatever_a_server_sends_is_events_or_refused(data: bytes) -> None:
    try:
        found = busy_times([data], BEGIN, END, zone=BERLIN)
    except CalendarError:
        return
    assert all(one.starts_at < one.ends_at for one in found)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(1, 1_000), st.integers(1, 1_000))
def test_two_stretches_share_a_cell_if_they_overlap(start: datetime, one: int, gap: int) -> None:
    if start.year > 9000:
        return
    end = start + timedelta(minutes=one)
    inside = cells(start + timedelta(minutes=one) / 2, end + timedelta(minutes=gap))
    assert set(cells(start, end)) & set(inside)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-03-08", ["01:00", "03:00", "04:00"]),  # two in the morning does not exist
        ("2026-11-01", ["01:00", "02:00", "03:00", "04:00"]),  # one in the morning is there twice
        ("2026-11-02", ["01:00", "02:00", "03:00", "04:00"]),
    ],
)
def test_local_hours_follow_the_clocks(day: str, expected: list[str]) -> None:
    days = ["mon", "sun"]
    wanted = settings(hours=[{"days": days, "begin": "01:00", "until": "05:00"}])
    resource = resources_of(wanted.workers.calendar.resources)["default", "home-1"]
    starts = resource.starts(datetime.fromisoformat(day).date(), timedelta(hours=1))
    assert [resource.local(one).strftime("%H:%M") for one in starts] == expected
