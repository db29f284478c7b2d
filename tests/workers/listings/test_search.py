"""Homes are found, on both databases and over both buses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from perhop.config import Settings
from perhop.store import Database
from perhop.tools.bus import Bus, RemoteError
from perhop.tools.guard import Guard
from perhop.workers.listings.homes import MAX_TERMS, PAGE, Home, terms
from perhop.workers.listings.local import put
from perhop.workers.listings.tables import HomeRow
from perhop.workers.listings.worker import make_worker
from perhop.workers.sdk.testing import WorkerBench, running

INJECTIONS = [
    "' OR 1=1 --",
    "'; DROP TABLE listings_homes; --",
    '" OR "1"="1',
    "garden*",
    'NEAR("a" "b")',
    "city : oakland",
    "{0}",
    "%",
    "\\",
    "a:* & !b | c",
]


@pytest.fixture
async def bench(database: Database, bus: Bus) -> AsyncIterator[WorkerBench]:
    async with running(make_worker(Settings(), Guard()), database=database, bus=bus) as bench:
        yield bench


async def search(bench: WorkerBench, **wanted: Any) -> Any:
    return await bench.call("search_listings", {"bedrooms": 2, "city": "Oakland", **wanted})


def numbers(found: Any) -> list[str]:
    return [home["listing_id"] for home in found["listings"]]


async def test_homes_of_a_city_and_a_size_come_cheapest_first(bench: WorkerBench) -> None:
    found = await search(bench, city=" oakland")
    assert numbers(found) == ["107", "101", "105"]
    assert found["count"] == 3
    assert found["summary"] == "I have three two bedroom homes in Oakland."
    assert found["listings"][0] == {
        "listing_id": "107",
        "resource_id": "home-107",
        "address": "601 Telegraph Avenue, Uptown",
        "city": "Oakland",
        "home": "An apartment at 601 Telegraph Avenue, Uptown",
        "price": 2750,
        "bedrooms": 2,
        "bathrooms": 1,
        "available_from": None,
    }


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"max_price": 3000}, ["107", "101"]),
        ({"min_price": 2800, "max_price": 3000}, ["101"]),
        ({"bathrooms": 2}, ["105"]),
        ({"kind": "Apartment"}, ["107", "101", "105"]),
        ({"kind": "loft"}, []),
        ({"features": "with a lake view"}, ["101"]),
        ({"features": "balconies"}, ["101"]),
        ({"features": "Uptown"}, ["107"]),
    ],
)
async def test_what_narrows_a_search(bench: WorkerBench, wanted: dict[str, Any], expected: list[str]) -> None:
    assert numbers(await search(bench, **wanted)) == expected


async def test_a_home_that_is_not_free_by_then_is_left_out(bench: WorkerBench) -> None:
    today = datetime.now(UTC).date()
    soon = await search(bench, bedrooms=1, move_in=today.isoformat())
    later = await search(bench, bedrooms=1, move_in=(today + timedelta(days=365)).isoformat())
    assert set(numbers(soon)) < set(numbers(later))


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (
            {"max_price": 2000},
            (
                "I have no two bedroom home in Oakland for 2,000 dollars or less. "
                "The cheapest is an apartment at 601 Telegraph Avenue, Uptown, for 2,750 dollars."
            ),
        ),
        ({"city": "Sacramento"}, "I have no two bedroom home in Sacramento right now, but I do in "),
        ({"bedrooms": 9}, "I have no nine bedroom home in Oakland right now."),
    ],
)
async def test_when_nothing_matches_the_nearest_is_named(bench: WorkerBench, wanted: dict[str, Any], says: str) -> None:
    found = await search(bench, **wanted)
    assert found["summary"].startswith(says)
    assert (found["count"], found["listings"], found["offer"]) == (0, [], "")


@pytest.mark.parametrize("words", INJECTIONS)
async def test_what_a_caller_says_is_never_part_of_a_statement(bench: WorkerBench, words: str) -> None:
    for place in ("city", "features"):
        await search(bench, **{place: words})
    with pytest.raises(RemoteError, match="no home with this number"):
        await bench.call("listing_details", {"listing_id": words})
    async with bench.database.session(reading=True) as session:
        assert await session.scalar(select(func.count()).select_from(HomeRow)) == 24


async def test_pages_follow_each_other_without_gaps(bench: WorkerBench) -> None:
    homes = [
        Home(id=f"p{n:02}", city="Reno", street=f"{n} Road", kind="house", bedrooms=2, bathrooms=1, price=1000 + n % 3)
        for n in range(PAGE * 2 + 1)
    ]
    async with bench.database.session() as session:
        await put(session, homes, tenant="default")
        await put(session, homes[:1], tenant="other")
    pages = [await search(bench, city="Reno", page=page) for page in (1, 2, 3)]
    assert [page["more"] for page in pages] == [True, True, False]
    assert {page["count"] for page in pages} == {PAGE * 2 + 1}
    told = [number for page in pages for number in numbers(page)]
    assert sorted(told) == [home.id for home in homes]
    with pytest.raises(RemoteError, match="no more homes"):
        await search(bench, city="Reno", page=4)


async def test_a_tenant_sees_its_own_homes_only(bench: WorkerBench) -> None:
    found = await bench.call("search_listings", {"bedrooms": 2, "city": "Oakland"}, tenant="other")
    assert found["count"] == 0
    with pytest.raises(RemoteError):
        await bench.call("listing_details", {"listing_id": "101"}, tenant="other")


async def test_everything_about_one_home(bench: WorkerBench) -> None:
    told = await bench.call("listing_details", {"listing_id": "101"})
    assert told["details"] == (
        "Home number 101: apartment, 412 Grand Avenue, Lake Merritt, Oakland. 2 bedrooms, 1 bathroom, "
        "880 square feet, $2,950. Lake view, balcony, laundry in the building. Pets are welcome."
    )


async def test_a_changed_or_removed_home_is_found_by_its_new_words(bench: WorkerBench) -> None:
    assert numbers(await search(bench, features="greenhouse")) == []
    async with bench.database.session() as session:
        home = (await session.scalars(select(HomeRow).where(HomeRow.id == "107"))).one()
        home.description = "A wonderful greenhouse on the roof"
    assert numbers(await search(bench, features="greenhouse")) == ["107"]
    async with bench.database.session() as session:
        await session.delete(await session.get_one(HomeRow, home.key))
    assert numbers(await search(bench)) == ["101", "105"]
    assert numbers(await search(bench, features="greenhouse")) == []


async def test_a_table_that_has_homes_is_not_filled_again(bench: WorkerBench) -> None:
    async with running(make_worker(Settings(), Guard()), database=bench.database) as again:
        assert (await search(again))["count"] == 3


@given(st.text(max_size=300))
def test_terms_are_few_plain_words(said: str) -> None:
    found = terms(said)
    assert len(found) <= MAX_TERMS
    assert all(word and all(c.isalnum() or c == "_" for c in word) for word in found)
