"""The JavaScript in the README does what it is there for; only the server's address is another one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page
from tests.browser.server import Server
from tests.clients.js.run import script_in_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

README = Path(__file__).parents[3] / "README.md"
ADDRESS = "127.0.0.1:8080"


def snippet(*, that_has: str) -> str:
    """The one block of JavaScript with these words."""
    [found] = [code for code in re.findall(r"```js\n(.*?)```", README.read_text(), re.DOTALL) if that_has in code]
    return found


async def test_an_agent_with_a_tool_of_its_own_prints_the_answer(server: Server) -> None:
    code = snippet(that_has="@openai/agents/realtime")
    assert ADDRESS in code
    end = 'session.on("agent_end", (_context, _agent, words) => words && process.exit());'
    printed = await script_in_node(code.replace(ADDRESS, server.url.removeprefix("http://")) + end)
    assert printed.strip() == "It is sunny in Oakland."


@pytest.mark.browser
async def test_a_page_without_any_package_hears_the_agent(server: Server, quiet_page: Page) -> None:
    await quiet_page.goto(f"{server.url}/web/plain.html")
    code = snippet(that_has="new RTCPeerConnection()")
    await quiet_page.evaluate(f"async () => {{ {code}; window.peer = peer; }}")
    await quiet_page.wait_for_function("() => document.querySelector('audio').currentTime > 1", timeout=10_000)
    greeted = "() => recorder.events.some(({ type }) => type === 'output_audio_buffer.started')"
    assert await quiet_page.evaluate(greeted)
    await quiet_page.evaluate("() => peer.close()")
