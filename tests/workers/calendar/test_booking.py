"""Times are told, booked, moved and given back, on both databases and over both buses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from perhop.config import Settings
from perhop.store import Database
from perhop.tools.bus import Bus, RemoteError
from perhop.tools.guard import Guard
from perhop.workers.calendar.bookings import forget_past
from perhop.workers.calendar.tables import BookingRow, CellRow
from perhop.workers.calendar.worker import make_worker
from perhop.workers.sdk import Worker
from perhop.workers.sdk.testing import WorkerBench, running

THURSDAY_NOON = datetime(2026, 11, 26, 20, 15, tzinfo=UTC)  # 12:15 in Los Angeles
FRIDAY = "2026-11-27"
SATURDAY = "2026-11-28"

HOURS = [
    {"days": ["mon", "tue", "wed", "thu", "fri"], "begin": "09:00", "until": "12:00"},
    {"days": ["mon", "tue", "wed", "thu", "fri"], "begin": "13:00", "until": "18:00"},
]


def settings(**changes: Any) -> Settings:
    resource = {
        "ids": ["home-1", "home-2"],
        "title": "Viewing",
        "timezone": "America/Los_Angeles",
        "hours": HOURS,
        **changes,
    }
    return Settings.model_validate({"workers": {"calendar": {"resources": [resource]}}})


def calendar(**changes: Any) -> Worker:
    return make_worker(settings(**changes), Guard(), now=lambda: THURSDAY_NOON)


@pytest.fixture
async def bench(database: Database, bus: Bus) -> AsyncIterator[WorkerBench]:
    async with running(calendar(), database=database, bus=bus) as bench:
        yield bench


async def book(bench: WorkerBench, time: str = "10:00", *, day: str = FRIDAY, **more: Any) -> Any:
    call = {key: more.pop(key) for key in ("call_id", "function_call_id", "tenant") if key in more}
    return await bench.call("book_appointment", {"resource_id": "home-1", "day": day, "time": time, **more}, **call)


async def free(bench: WorkerBench, **wanted: Any) -> list[str]:
    told = await bench.call("find_free_times", {"resource_id": "home-1", "day": FRIDAY, **wanted})
    return [time[:5] for time in told["times"]]


async def taken(bench: WorkerBench) -> int:
    async with bench.database.session(reading=True) as session:
        return await session.scalar(select(func.count()).select_from(CellRow)) or 0


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2200-01-01"])
async def test_a_day_beyond_all_calendars_is_a_wrong_argument(bench: WorkerBench, day: str) -> None:
    for tool, arguments in (
        ("find_free_times", {"day": day}),
        ("book_appointment", {"day": day, "time": "10:00"}),
        ("export_calendar", {"first_day": FRIDAY, "last_day": day}),
    ):
        with pytest.raises(RemoteError, match="must be from 1970-01-02 to 2199-12-30") as refused:
            await bench.call(tool, {"resource_id": "home-1", **arguments})
        assert refused.value.code == "invalid_arguments"


async def test_free_times_are_the_working_hours_in_local_time(bench: WorkerBench) -> None:
    told = await bench.call("find_free_times", {"resource_id": "home-1", "day": FRIDAY})
    assert told["summary"] == "On Friday, November 27th 9 am, 10 am or 11 am would be possible."
    assert await free(bench) == ["09:00", "10:00", "11:00", "13:00", "14:00", "15:00", "16:00", "17:00"]
    assert await free(bench, length_min=120) == ["09:00", "10:00", "13:00", "14:00", "15:00", "16:00"]
    assert await free(bench, day="2026-11-26") == ["13:00", "14:00", "15:00", "16:00", "17:00"]


async def test_a_call_that_books_again_gets_its_booking_and_nobody_elses(bench: WorkerBench) -> None:
    ann = {"call_id": "rtc_1", "name": "Ann", "phone": "(510) 555-0134"}
    first = await book(bench, **ann)
    assert await book(bench, **ann) == first
    for other in ({"name": "Bob"}, {"phone": "(510) 555-0135"}, {"length_min": 120}, {"name": "Bob", "length_min": 30}):
        with pytest.raises(RemoteError, match="already taken"):
            await book(bench, **{**ann, **other})
    assert await taken(bench) == 12


async def test_a_booked_time_is_told_and_no_longer_free(bench: WorkerBench) -> None:
    booked = await book(bench, name="Ann", phone="(510) 555-0134")
    assert len(booked.pop("booking_id")) == 8
    assert booked == {
        "resource_id": "home-1",
        "title": "Viewing",
        "day": FRIDAY,
        "time": "10:00:00",
        "when": "Friday, November 27th at 10 am",
        "length_min": 60,
        "timezone": "America/Los_Angeles",
        "name": "Ann",
        "state": "booked",
    }
    assert "10:00" not in await free(bench)
    assert "10:00" in await free(bench, resource_id="home-2")
    async with bench.database.session(reading=True) as session:
        row = (await session.scalars(select(BookingRow))).one()
    assert (row.starts_at, row.ends_at) == (
        datetime(2026, 11, 27, 18, tzinfo=UTC),
        datetime(2026, 11, 27, 19, tzinfo=UTC),
    )
    assert row.phone == "+15105550134"


async def test_half_of_a_taken_time_is_taken_too(bench: WorkerBench) -> None:
    await book(bench, "10:00", length_min=90)
    assert await free(bench) == ["09:00", "13:00", "14:00", "15:00", "16:00", "17:00"]
    with pytest.raises(RemoteError, match="11 am is already taken"):
        await book(bench, "11:00", call_id="rtc_2")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"day": "2026-11-25"}, "Wednesday, November 25th is already over. The next possible day is Thursday, Nov"),
        ({"day": SATURDAY}, "Nothing can be booked on Saturday, November 28th. The next possible day is Monday, Nov"),
        ({"day": "2027-03-01"}, "Bookings are possible up to Monday, January 25th."),
        ({"day": "2026-11-26"}, "10 am is already over. 1 pm, 2 pm or 3 pm would be possible."),
        ({"time": "10:30"}, "10:30 am is not a time at which a booking can begin."),
        ({"time": "20:00"}, "On Friday, November 27th bookings begin from 9 am to 5 pm."),
        ({"time": "12:00"}, "Noon is not a time at which a booking can begin. 10 am, 11 am or 1 pm would be possible."),
        ({"length_min": 600}, "There is no time that long on Friday, November 27th."),
        ({"resource_id": "home-3"}, "There is nothing of this name to be booked. There is home-1, home-2."),
    ],
)
async def test_what_is_not_possible_is_refused_with_what_is(
    bench: WorkerBench, wanted: dict[str, Any], says: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        await bench.call("book_appointment", {"resource_id": "home-1", "day": FRIDAY, "time": "10:00", **wanted})
    assert caught.value.code == "tool_failed"
    assert str(caught.value).startswith(says)
    assert await taken(bench) == 0


@pytest.mark.parametrize(
    "wanted",
    [
        {"day": "tomorrow"},
        {"day": "2026-02-30"},
        {"time": "25:00"},
        {"length_min": 7},
        {"length_min": "60"},
        {"resource_id": 1},
        {"resource_id": "x" * 65},
        {"phone": "'; DROP TABLE calendar_bookings; --"},
        {"price": 0},
    ],
)
async def test_wrong_arguments_are_refused_before_anything_happens(bench: WorkerBench, wanted: dict[str, Any]) -> None:
    with pytest.raises(RemoteError) as caught:
        await bench.call("book_appointment", {"resource_id": "home-1", "day": FRIDAY, "time": "10:00", **wanted})
    assert caught.value.code == "invalid_arguments"
    assert await taken(bench) == 0


async def test_of_fifty_callers_at_once_one_gets_the_time(database: Database, bus: Bus) -> None:
    async with (
        running(calendar(), database=database, bus=bus) as one,
        running(calendar(), database=database) as two,
        running(calendar(), database=database) as three,
    ):
        benches = (one, two, three)
        attempts = [book(benches[n % 3], call_id=f"rtc_{n}") for n in range(50)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        booked = [outcome for outcome in outcomes if isinstance(outcome, dict)]
        refused = [str(outcome) for outcome in outcomes if isinstance(outcome, RemoteError)]
        assert len(booked) == 1
        assert len(refused) == 49
        assert {text.partition(".")[0] for text in refused} == {"10 am is already taken on Friday, November 27th"}
        assert await taken(one) == 12


async def test_overlapping_lengths_at_once_never_overlap_in_the_calendar(database: Database) -> None:
    async with running(calendar(step_min=30), database=database) as bench:
        attempts = [
            book(bench, f"{hour:02}:{minute:02}", length_min=length, call_id=f"rtc_{hour}_{minute}_{length}")
            for hour in (9, 10)
            for minute in (0, 30)
            for length in (30, 60, 90)
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        booked = sorted((one["time"], one["length_min"]) for one in outcomes if isinstance(one, dict))
        assert all(isinstance(one, dict | RemoteError) for one in outcomes)
        ends = [int(time[:2]) * 60 + int(time[3:5]) + length for time, length in booked]
        starts = [int(time[:2]) * 60 + int(time[3:5]) for time, _ in booked]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
        assert await taken(bench) == sum(length for _, length in booked) / 5


async def test_the_same_function_call_books_once(bench: WorkerBench) -> None:
    first = await book(bench, function_call_id="call_x")
    assert await book(bench, function_call_id="call_x") == first
    assert await taken(bench) == 12


async def test_the_same_caller_asking_for_the_same_time_again_keeps_the_one_booking(bench: WorkerBench) -> None:
    assert await book(bench) == await book(bench)
    assert await taken(bench) == 12


async def test_a_moved_booking_frees_its_old_time(bench: WorkerBench) -> None:
    booking = await book(bench)
    moved = await bench.call(
        "reschedule_appointment", {"booking_id": booking["booking_id"], "day": FRIDAY, "time": "15:00"}
    )
    assert moved["when"] == "Friday, November 27th at 3 pm"
    assert "10:00" in await free(bench)
    assert "15:00" not in await free(bench)
    assert await taken(bench) == 12


async def test_a_booking_can_be_moved_into_part_of_its_own_time(database: Database) -> None:
    async with running(calendar(step_min=30), database=database) as bench:
        booking = await book(bench)
        await bench.call(
            "reschedule_appointment", {"booking_id": booking["booking_id"], "day": FRIDAY, "time": "10:30"}
        )
        assert await taken(bench) == 12
        assert (await free(bench))[:3] == ["09:00", "09:30", "13:00"]


async def test_two_bookings_cannot_be_moved_onto_each_other(bench: WorkerBench) -> None:
    one, other = await book(bench, "10:00"), await book(bench, "15:00")
    swaps = [
        bench.call("reschedule_appointment", {"booking_id": booking["booking_id"], "day": FRIDAY, "time": time})
        for booking, time in ((one, "15:00"), (other, "10:00"))
    ]
    async with asyncio.timeout(8):
        outcomes = await asyncio.gather(*swaps, return_exceptions=True)
    assert all(isinstance(outcome, RemoteError) and "already taken" in str(outcome) for outcome in outcomes)
    assert await taken(bench) == 24


async def test_a_cancelled_booking_frees_its_time_and_stays_cancelled(bench: WorkerBench) -> None:
    booking = await book(bench)
    for _ in range(2):
        cancelled = await bench.call("cancel_appointment", {"booking_id": booking["booking_id"]})
        assert cancelled["state"] == "cancelled"
    assert "10:00" in await free(bench)
    with pytest.raises(RemoteError, match="was cancelled"):
        await bench.call(
            "reschedule_appointment", {"booking_id": booking["booking_id"], "day": FRIDAY, "time": "11:00"}
        )
    assert (await book(bench))["booking_id"] != booking["booking_id"]


async def test_bookings_are_found_by_the_number_they_were_made_with(bench: WorkerBench) -> None:
    first = await book(bench, "15:00", phone="510 555 0134")
    second = await book(bench, "10:00", phone="(510) 555-0134")
    found = await bench.call("find_appointments", {"phone": "510.555.0134"})
    assert [one["booking_id"] for one in found["appointments"]] == [second["booking_id"], first["booking_id"]]
    await bench.call("cancel_appointment", {"booking_id": first["booking_id"]})
    assert (await bench.call("find_appointments", {"phone": "510.555.0134"}))["count"] == 1
    assert (await bench.call("find_appointments", {"phone": "510.555.0199"}))["count"] == 0


async def test_tenants_do_not_see_each_others_bookings(bench: WorkerBench) -> None:
    booking = await book(bench)
    with pytest.raises(RemoteError, match="no booking with this number"):
        await bench.call("cancel_appointment", {"booking_id": booking["booking_id"]}, tenant="other")
    with pytest.raises(RemoteError, match="nothing of this name"):
        await book(bench, tenant="other")


async def test_time_that_is_over_is_forgotten_and_its_bookings_are_not(bench: WorkerBench) -> None:
    await book(bench)
    async with bench.database.session() as session:
        await forget_past(session, datetime(2026, 11, 27, 18, 30, tzinfo=UTC))
    assert await taken(bench) == 6
    async with bench.database.session() as session:
        await forget_past(session, datetime(2026, 11, 28, tzinfo=UTC))
        assert (await session.scalars(select(BookingRow))).one().state == "booked"
    assert await taken(bench) == 0


def resource_schema(**changes: Any) -> dict[str, Any]:
    return dict(calendar(**changes).tools["book_appointment"].parameters["properties"]["resource_id"])


def test_identifiers_have_to_look_like_those_there_are() -> None:
    schema = resource_schema(ids=["home-101", "home-220", "dr.lee"])
    assert schema["x-pattern"] == r"^(dr\.lee|home\-[0-9][0-9][0-9])$"
    assert "x-values" not in schema


def test_what_has_a_name_of_its_own_is_said_by_it() -> None:
    assert resource_schema(ids=["d1"], title="Doctor Lee")["x-values"] == {"d1": ["Doctor Lee"]}
