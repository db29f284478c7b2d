"""The network goes away under a call: the page says so, comes back to the same call, and the conversation goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from tests.browser.chromium import open_page
from tests.browser.server import Server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.integration]

AWAY_S = 30
"""A browser takes some seconds to believe it."""


class _Out(asyncio.DatagramProtocol):
    """One browser socket's way to the server."""

    def __init__(self, relay: Relay, address: Any) -> None:
        self._relay = relay
        self._address = address

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._relay.to_browser(data, self._address)


class Relay(asyncio.DatagramProtocol):
    """A network between the browser and the media port, which can be cut."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._ways: dict[Any, asyncio.Task[asyncio.DatagramTransport]] = {}
        self.cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.cut:
            return
        way = self._ways.get(addr)
        if way is None:
            way = self._ways[addr] = asyncio.get_running_loop().create_task(self._open(addr))
        way.add_done_callback(lambda done: done.result().sendto(data))

    def to_browser(self, data: bytes, address: Any) -> None:
        if not self.cut:
            self._transport.sendto(data, address)

    async def _open(self, address: Any) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Out(self, address), remote_addr=self._server)
        return transport

    async def close(self) -> None:
        self._transport.close()
        for way in self._ways.values():
            (await way).close()


class Network:
    """What lies between a page and its server: every answer to an offer leads through a relay."""

    def __init__(self) -> None:
        self._relays: list[Relay] = []
        self.answers: list[str] = []
        self.call_id = ""
        self.refuse = 0
        """Offers to come that will not get through."""

    @asynccontextmanager
    async def between(self, page: Page) -> AsyncIterator[None]:
        await page.route(re.compile(r"/v1/realtime/calls$|/resume$"), self._carry)
        try:
            yield
        finally:
            for relay in self._relays:
                await relay.close()

    def cut(self) -> None:
        """All that goes over UDP now is lost from here on."""
        for relay in self._relays:
            relay.cut = True

    async def _carry(self, route: Route) -> None:
        if self.answers and self.refuse:
            self.refuse -= 1
            await route.abort("internetdisconnected")
            return
        response = await route.fetch()
        sdp = await response.text()
        found = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", sdp)
        if found is None:
            await route.fulfill(response=response)
            return
        self.answers.append(route.request.url)
        self.call_id = response.headers["location"].rsplit("/", 1)[1]
        loop = asyncio.get_running_loop()
        _, relay = await loop.create_datagram_endpoint(
            lambda: Relay((found[1], int(found[2]))), local_addr=("127.0.0.1", 0)
        )
        self._relays.append(relay)
        others = re.sub(r"a=candidate:.*\r\n", "", sdp)
        candidate = f"a=candidate:1 1 udp 2130706431 127.0.0.1 {relay.port} typ host\r\n"
        sdp = others.replace("a=ice-ufrag", f"{candidate}a=ice-ufrag", 1)
        await route.fulfill(response=response, body=sdp)


@pytest_asyncio.fixture(loop_scope="module")
async def network() -> Network:
    return Network()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: Server, network: Network) -> AsyncIterator[Page]:
    """The demo page in a call over a network that can be cut. What it cannot load then, the browser reports itself."""
    async with open_page(browser) as (page, _), network.between(page):
        await page.goto(f"{server.url}/demo?agent=echo")
        await page.get_by_role("button", name="Call without microphone").click()
        await expect(page.locator("body")).to_have_attribute("data-phase", "call", timeout=15_000)
        yield page
        await page.goto("about:blank")  # with which it hangs up


async def say(page: Page, text: str) -> None:
    """Types something; the echo says it back."""
    await page.get_by_label("Your message to the agent").fill(text)
    await page.keyboard.press("Enter")


def live(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/api/calls").raise_for_status().json()
    return found


async def test_an_agent_that_is_cut_off_is_not_said_to_speak_until_the_browser_notices(
    page: Page, server: Server, network: Network
) -> None:
    await page.goto(f"{server.url}/demo?agent=oneroof")
    await page.get_by_role("button", name="Call without microphone").click()
    await expect(page.locator("#state")).to_have_text(re.compile("is speaking"), timeout=15_000)
    network.refuse = 100
    network.cut()
    await expect(page.locator("#state")).to_have_text("No sound arrives …", timeout=5_000)


async def test_a_reload_hangs_up_and_says_so(page: Page) -> None:
    await page.reload()
    await expect(page.locator("#state")).to_have_text("Call ended")
    await expect(page.locator("#state-hint")).to_contain_text("Reloading the page hung up")
    await page.reload()
    await expect(page.locator("#state")).to_have_text("Ready to call")


async def test_the_page_comes_back_to_its_call_and_keeps_the_conversation(
    page: Page, server: Server, network: Network
) -> None:
    await say(page, "before")
    await expect(page.locator(".entry--agent")).to_have_count(1)
    call_id = network.call_id
    network.refuse = 2
    network.cut()
    await expect(page.locator("#state")).to_have_text("Reconnecting …", timeout=AWAY_S * 1000)
    await expect(page.get_by_label("Your message to the agent")).to_be_disabled()
    await expect(page.locator("#state")).to_have_text("Ready", timeout=AWAY_S * 1000)
    await expect(page.locator("body")).to_have_attribute("data-phase", "call")
    await expect(page.get_by_role("alert")).to_be_hidden()

    await expect(page.locator(".entry--caller")).to_have_count(1)
    await say(page, "after")
    await expect(page.locator(".entry--agent")).to_have_count(2)
    assert network.call_id == call_id, "the same call"
    assert network.answers[-1].endswith(f"/api/calls/{call_id}/resume")
    (call,) = [each for each in live(server) if each["id"] == call_id]
    assert (call["waiting"], call["connected"]) == (False, True)
    states = await page.evaluate("() => window.recorder.peers.map((peer) => peer.connectionState)")
    assert states.count("connected") == 1
    assert set(states) == {"connected", "closed"}


async def test_a_call_that_is_over_by_then_is_over(page: Page, server: Server, network: Network) -> None:
    network.cut()
    async with httpx.AsyncClient(base_url=server.url) as client:
        (await client.post(f"/v1/realtime/calls/{network.call_id}/hangup")).raise_for_status()
    await expect(page.get_by_role("alert")).to_contain_text("The call is over", timeout=AWAY_S * 1000)
    await expect(page.locator("body")).to_have_attribute("data-phase", "after")


async def test_hanging_up_while_it_reconnects_ends_it(page: Page, server: Server, network: Network) -> None:
    network.refuse = 1000
    network.cut()
    await expect(page.locator("#state")).to_have_text("Reconnecting …", timeout=AWAY_S * 1000)
    await page.get_by_role("button", name="Hang up").click()
    await expect(page.locator("#state")).to_have_text("Call ended")
    await expect(page.get_by_role("alert")).to_be_hidden()
    states = await page.evaluate("() => window.recorder.peers.map((peer) => peer.connectionState)")
    assert set(states) == {"closed"}
    while any(each["id"] == network.call_id for each in live(server)):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.05)
