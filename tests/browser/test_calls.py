"""The page of calls, in a real browser against a real server with a past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect
from tests.browser.chromium import open_page
from tests.browser.server import Server, running_server

from perhop.api.auth import hash_key
from perhop.config import StoreSettings
from perhop.store import Database, upgrade
from perhop.store.models import SCHEMA
from perhop.store.recorder import CallRecord, Recorder

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.integration]

ENDS = ("caller_hangup", "caller_hangup", "tool_hangup", "limit_reached", "caller_hangup", "caller_lost", "crashed")


def past(number: int, now: datetime) -> CallRecord:
    """One of sixty calls over ten days; every figure is made of its number."""
    started = now - timedelta(minutes=7 + 11 * number, hours=number // 8 * 25)
    seconds = 40 + number * 37 % 400
    websocket = number % 5 == 4
    return CallRecord(
        f"rtc_past{number:02}",
        "default",
        "website" if number % 3 else None,
        ("oneroof", "clinic", "reception", None)[number % 4],
        "openai" if number % 3 else "local",
        "websocket" if websocket else "webrtc",
        started,
        ended_at=started + timedelta(seconds=seconds),
        end_reason=ENDS[number % len(ENDS)],
        duration_ms=seconds * 1000,
        turns=seconds // 12,
        responses=seconds // 12,
        interruptions=number % 3,
        tool_calls=number % 4,
        renewals=number % 2,
        input_text_tokens=900 + number * 13,
        input_audio_tokens=seconds * 10,
        cached_text_tokens=700 * (number % 3),
        output_audio_tokens=seconds * 8,
        output_text_tokens=seconds * 2,
        cost=Decimal(seconds) * Decimal("0.00071") if number % 3 else Decimal(0),
        priced=number % 6 != 1,
        rtt_ms=None if websocket else 18.0 + number * 29 % 260,
        jitter_ms=None if websocket else 2.5,
        packets_received=None if websocket else seconds * 50,
        packets_lost=None if websocket else seconds * (number % 7),
    )


async def seed(data: Path) -> None:
    now = datetime.now(UTC)
    db = await Database.open(StoreSettings(), data=data)
    await upgrade(db, SCHEMA)
    recorder = await Recorder.open(db, name="the past")
    for number in range(60):
        recorder.record(past(number, now))
    live = CallRecord(
        "rtc_live", "default", "website", "oneroof", "openai", "webrtc", now - timedelta(seconds=83),
        turns=4, input_audio_tokens=600, output_audio_tokens=410, cost=Decimal("0.0421"), rtt_ms=24.0,
        packets_received=4000, packets_lost=3,
    )  # fmt: skip
    recorder.record(live)
    await recorder.close()
    await db.close()


@pytest.fixture(scope="module")
def calls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with sixty past calls, and one that another process seems to have."""
    data = tmp_path_factory.mktemp("calls")
    asyncio.run(seed(data))
    with running_server(data, "--echo") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def calls(browser: Browser, calls_server: Server) -> AsyncIterator[Page]:
    async with open_page(browser) as (page, errors):
        await page.goto(f"{calls_server.url}/calls")
        await expect(page.get_by_role("table")).to_be_visible()
        yield page
        assert errors == []


def row(page: Page, call_id: str) -> Locator:
    """The row of a call, which is the one before its details."""
    return page.locator(f"tr.call:has(+ tr[id='d-{call_id}'])")


async def test_the_newest_call_comes_first_and_a_live_one_grows_longer(calls: Page) -> None:
    first = calls.locator("tr.call").first
    await expect(first).to_contain_text("oneroof")
    await expect(first).to_contain_text("Live")
    await expect(calls.get_by_role("status")).to_have_text("1 live now")
    length = first.locator("[data-since]")
    before = await length.inner_text()
    await expect(length).not_to_have_text(before, timeout=3000)


async def test_how_a_call_ended_what_it_took_and_how_the_line_was_is_there_at_a_glance(calls: Page) -> None:
    shown = row(calls, "rtc_past05")
    for words in ("Caller lost", "3:45", "$0.160", "163 ms · 9.1 % lost"):
        await expect(shown).to_contain_text(words)
    await expect(shown.locator(".via")).to_have_attribute("data-grade", "poor")
    await expect(row(calls, "rtc_past04").locator(".via")).to_have_attribute("data-grade", "unknown")
    await expect(row(calls, "rtc_past01")).to_contain_text("> $")


async def test_a_call_is_opened_and_closed_by_keyboard_and_stays_open_while_the_page_asks_again(calls: Page) -> None:
    opener = row(calls, "rtc_past01").get_by_role("button")
    details = calls.locator("#d-rtc_past01")
    await expect(details).to_be_hidden()
    await opener.focus()
    async with calls.expect_response("**/api/calls/history?*"):
        await calls.keyboard.press("Enter")
    await expect(opener).to_have_attribute("aria-expanded", "true")
    for words in ("rtc_past01", "website", "913 tokens", "77 of 3927", "a model has no price"):
        await expect(details).to_contain_text(words)
    await expect(opener).to_be_focused()
    await calls.keyboard.press("Enter")
    await expect(details).to_be_hidden()


async def test_today_and_the_days_before_add_up(calls: Page) -> None:
    await expect(calls.locator(".bar")).to_have_count(14)
    today = calls.locator(".bar--today")
    label = await today.get_attribute("aria-label") or ""
    number = await calls.locator("#sum-calls").inner_text()
    assert f"{number} call" in label
    await today.hover()
    await expect(today.locator(".bar__note")).to_have_css("opacity", "1")


async def test_filters_narrow_the_list_and_an_empty_one_says_so(calls: Page) -> None:
    await calls.get_by_label("Agent", exact=True).select_option("clinic")
    await expect(calls.locator("tr.call")).to_have_count(15)
    await calls.get_by_label("State").select_option("live")
    await expect(calls.get_by_text("No call fits these filters.")).to_be_visible()
    await expect(calls.get_by_role("table")).to_be_hidden()


async def test_older_calls_come_when_asked_for_and_stay(calls: Page) -> None:
    await expect(calls.locator("tr.call")).to_have_count(50)
    await calls.get_by_role("button", name="Show older calls").click()
    await expect(calls.locator("tr.call")).to_have_count(61)
    await expect(calls.get_by_role("button", name="Show older calls")).to_be_hidden()
    async with calls.expect_response("**/api/calls/history?*"):
        pass
    await expect(calls.locator("tr.call")).to_have_count(61)


async def test_everything_that_can_be_used_has_a_name(calls: Page) -> None:
    nameless = await calls.evaluate("""() => [...document.querySelectorAll("button, input, select, a, [tabindex]")]
        .filter((element) => !(element.textContent.trim() || element.labels?.length || element.ariaLabel))
        .map((element) => element.outerHTML)""")
    assert nameless == []


@pytest.mark.parametrize("width", [1280, 900, 640, 360])
async def test_nothing_is_wider_than_the_window(calls: Page, width: int) -> None:
    await calls.set_viewport_size({"width": width, "height": 800})
    await row(calls, "rtc_past01").get_by_role("button").click()
    assert await calls.evaluate("document.documentElement.scrollWidth") <= width


async def test_a_server_that_goes_away_is_said_and_its_return_noticed(browser: Browser, calls_server: Server) -> None:
    async with open_page(browser) as (page, _):
        await page.goto(f"{calls_server.url}/calls")
        await expect(page.locator("tr.call")).to_have_count(50)
        await page.route("**/api/calls/history*", lambda route: route.fulfill(status=503, json={}))
        await expect(page.get_by_role("alert")).to_contain_text("Calls cannot be shown right now")
        await expect(page.locator("tr.call")).to_have_count(50)
        await page.unroute_all()
        await expect(page.get_by_role("alert")).to_be_hidden()


async def test_without_a_call_the_page_says_what_will_be_there(browser: Browser, server: Server) -> None:
    async with open_page(browser) as (page, errors):
        await page.route("**/api/calls/history?*", lambda route: route.fulfill(json={"calls": [], "after": None}))
        await page.goto(f"{server.url}/calls")
        await expect(page.get_by_text("No calls yet.")).to_be_visible()
        await page.get_by_role("main").get_by_role("link", name="Call an agent").click()
        await expect(page).to_have_url(f"{server.url}/demo")
        assert errors == []


async def test_while_the_server_has_not_answered_the_page_says_what_it_waits_for(
    browser: Browser, server: Server
) -> None:
    async with open_page(browser) as (page, errors):
        await page.route("**/api/calls/history*", lambda _: None)  # never answered
        await page.route("**/api/calls/history/**", lambda _: None)
        await page.goto(f"{server.url}/calls")
        await expect(page.get_by_text("Asking for the calls …")).to_be_visible()
        await expect(page.get_by_role("heading", name="Today")).to_be_visible()
        await expect(page.get_by_role("main").get_by_role("link", name="Call an agent")).to_be_visible()
        assert errors == []


async def test_where_keys_are_configured_one_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    settings = tmp_path / "perhop.toml"
    settings.write_text(
        f'[[keys]]\nname = "viewer"\nscopes = ["stats"]\nhash = "{hash_key("sk-right")}"\n', encoding="utf-8"
    )
    with running_server(tmp_path, "--config", str(settings)) as running:
        async with open_page(browser) as (page, _):
            await page.goto(f"{running.url}/calls")
            await expect(page.get_by_label("API key")).to_be_focused()
            await page.keyboard.type("sk-wrong")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("alert")).to_contain_text("This key shows no calls")
            await page.get_by_label("API key").fill("sk-right")
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("No calls yet.")).to_be_visible()
            await expect(page.get_by_role("alert")).to_be_hidden()
            assert "sk-right" not in page.url
