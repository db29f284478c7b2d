"""When something is missing or refused the page says what and what to do, and goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiortc import RTCPeerConnection, RTCSessionDescription
from playwright.async_api import Browser, Page, Route, expect
from tests.browser.chromium import open_page
from tests.browser.offline import ORIGIN, serve_offline

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """The demo page in a browser without a microphone, no server behind it; errors on the console are expected here."""
    async with open_page(browser) as (page, _errors):
        yield page


async def open_demo(page: Page, answers: dict[str, tuple[int, object] | None] | None = None) -> None:
    await serve_offline(page, answers)
    await page.goto(f"{ORIGIN}/demo")


async def expect_problem(page: Page, title: str, advice: str) -> None:
    problem = page.get_by_role("alert")
    await expect(problem).to_contain_text(title)
    await expect(problem).to_contain_text(advice)


async def test_without_a_microphone_the_page_offers_to_call_and_type(page: Page) -> None:
    await open_demo(page)
    await page.get_by_role("button", name="Call", exact=True).click()
    await expect_problem(page, "No microphone was found", "call without a microphone and type")
    await expect(page.get_by_role("alert").get_by_role("button", name="Call without microphone")).to_be_visible()
    await expect(page.get_by_role("button", name="Call", exact=True)).to_be_enabled()


async def test_a_blocked_microphone_is_told_from_a_missing_one(page: Page) -> None:
    refuse = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
    await page.add_init_script(refuse)
    await open_demo(page)
    await page.get_by_role("button", name="Call", exact=True).click()
    await expect_problem(page, "The microphone is blocked", "Allow the microphone for this site")


async def test_an_insecure_page_says_that_https_or_localhost_is_needed(page: Page) -> None:
    await page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined });")
    await open_demo(page)
    await page.get_by_role("button", name="Call", exact=True).click()
    await expect_problem(page, "may not use the microphone", "https:// and on localhost")


async def test_a_server_that_is_away_can_be_asked_again(page: Page) -> None:
    await open_demo(page, {"/api/agents": None})
    await expect_problem(page, "Perhop cannot be reached", "Check that the server is running")
    await expect(page.get_by_role("button", name="Call", exact=True)).to_be_disabled()

    await page.unroute_all()
    await serve_offline(page)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("button", name="Call", exact=True)).to_be_enabled()
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_refused_token_shows_the_server_s_own_words(page: Page) -> None:
    refusal = {"error": {"message": "tokens.allowed_origins does not name this page", "code": "forbidden"}}
    await open_demo(page, {"/api/realtime/token": (403, refusal)})
    await page.get_by_role("button", name="Call without microphone").click()
    await expect_problem(page, "gave no token", "403: tokens.allowed_origins does not name this page")


async def test_a_refused_call_shows_the_server_s_own_words(page: Page) -> None:
    refusal = {"error": {"message": "the secret was used already", "code": "invalid_api_key"}}
    await open_demo(page, {"/v1/realtime/calls": (401, refusal)})
    await page.get_by_role("button", name="Call without microphone").click()
    await expect_problem(page, "The server refused the call", "401: the secret was used already")


async def test_an_error_page_of_a_proxy_is_not_shown_as_text(page: Page) -> None:
    await open_demo(page, {"/v1/realtime/calls": (502, "<html><h1>Bad gateway</h1></html>")})
    await page.get_by_role("button", name="Call without microphone").click()
    await expect(page.locator("#problem-detail")).to_have_text("502")


async def answer_and_vanish(route: Route) -> None:
    """Answers an offer as a server does whose media port nobody can reach."""
    peer = RTCPeerConnection()
    await peer.setRemoteDescription(RTCSessionDescription(route.request.post_data or "", "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    sdp = peer.localDescription.sdp
    await peer.close()
    await route.fulfill(status=201, body=sdp, headers={"location": "/v1/realtime/calls/rtc_test"})


async def test_a_media_path_that_does_not_come_up_is_given_up_after_fifteen_seconds(page: Page) -> None:
    await page.clock.install()
    await open_demo(page)
    await page.route("**/v1/realtime/calls", answer_and_vanish)
    await page.get_by_role("button", name="Call without microphone").click()
    await expect(page.get_by_text("Finding the way for the audio")).to_be_visible()
    await page.clock.fast_forward(15_500)
    await expect_problem(page, "No way through for the audio", "Check the firewall")


async def test_a_call_can_be_cancelled_while_it_connects_without_an_error(page: Page) -> None:
    await open_demo(page)
    await page.route("**/v1/realtime/calls", answer_and_vanish)
    await page.get_by_role("button", name="Call without microphone").click()
    await expect(page.get_by_text("Finding the way for the audio")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#state")).to_have_text("Ready to call")
    await expect(page.get_by_role("alert")).to_be_hidden()
    await expect(page.get_by_role("button", name="Call", exact=True)).to_be_focused()
    assert await page.evaluate("() => window.recorder.peers.every((peer) => peer.connectionState === 'closed')")
