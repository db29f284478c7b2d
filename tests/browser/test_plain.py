"""A plain Realtime page (token, peer connection, `oai-events`, SDP by POST) works with only the address changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from tests.browser.chromium import heard, launch, open_page
from tests.browser.server import Server
from tests.browser.speech import microphone_file

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.integration]


@pytest_asyncio.fixture(loop_scope="module")
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    microphone = tmp_path / "microphone.wav"
    microphone_file(microphone, [(1.0, "Hello, is anybody there?")], seconds=20)
    async with launch(microphone) as browser, open_page(browser) as (page, errors):
        yield page
        assert errors == []


async def test_the_sample_page_opens_a_session_and_gets_a_spoken_answer_to_text(server: Server, page: Page) -> None:
    await page.goto(f"{server.url}/web/plain.html?agent=reception")
    await page.get_by_role("button", name="Start").click()
    log = page.locator("#log")
    await expect(log).to_contain_text("session.created")
    await page.get_by_label("Say by text:").fill("When are you open on Friday?")
    await page.get_by_role("button", name="Send").click()
    for event in ("conversation.item.added", "response.created", "output_audio_buffer.started", "response.done"):
        await expect(log).to_contain_text(event, timeout=10_000)


async def test_what_is_said_into_the_microphone_comes_back_from_the_echo(server: Server, page: Page) -> None:
    await page.goto(f"{server.url}/web/plain.html?agent=echo")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#log")).to_contain_text("session.created")
    await page.wait_for_timeout(4000)
    samples, rate = await heard(page)
    loud = abs(samples.astype(int)) > 1000
    assert loud.sum() > 0.1 * rate
