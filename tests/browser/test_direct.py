"""Direct calls from a real browser: its media goes to another Perhop, which is the model; the gateway takes part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Response, expect
from tests.browser.chromium import heard, open_page
from tests.models.brain import ForeseeableBrain
from tests.models.direct import Wire, direct_gateway, through
from tests.models.perhops import KEY, second
from tests.models.test_direct import asks_for_the_hours

from perhop.config import WebRTCSettings

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.integration]

CALL_THE_MODEL = """async () => {
  const { client_secret, perhop } = await (await fetch("/api/realtime/token?agent=desk")).json();
  const peer = new RTCPeerConnection();
  peer.addTransceiver("audio", { direction: "recvonly" });
  const channel = peer.createDataChannel("oai-events");
  const events = [];
  const until = (type) => new Promise((resolve) => channel.addEventListener("message", ({ data }) => {
    const event = JSON.parse(data);
    if (event.type === type) resolve(event);
  }));
  const created = until("session.created");
  await peer.setLocalDescription(await peer.createOffer());
  const headers = { authorization: `Bearer ${client_secret}`, "content-type": "application/sdp" };
  const answer = await fetch(perhop.url, { method: "POST", headers, body: peer.localDescription.sdp });
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  const { session } = await created;
  const done = until("response.done");
  const content = [{ type: "input_text", text: "when are you open?" }];
  channel.send(JSON.stringify({ type: "conversation.item.create", item: { type: "message", role: "user", content } }));
  channel.send(JSON.stringify({ type: "response.create" }));
  const { response } = await done;
  peer.close();
  return { url: perhop.url, instructions: session.instructions, output: response.output[0] };
}"""

PLAYED = """(number) => window.recorder.events
  .filter(({ type }) => type === "output_audio_buffer.stopped").length === number"""


@dataclass
class Desk:
    """A page, the gateway that serves it, and the model behind."""

    page: Page
    url: str
    wire: Wire
    traffic: list[str] = field(default_factory=list)

    async def live(self) -> list[dict[str, Any]]:
        """Live calls of the gateway."""
        async with httpx.AsyncClient() as client:
            return list((await client.get(f"{self.url}/api/calls")).json())

    async def call(self) -> None:
        """Calls without a microphone."""
        await self.page.goto(f"{self.url}/demo?agent=desk")
        await self.page.get_by_role("button", name="Call without microphone").click()
        await expect(self.page.locator("body")).to_have_attribute("data-phase", "call", timeout=15_000)

    async def ask(self) -> None:
        """Types a question."""
        await self.page.get_by_label("Your message to the agent").fill("When are you open?")
        await self.page.keyboard.press("Enter")

    async def until_live(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(await self.live()) != number:
                await self.page.wait_for_timeout(50)


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser, tmp_path: Path) -> AsyncIterator[Desk]:
    """Everything, and every word that the page exchanges over HTTP."""
    brain = ForeseeableBrain(reply=asks_for_the_hours, voice_ms=1_500)
    async with (
        second(tmp_path, brain, webrtc=WebRTCSettings(port=0)) as model,
        through(model) as (reached, wire),
        direct_gateway(tmp_path, reached) as client,
        open_page(browser, ignore_https_errors=True) as (page, errors),
    ):
        desk = Desk(page, str(client.base_url).removesuffix("/v1/"), wire)
        page.on("request", lambda request: desk.traffic.append(_sent(request)))
        page.on("response", lambda response: asyncio.ensure_future(_received(desk, response)))
        yield desk
        assert errors == []
        assert desk.traffic
        assert all(KEY not in text for text in desk.traffic), "the page saw the key"


def _sent(request: Request) -> str:
    return f"{request.url} {request.headers} {request.post_data}"


async def _received(desk: Desk, response: Response) -> None:
    if "/realtime" in response.url:
        desk.traffic.append(f"{response.headers} {await response.text()}")


async def test_a_supervised_call_has_the_agents_tools_and_ends_with_the_page(desk: Desk) -> None:
    await desk.call()
    await expect(desk.page.locator("#line-transport")).to_have_text("media direct, events by WebSocket")
    await desk.ask()
    await expect(desk.page.locator(".entry--tool")).to_have_attribute("data-status", "done", timeout=10_000)
    await expect(desk.page.locator(".entry--agent").last).to_contain_text("On Monday from nine to five.")
    [call] = await desk.live()
    assert (call["transport"], call["agent"], call["tool_calls"], call["epoch"]) == ("direct", "desk", 1, 0)
    await desk.page.wait_for_timeout(1_000)
    samples, rate = await heard(desk.page)
    assert (abs(samples.astype(int)) > 1_000).sum() > 0.3 * rate, "the voice comes from the model"
    await desk.page.get_by_role("button", name="Hang up").click()
    await desk.until_live(0)


async def test_the_sideband_breaks_and_the_page_does_not_notice(desk: Desk) -> None:
    await desk.call()
    for number in (1, 2, 3):
        desk.wire.cut()
        await desk.ask()
        answers = desk.page.locator(".entry--agent", has_text="On Monday")
        await expect(answers).to_have_count(number, timeout=10_000)
        await desk.page.wait_for_function(PLAYED, arg=number)
    [call] = await desk.live()
    assert call["tool_calls"] == 3
    await expect(desk.page.locator(".entry--notice")).to_have_count(0)


async def test_hanging_up_at_the_gateway_ends_the_page_s_call(desk: Desk) -> None:
    await desk.call()
    [call] = await desk.live()
    async with httpx.AsyncClient() as client:
        await client.post(f"{desk.url}/v1/realtime/calls/{call['id']}/hangup")
    await expect(desk.page.locator("body")).not_to_have_attribute("data-phase", "call", timeout=15_000)
    await desk.until_live(0)


async def test_a_page_calls_the_model_itself_with_a_secret_of_the_model(desk: Desk) -> None:
    # Not the demo, whose policy lets it talk to its own server only.
    await desk.page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    await desk.page.goto(f"{desk.url}/healthz")
    told = await desk.page.evaluate(CALL_THE_MODEL)
    assert not told["url"].startswith(desk.url)
    assert told["instructions"] == "You are the front desk."
    assert (told["output"]["type"], told["output"]["name"]) == ("function_call", "opening_hours")
    assert await desk.live() == [], "the gateway has no part in it"
