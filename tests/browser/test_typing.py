"""Without a microphone: the whole of a call by typing, and what becomes of it when the page goes away."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from tests.browser.chromium import heard, open_page
from tests.browser.server import Server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.integration]


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """The demo page in a call that was made without a microphone."""
    async with open_page(browser) as (page, errors):
        await page.goto(f"{server.url}/demo?agent=oneroof")
        await page.get_by_role("button", name="Call without microphone").click()
        await expect(page.locator("body")).to_have_attribute("data-phase", "call", timeout=15_000)
        yield page
        assert errors == []


async def test_the_text_box_is_ready_and_there_is_no_mute_button(page: Page) -> None:
    await expect(page.get_by_label("Your message to the agent")).to_be_focused()
    await expect(page.get_by_role("button", name="Mute")).to_be_hidden()


async def test_a_typed_question_gets_the_tool_and_a_spoken_answer(page: Page) -> None:
    await page.get_by_role("button", name="I'd like to see a two bedroom in Oakland on Friday").click()
    tool = page.locator(".entry--tool")
    await expect(tool).to_have_attribute("data-status", "done", timeout=10_000)
    await expect(tool).to_contain_text("search_listings")
    await expect(tool).to_contain_text("Oakland")
    await expect(page.locator(".entry--agent").last).to_contain_text("Oakland")
    await expect(page.locator("#state")).to_have_text("One Roof is speaking")
    await page.wait_for_timeout(1500)
    samples, rate = await heard(page)
    assert (abs(samples.astype(int)) > 1000).sum() > 0.1 * rate


async def test_typing_while_the_agent_speaks_interrupts_it(page: Page) -> None:
    await expect(page.locator("#state")).to_have_text("One Roof is speaking")
    await page.wait_for_timeout(500)
    await page.get_by_label("Your message to the agent").fill("Do you have a one bedroom in Berkeley?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".entry--agent").first).to_have_attribute("data-status", "interrupted")
    await expect(page.locator(".entry--agent")).to_have_count(2, timeout=10_000)
    await expect(page.locator(".entry--notice")).to_have_count(0)


async def test_a_page_that_is_closed_takes_its_call_along(page: Page, server: Server) -> None:
    assert server.live_calls() >= 1
    lost = server.live_calls(waiting=True)
    await page.goto("about:blank")
    deadline = time.monotonic() + 10
    while server.live_calls() and time.monotonic() < deadline:
        await page.wait_for_timeout(100)
    assert server.live_calls() == 0
    assert server.live_calls(waiting=True) <= lost, "it hung up, and need not be waited for"
