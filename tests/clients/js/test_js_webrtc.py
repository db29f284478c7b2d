"""Both packages over WebRTC, in Chromium, on a page of another origin; and servers that join such a call by its id."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Literal

import pytest
from playwright.async_api import Page
from tests.browser.chromium import heard, open_page
from tests.browser.server import Server
from tests.clients.js.run import in_node

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

LOUD = 1000
"""Of 32,767: louder than any noise of the codec."""


async def webrtc(page: Page, name: str, **options: Any) -> Any:
    """Runs a step of ``webrtc.mjs`` in the page."""
    return await page.evaluate("([name, options]) => window.clients.webrtc[name](options)", [name, options])


async def start(page: Page, server: Server, package: Literal["Agents", "OpenAI"]) -> str:
    """A call from the page, with a secret that the `openai` package minted in node; the call's id."""
    minted = await in_node("openai", "mint", url=server.url)
    started = await webrtc(page, f"callWith{package}", url=server.url, secret=minted["secret"])
    assert re.fullmatch(r"rtc_[\w-]+", started["callId"])
    # @openai/agents waits 5 s for session.updated, then goes on without.
    assert started["connectMs"] < 4_000
    return started["callId"]


def assert_clean(report: dict[str, Any]) -> None:
    """Every frame had the shape the package knows, and neither side complained."""
    assert (report["offences"], report["errors"], report["troubles"]) == ([], [], [])


async def seconds_heard(page: Page) -> float:
    """How much sound the page has received."""
    samples, rate = await heard(page)
    return float((abs(samples.astype(int)) > LOUD).sum()) / rate


async def until_heard(page: Page, seconds: float) -> None:
    """Waits until the page has received this much sound since it was opened."""
    async with asyncio.timeout(10):
        while await seconds_heard(page) < seconds:  # noqa: ASYNC110 - the page cannot tell us
            await asyncio.sleep(0.1)


async def test_agents_hears_the_microphone_runs_its_tool_answers_aloud_and_lets_itself_be_interrupted(
    server: Server, speaking_page: Page
) -> None:
    await start(speaking_page, server, "Agents")
    report = await webrtc(speaking_page, "spokenTurnAndBargeIn")
    assert_clean(report)
    assert report["asked"] == [{"city": "Oakland"}, {"city": "Berkeley"}], report["history"]
    assert await seconds_heard(speaking_page) > 0.5
    stopped = await webrtc(speaking_page, "stopButton")
    assert_clean(stopped)
    assert stopped["counts"]["output_audio_buffer.cleared"] == 2
    await webrtc(speaking_page, "hangUp")


async def test_openai_asks_in_writing_and_is_answered_aloud(server: Server, quiet_page: Page) -> None:
    before = await seconds_heard(quiet_page)
    await start(quiet_page, server, "OpenAI")
    report = await webrtc(quiet_page, "writtenQuestion")
    assert_clean(report)
    await until_heard(quiet_page, before + 0.2)
    await webrtc(quiet_page, "hangUp")


async def test_servers_join_a_page_s_call_with_a_tool_of_their_own_silence_it_and_end_it(
    server: Server, quiet_page: Page
) -> None:
    before = await seconds_heard(quiet_page)
    call_id = await start(quiet_page, server, "OpenAI")
    address = f"{server.url.replace('http', 'ws')}/v1/realtime"
    asking = await in_node("sideband", "ask", url=address, callId=call_id)
    assert_clean(asking)
    assert asking["asked"] == [{"city": "Berkeley"}]
    assert asking["counts"]["session.created"] == 1
    assert "response.output_audio.delta" not in asking["counts"]
    await until_heard(quiet_page, before + 0.2)
    assert_clean(await in_node("sideband", "interrupt", url=address, callId=call_id))
    assert_clean(await webrtc(quiet_page, "silenced"))
    await in_node("openai", "hangUp", url=server.url, callId=call_id)
    ended = await webrtc(quiet_page, "ended")
    assert_clean(ended)
    assert ended["reason"] == "remote"


async def test_a_page_of_another_origin_reads_why_its_call_was_refused(
    server: Server, application: str, quiet_page: Page
) -> None:
    browser = quiet_page.context.browser
    assert browser is not None
    async with open_page(browser) as (page, complaints):
        await page.goto(application)
        why = await webrtc(page, "refused", url=server.url)
    assert why == (
        "Realtime call request failed with status 401: This client secret is unknown or has expired; fetch a new one."
    )
    assert ["401" in complaint for complaint in complaints] == [True]
