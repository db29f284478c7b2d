from __future__ import annotations

import asyncio
from typing import Any

import pytest
from examples.oneroof import tools
from examples.oneroof.listings import CITIES, LISTINGS
from examples.oneroof.outbox import MAX_MESSAGES, Outbox, TextMessage
from examples.oneroof.tools import book_viewing, search_listings, send_details
from examples.oneroof.viewings import Viewings
from tests.examples.helpers import THURSDAY_NOON, Ask, fields_not_there

from perhop.tools.base import Tool

FRIDAY = "2026-11-27"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "viewings", Viewings(lambda: THURSDAY_NOON))
    monkeypatch.setattr(tools, "outbox", Outbox())


def test_the_sample_homes_are_plausible() -> None:
    assert len(LISTINGS) == 24
    assert CITIES == ("Oakland", "Berkeley", "Alameda", "San Francisco", "Richmond")
    assert list(LISTINGS) == list(range(101, 125))
    for home in LISTINGS.values():
        assert 1 <= home.bedrooms <= 4
        assert 1_500 <= home.rent <= 7_000
        assert 500 <= home.square_feet <= 3_000
        assert home.features


async def test_the_question_of_the_demo_page(ask: Ask) -> None:
    found = await ask(search_listings, bedrooms=2, city="Oakland", day=FRIDAY)
    assert found["summary"] == "I have three two bedroom homes in Oakland."
    assert found["offer"] == "On Friday, November 27th you could see the first at 9 am, 10 am or 11 am."
    assert [(home["listing_id"], home["rent"]) for home in found["listings"]] == [(107, 2750), (101, 2950), (105, 3300)]
    first = found["listings"][0]
    assert first["home"] == "An apartment at 601 Telegraph Avenue, Uptown"
    assert first["viewing_times"] == [f"{hour:02}:00:00" for hour in range(9, 18)]


async def test_without_a_day_it_asks_for_one(ask: Ask) -> None:
    found = await ask(search_listings, bedrooms=1, city="berkeley ", day=None)
    assert found["summary"] == "I have two one bedroom homes in Berkeley."
    assert found["offer"] == "Which one would you like to see, and when?"
    assert "viewing_times" not in found["listings"][0]


async def test_one_home_is_one_home(ask: Ask) -> None:
    found = await ask(search_listings, bedrooms=1, city="Alameda")
    assert found["summary"] == "I have one one bedroom home in Alameda."
    assert found["offer"] == "When would you like to see it?"
    found = await ask(search_listings, bedrooms=1, city="Alameda", day=FRIDAY)
    assert found["offer"] == "On Friday, November 27th you could see it at 9 am, 10 am or 11 am."


async def test_a_rent_too_low_names_the_cheapest(ask: Ask) -> None:
    found = await ask(search_listings, bedrooms=2, city="Oakland", max_price=2_000)
    assert found == {
        "summary": (
            "I have no two bedroom home in Oakland for 2,000 dollars or less. "
            "The cheapest is an apartment at 601 Telegraph Avenue, Uptown, for 2,750 dollars a month."
        ),
        "count": 0,
        "listings": [],
        "offer": "",
    }


async def test_a_size_that_is_not_there_names_where_it_is(ask: Ask) -> None:
    found = await ask(search_listings, bedrooms=4, city="Alameda")
    assert found["summary"] == "I have no four bedroom home in Alameda right now, but I do in Oakland and Berkeley."
    found = await ask(search_listings, bedrooms=6, city="Alameda")
    assert found["summary"] == "I have no six bedroom home right now."


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"city": "Sacramento"}, "We have no homes in Sacramento. We have homes in Oakland, Berkeley, Alameda, San"),
        ({"day": "2026-11-25"}, "Wednesday, November 25th is already over. The next possible day is Friday, Nov"),
        ({"day": "2026-11-29"}, "We show no homes on Sundays. The next possible day is Monday, November 30th."),
        ({"day": "2027-11-26"}, "I can only book up to Monday, January 25th."),
    ],
)
async def test_what_cannot_be_searched_is_said_in_a_sentence(ask: Ask, wanted: dict[str, str], says: str) -> None:
    error = (await ask(search_listings, **{"bedrooms": 2, "city": "Oakland", **wanted}))["error"]
    assert error["code"] == "tool_failed"
    assert error["message"].startswith(says)


async def test_a_booked_viewing_is_confirmed_and_no_longer_offered(ask: Ask) -> None:
    booked = await ask(book_viewing, listing_id=107, day=FRIDAY, time="10:00", name="Ann")
    assert booked == {
        "listing_id": 107,
        "address": "601 Telegraph Avenue, Uptown",
        "day": "2026-11-27",
        "time": "10:00:00",
        "name": "Ann",
    }
    found = await ask(search_listings, bedrooms=2, city="Oakland", day=FRIDAY)
    assert found["offer"].endswith("you could see the first at 9 am, 11 am or noon.")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"listing_id": 124, "day": "2026-11-25"}, "Wednesday, November 25th is already over."),
        ({"day": "2026-11-26", "time": "12:00"}, "Noon is already over today. You could come at 1 pm, 2 pm or 3 pm."),
        ({"day": "2026-11-29"}, "We show no homes on Sundays."),
        (
            {"time": "08:00"},
            "On Friday, November 27th we show homes from 9 am to 5 pm. You could come at 9 am",
        ),
        (
            {"time": "20:00"},
            "On Friday, November 27th we show homes from 9 am to 5 pm. You could come at 3 pm",
        ),
        ({"day": "2026-11-28", "time": "14:00"}, "On Saturday, November 28th we show homes from 9 am to 1 pm."),
        ({"time": "10:30"}, "Viewings start on the hour. You could come at "),
        ({"day": "2027-03-01"}, "I can only book up to Monday, January 25th."),
    ],
)
async def test_impossible_times_are_refused_with_possible_ones(ask: Ask, wanted: dict[str, object], says: str) -> None:
    arguments = {"listing_id": 107, "day": FRIDAY, "time": "10:00", **wanted}
    error = (await ask(book_viewing, **arguments))["error"]
    assert error["code"] == "tool_failed"
    assert error["message"].startswith(says)


async def test_nobody_else_gets_an_hour_that_is_taken(ask: Ask) -> None:
    assert "error" not in await ask(book_viewing, listing_id=107, day=FRIDAY, time="10:00")
    refused = await ask(book_viewing, listing_id=107, day=FRIDAY, time="10:00", call_id="rtc_2")
    assert refused["error"]["message"].startswith(
        "10 am is already taken on Friday, November 27th. You could come at 9 am"
    )
    assert "error" not in await ask(book_viewing, listing_id=101, day=FRIDAY, time="10:00", call_id="rtc_2")


async def test_the_same_caller_asking_twice_has_one_viewing(ask: Ask) -> None:
    first = await ask(book_viewing, listing_id=107, day=FRIDAY, time="10:00")
    assert await ask(book_viewing, listing_id=107, day=FRIDAY, time="10:00") == first


async def test_of_many_callers_at_once_one_gets_the_hour(ask: Ask) -> None:
    outcomes = await asyncio.gather(
        *(ask(book_viewing, listing_id=107, day=FRIDAY, time="10:00", call_id=f"rtc_{n}") for n in range(50))
    )
    assert sum("error" not in outcome for outcome in outcomes) == 1


async def test_a_day_with_nothing_left_names_the_next(ask: Ask) -> None:
    for hour in range(9, 18):
        await ask(book_viewing, listing_id=107, day=FRIDAY, time=f"{hour:02}:00")
    refused = await ask(book_viewing, listing_id=107, day=FRIDAY, time="10:00", call_id="rtc_2")
    assert refused["error"]["message"].endswith("Nothing is left on that day; Saturday, November 28th is possible.")
    found = await ask(search_listings, bedrooms=2, city="Oakland", day=FRIDAY)
    assert found["offer"] == "On Friday, November 27th nobody can show you the first any more."


@pytest.mark.parametrize("phone", ["(510) 555-0134", "510 555 0134", "15105550134", "+1 510.555.0134"])
async def test_details_go_to_the_outbox_once(ask: Ask, phone: str) -> None:
    sent = await ask(send_details, listing_id=107, phone=phone, function_call_id="call_x")
    assert sent == {"listing_id": 107, "address": "601 Telegraph Avenue, Uptown", "ending": "0134", "status": "queued"}
    await ask(send_details, listing_id=107, phone=phone, function_call_id="call_x")
    (message,) = tools.outbox.messages
    assert message.to == "+15105550134"
    assert "601 Telegraph Avenue" in message.text
    assert "$2,750 a month" in message.text


@pytest.mark.parametrize(
    ("phone", "code"), [("555-0134", "tool_failed"), ("not a number", "invalid_arguments"), ("+1234567", "tool_failed")]
)
async def test_half_a_phone_number_is_not_used(ask: Ask, phone: str, code: str) -> None:
    assert (await ask(send_details, listing_id=107, phone=phone))["error"]["code"] == code
    assert not tools.outbox.messages


async def test_homes_that_do_not_exist_cannot_be_named(ask: Ask) -> None:
    assert (await ask(book_viewing, listing_id=125, day=FRIDAY, time="10:00"))["error"]["code"] == "invalid_arguments"
    assert (await ask(send_details, listing_id=100, phone="5105550134"))["error"]["code"] == "invalid_arguments"


def test_the_outbox_is_bounded() -> None:
    outbox = Outbox()
    for number in range(MAX_MESSAGES + 5):
        outbox.add(TextMessage(key=str(number), to="+15105550134", text="hello"))
    assert len(outbox.messages) == MAX_MESSAGES


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (search_listings, {"bedrooms": 2, "city": "Oakland", "day": FRIDAY}),
        (book_viewing, {"listing_id": 107, "day": FRIDAY, "time": "10:00"}),
        (send_details, {"listing_id": 107, "phone": "5105550134"}),
    ],
)
async def test_what_is_said_of_a_result_is_in_it(ask: Ask, tool: Tool, arguments: dict[str, Any]) -> None:
    assert not fields_not_there(tool, await ask(tool, **arguments), arguments)
