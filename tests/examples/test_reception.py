from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from examples.reception import tools
from examples.reception.office import Department, Office
from examples.reception.tools import book_meeting, connect_department, directions, opening_hours, take_message
from tests.examples.helpers import THURSDAY_NOON, Ask, fields_not_there

from perhop.tools.base import Tool

FRIDAY = "2026-11-27"


@pytest.fixture(autouse=True)
def office(monkeypatch: pytest.MonkeyPatch) -> Office:
    office = Office(lambda: THURSDAY_NOON)
    monkeypatch.setattr(tools, "office", office)
    return office


@pytest.mark.parametrize(
    ("day", "says"),
    [
        (None, "We are open Monday to Thursday from 9 am to 6 pm, and on Fridays until 4 pm."),
        (FRIDAY, "On Friday, November 27th we are open from 9 am to 4 pm."),
        ("2026-11-30", "On Monday, November 30th we are open from 9 am to 6 pm."),
        ("2026-11-28", "On Saturday, November 28th we are closed. We are open Monday to Friday."),
    ],
)
async def test_opening_hours(ask: Ask, day: str | None, says: str) -> None:
    assert (await ask(opening_hours, day=day))["summary"] == says


async def test_directions_depend_on_how_one_comes(ask: Ask) -> None:
    anyhow = (await ask(directions))["summary"]
    assert anyhow.startswith("We are at 14 Franklin Street")
    assert "by train, by car, by bus or on foot" in anyhow
    by_car = (await ask(directions, means="car"))["summary"]
    assert "parking" in by_car
    assert (await ask(directions, means="boat"))["error"]["code"] == "invalid_arguments"


async def test_a_message_is_kept_once(ask: Ask, office: Office) -> None:
    for _ in range(2):
        answer = await ask(take_message, department="human resources", message="call me", function_call_id="call_x")
        assert answer == {"department": "human resources", "status": "noted"}
    (message,) = office.messages
    assert (message.department, message.text, message.phone) == (Department.HUMAN_RESOURCES, "call me", None)


async def test_a_department_is_told_who_waits(ask: Ask, office: Office) -> None:
    assert await ask(connect_department, department="billing") == {"department": "billing", "extension": "23"}
    await ask(connect_department, department="billing")
    assert list(office.waiting) == [("rtc_1", Department.BILLING)]


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 11, 26, 8, 59, tzinfo=UTC),
        datetime(2026, 11, 27, 16, 0, tzinfo=UTC),
        datetime(2026, 11, 28, 12, 0, tzinfo=UTC),
    ],
    ids=["before nine", "Friday at four", "Saturday"],
)
async def test_nobody_is_connected_when_nobody_is_there(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    monkeypatch.setattr(tools, "office", Office(lambda: now))
    error = (await ask(connect_department, department="sales"))["error"]
    assert error["message"] == "Nobody is at sales right now. I can take a message for them."


async def test_a_meeting_is_confirmed(ask: Ask) -> None:
    assert await ask(book_meeting, department="sales", day=FRIDAY, time="10:30", name="Ann") == {
        "department": "sales",
        "day": "2026-11-27",
        "time": "10:30:00",
        "name": "Ann",
    }


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"day": "2026-11-25"}, "Wednesday, November 25th is already over. Please name a later day."),
        ({"day": "2026-11-26"}, "That time is already over today. Please name a later one."),
        ({"day": "2026-11-28"}, "We are closed on weekends. Please name a day from Monday to Friday."),
        ({"day": "2027-03-01"}, "I can only book up to Monday, January 25th."),
        ({"time": "10:15"}, "Meetings start on the hour or at half past."),
        ({"time": "16:00"}, "On Friday, November 27th we are open from 9 am to 4 pm."),
    ],
)
async def test_impossible_meetings_are_refused_with_the_reason(ask: Ask, wanted: dict[str, str], says: str) -> None:
    error = (await ask(book_meeting, **{"department": "sales", "day": FRIDAY, "time": "10:00", **wanted}))["error"]
    assert (error["code"], error["message"]) == ("tool_failed", says)


async def test_of_many_callers_at_once_one_gets_the_meeting(ask: Ask) -> None:
    outcomes = await asyncio.gather(
        *(ask(book_meeting, department="sales", day=FRIDAY, time="10:00", call_id=f"rtc_{n}") for n in range(50))
    )
    assert sum("error" not in outcome for outcome in outcomes) == 1
    again = await ask(book_meeting, department="sales", day=FRIDAY, time="10:00", call_id="rtc_99")
    assert again["error"]["message"] == "Sales is busy at 10 am. Please name another time."
    assert "error" not in await ask(book_meeting, department="billing", day=FRIDAY, time="10:00", call_id="rtc_99")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (opening_hours, {}),
        (opening_hours, {"day": FRIDAY}),
        (directions, {"means": "train"}),
        (take_message, {"department": "sales", "message": "call me"}),
        (connect_department, {"department": "sales"}),
        (book_meeting, {"department": "sales", "day": FRIDAY, "time": "10:00"}),
    ],
)
async def test_what_is_said_of_a_result_is_in_it(ask: Ask, tool: Tool, arguments: dict[str, Any]) -> None:
    assert not fields_not_there(tool, await ask(tool, **arguments), arguments)
