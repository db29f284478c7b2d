"""Contacts are found or made, once, on both databases and over both buses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from perhop.config import Settings
from perhop.store import Database
from perhop.tools.bus import Bus, RemoteError
from perhop.tools.errors import ToolError
from perhop.tools.guard import Guard
from perhop.workers.crm.contacts import reach
from perhop.workers.crm.tables import ContactRow, LeadRow, NoteRow
from perhop.workers.crm.worker import make_worker
from perhop.workers.sdk import Worker
from perhop.workers.sdk.testing import WorkerBench, running

PHONES = ["(510) 555-0134", "510.555.0134", "+1 510 555 0134", "1 510 555 0134"]


def crm() -> Worker:
    return make_worker(Settings(), Guard())


@pytest.fixture
async def bench(database: Database, bus: Bus) -> AsyncIterator[WorkerBench]:
    async with running(crm(), database=database, bus=bus) as bench:
        yield bench


async def count(bench: WorkerBench, table: type[ContactRow | LeadRow | NoteRow]) -> int:
    async with bench.database.session(reading=True) as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def remember(bench: WorkerBench, *, tenant: str = "default", **who: Any) -> Any:
    return await bench.call("remember_contact", who, tenant=tenant)


async def test_however_a_number_is_said_it_is_one_contact(bench: WorkerBench) -> None:
    told = [await remember(bench, phone=phone, name="Ann") for phone in PHONES]
    assert {one["contact_id"] for one in told} == {told[0]["contact_id"]}
    assert [one["new"] for one in told] == [True, False, False, False]
    assert told[0]["phone"] == "+15105550134"
    assert await count(bench, ContactRow) == 1


async def test_an_address_is_the_same_in_any_case(bench: WorkerBench) -> None:
    first = await remember(bench, email="Ann.Lee@Example.com ")
    assert first["email"] == "ann.lee@example.com"
    assert (await remember(bench, email="ann.lee@example.COM"))["contact_id"] == first["contact_id"]


async def test_a_name_is_added_where_none_is_known_and_never_replaced(bench: WorkerBench) -> None:
    first = await remember(bench, phone=PHONES[0])
    second = await remember(bench, phone=PHONES[1], name="Ann")
    third = await remember(bench, phone=PHONES[2], name="Bob")
    assert second == third == {**first, "name": "Ann", "new": False}


@pytest.mark.parametrize(
    ("known", "claimed"),
    [
        ({"email": "ann@example.com"}, {"phone": "+15105550199"}),
        ({"phone": "+15105550134"}, {"email": "mallory@example.com"}),
        ({"phone": "+15105550134", "email": "ann@example.com"}, {"email": "mallory@example.com"}),
    ],
)
async def test_who_knows_one_detail_of_somebody_does_not_become_them_by_telling_another(
    bench: WorkerBench, known: dict[str, str], claimed: dict[str, str]
) -> None:
    first = await remember(bench, name="Ann", **known)
    for _ in range(2):
        second = await remember(bench, **{**known, **claimed})
        assert second == {**first, "new": False, "unconfirmed": claimed}
    lead = await bench.call("create_lead", {"subject": "a house", **known, **claimed})
    assert (lead["contact_id"], lead["unconfirmed"]) == (first["contact_id"], claimed)
    assert (await bench.call("find_contact", claimed))["found"] is False
    [note] = (await bench.call("find_contact", known))["notes"]
    assert "nobody has confirmed" in note
    assert all(said in note for said in claimed.values())


async def test_two_contacts_that_may_be_one_are_left_as_they_are(bench: WorkerBench) -> None:
    one = await remember(bench, phone=PHONES[0])
    other = await remember(bench, email="ann@example.com")
    both = await remember(bench, phone=PHONES[0], email="ann@example.com")
    assert both["contact_id"] == one["contact_id"] != other["contact_id"]
    assert both["email"] is None
    assert both["unconfirmed"] == {"email": "ann@example.com"}
    assert await count(bench, ContactRow) == 2


async def test_fifty_at_once_make_one_contact(database: Database, bus: Bus) -> None:
    async with running(crm(), database=database, bus=bus) as one, running(crm(), database=database) as two:
        told = await asyncio.gather(
            *(
                (one, two)[n % 2].call(
                    "remember_contact",
                    {"phone": PHONES[n % 4], **({"email": "ann@example.com"} if n % 3 else {})},
                    call_id=f"rtc_{n}",
                )
                for n in range(50)
            )
        )
        assert len({contact["contact_id"] for contact in told}) == 1
        assert sum(contact["new"] for contact in told) == 1
        assert await count(one, ContactRow) == 1
        assert await count(one, NoteRow) <= 1, "that the address may be theirs is noted once, unless it came first"


async def test_tenants_have_their_own_contacts(bench: WorkerBench) -> None:
    one = await remember(bench, phone=PHONES[0])
    other = await remember(bench, phone=PHONES[0], tenant="other")
    assert one["contact_id"] != other["contact_id"]
    with pytest.raises(RemoteError, match="no contact with this number"):
        await bench.call("add_note", {"contact_id": one["contact_id"], "text": "x"}, tenant="other")


async def test_a_lead_makes_its_contact_and_both_are_found_again(bench: WorkerBench) -> None:
    lead = await bench.call(
        "create_lead", {"subject": "a house in Oakland", "phone": PHONES[0], "name": "Ann"}, function_call_id="call_x"
    )
    again = await bench.call(
        "create_lead", {"subject": "a house in Oakland", "phone": PHONES[0], "name": "Ann"}, function_call_id="call_x"
    )
    assert again == lead
    await bench.call("add_note", {"contact_id": lead["contact_id"], "text": "calls on Mondays"})
    found = await bench.call("find_contact", {"phone": PHONES[2]})
    assert found["summary"] == "I have found Ann."
    assert [one["subject"] for one in found["leads"]] == ["a house in Oakland"]
    assert found["notes"] == ["calls on Mondays"]
    assert await count(bench, LeadRow) == 1


async def test_nobody_is_found_by_a_number_that_never_called(bench: WorkerBench) -> None:
    assert (await bench.call("find_contact", {"phone": PHONES[0]}))["found"] is False


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ({}, "I need a phone number or an e-mail address."),
        ({"phone": "555 0134"}, "That is no complete phone number."),
        ({"phone": "0000000000"}, "That is no complete phone number."),
        ({"email": "ann at example"}, "That is no complete e-mail address."),
        ({"email": "ann@example.com\r\nBcc: x@example.com"}, "That is no complete e-mail address."),
        ({"email": "'; DROP TABLE crm_contacts; --@x.de"}, "That is no complete e-mail address."),
    ],
)
async def test_nobody_can_be_reached_like_that(bench: WorkerBench, who: dict[str, str], says: str) -> None:
    with pytest.raises(RemoteError, match=says):
        await remember(bench, **who)
    assert await count(bench, ContactRow) == 0


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_one_spelling_or_refused(phone: str, email: str) -> None:
    for said in ((phone, None), (None, email)):
        try:
            plain = reach(*said, region="US")
        except ToolError:
            continue
        assert reach(plain.phone, plain.email, region="DE") == plain
