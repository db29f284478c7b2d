"""Homes are found at a RESO Web API, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools.guard.servers import HttpServer, Seen, guard, http_server
from tests.workers.listings.odata import Filter, answer
from tests.workers.listings.test_search import INJECTIONS, numbers, search

from perhop.config import Settings
from perhop.tools.bus import RemoteError
from perhop.workers.listings.homes import PAGE, Query, terms
from perhop.workers.listings.reso import conditions
from perhop.workers.listings.worker import make_worker
from perhop.workers.sdk.testing import WorkerBench, running

TOKEN = "a-secret-token"

BREAKING_OUT = ["x') or ('1' eq '1", "' or ListPrice ge 0 or City eq '", "&$top=1000"]


def rows() -> list[dict[str, Any]]:
    return [
        {
            "ListingKey": f"K{n:03}",
            "City": "Oakland" if n % 2 else "O'Fallon",
            "SubdivisionName": "Uptown",
            "StreetNumber": n,
            "StreetName": "Oak",
            "StreetSuffix": "Street",
            "UnparsedAddress": f"{n} Oak Street, Oakland",
            "PropertySubType": "Single Family Residence" if n % 3 else None,
            "BedroomsTotal": 2 + n % 2,
            "BathroomsTotalInteger": 1,
            "ListPrice": 500_000 + 1000 * (n % 7),
            "LivingArea": 1200.4,
            "AvailabilityDate": None if n % 5 else "2030-01-01",
            "PublicRemarks": "Sunny, with a GARDEN." if n == 9 else "Sunny.",
            "StandardStatus": "Active" if n != 11 else "Closed",
        }
        for n in range(60)
    ]


class Api:
    """What the server answers with.

    Attributes:
        broken: instead of the truth.
        silent: nothing is answered until it is set.
    """

    def __init__(self) -> None:
        self.broken: tuple[int, bytes] | None = None
        self.silent = asyncio.Event()
        self.silent.set()

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await self.silent.wait()
        status, body = self.broken or answer(rows(), seen.target)
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            status, body = 401, b""
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def server(api: Api) -> AsyncIterator[HttpServer]:
    async with http_server(api) as server:
        yield server
        api.silent.set()


def settings(server: HttpServer, **changes: Any) -> Settings:
    reso = {
        "url": server.url(path="/odata/"),
        "token": TOKEN,
        "filter": "StandardStatus eq 'Active'",
        "timeout_s": 1,
        **changes,
    }
    return Settings.model_validate({"workers": {"listings": {"reso": reso}}})


@pytest.fixture
async def bench(server: HttpServer, tmp_path: Path) -> AsyncIterator[WorkerBench]:
    async with running(make_worker(settings(server), guard()), database=tmp_path) as bench:
        yield bench


async def test_homes_are_what_the_api_has_cheapest_first(bench: WorkerBench, server: HttpServer) -> None:
    found = await search(bench, bedrooms=3, kind="house", max_price=501_000)
    assert numbers(found) == ["K007", "K035", "K049", "K001", "K029", "K043"]
    assert found["count"] == 6
    assert found["summary"] == "I have six three bedroom houses in Oakland."
    assert found["listings"][0]["home"] == "A house at 7 Oak Street, Uptown"
    (seen,) = server.seen
    assert seen.method == "GET"
    assert "StandardStatus eq 'Active'" in parse_qs(urlsplit(seen.target).query)["$filter"][0]


async def test_pages_follow_each_other(bench: WorkerBench) -> None:
    told: list[str] = []
    for page in (1, 2, 3):
        found = await search(bench, bedrooms=3, page=page)
        assert found["more"] == (page < 3)
        told += numbers(found)
    assert len(told) == len(set(told)) == found["count"] == 29 > 2 * PAGE


async def test_words_and_days_narrow_a_search(bench: WorkerBench) -> None:
    assert numbers(await search(bench, bedrooms=3, features="a garden")) == ["K009"]
    soon = await search(bench, bedrooms=3, move_in="2029-12-31")
    assert soon["count"] == 23


async def test_one_home_by_its_key(bench: WorkerBench) -> None:
    told = await bench.call("listing_details", {"listing_id": "K009"})
    assert told["details"].startswith("Home number K009: home, 9 Oak Street, Uptown, Oakland.")
    with pytest.raises(RemoteError, match="no home with this number"):
        await bench.call("listing_details", {"listing_id": "K999"})


@pytest.mark.parametrize("words", [*(one for one in INJECTIONS if "garden" not in one), *BREAKING_OUT])
async def test_what_a_caller_says_stays_inside_its_literal(bench: WorkerBench, words: str) -> None:
    for place in ("city", "kind", "features"):
        found = await search(bench, bedrooms=3, **{place: words})
        assert found["count"] == (29 if place == "features" and not terms(words) else 0)
    with pytest.raises(RemoteError, match="no home with this number"):
        await bench.call("listing_details", {"listing_id": words})


@given(city=st.text(max_size=50), kind=st.text(max_size=30), said=st.text(max_size=100))
def test_no_text_breaks_out_of_its_literal(city: str, kind: str, said: str) -> None:
    wanted = conditions(Query(city=city, kind=kind, words=terms(said)))
    assert len(wanted) == 2 + len(terms(said))
    for one in wanted:
        Filter(one)  # is one condition, and nothing behind it


async def test_a_city_with_an_apostrophe(bench: WorkerBench) -> None:
    assert (await search(bench, city="o'fallon"))["count"] == 30


@pytest.mark.parametrize(
    "broken", [(500, b""), (200, b"<html>"), (200, b'{"value": 7}'), (200, b'{"value": [{"City": 7}]}'), (302, b"")]
)
async def test_an_api_that_misbehaves_is_unavailable(bench: WorkerBench, api: Api, broken: tuple[int, bytes]) -> None:
    api.broken = broken
    with pytest.raises(RemoteError) as caught:
        await search(bench)
    assert caught.value.code == "unavailable"
    assert TOKEN not in str(caught.value)


async def test_an_api_that_does_not_answer_is_unavailable_in_time(bench: WorkerBench, api: Api) -> None:
    api.silent.clear()
    async with asyncio.timeout(5):
        with pytest.raises(RemoteError) as caught:
            await search(bench)
    assert caught.value.code == "unavailable"


async def test_a_wrong_token_is_not_told_to_the_caller(server: HttpServer, tmp_path: Path) -> None:
    async with running(make_worker(settings(server, token="wrong-token"), guard()), database=tmp_path) as bench:
        with pytest.raises(RemoteError) as caught:
            await search(bench)
        assert caught.value.code == "unavailable"
        assert "wrong-token" not in str(caught.value)


async def test_a_private_address_has_to_be_allowed(server: HttpServer, tmp_path: Path) -> None:
    from perhop.tools.guard import Guard

    reso = settings(server, url=f"http://127.0.0.1:{server.port}/odata")
    async with running(make_worker(reso, Guard()), database=tmp_path) as bench:
        with pytest.raises(RemoteError):
            await search(bench)
    assert server.seen == []
