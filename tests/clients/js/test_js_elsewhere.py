"""`@openai/agents` at a Perhop that leans on others: MCP servers the client names, and a recogniser that is down."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from tests.browser.server import Server
from tests.clients.js.run import in_node
from tests.tools.mcp.servers import Happened, mcp_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


def forecast(_happened: Happened) -> MCPServer:
    """A server of one tool, which does not know everything."""
    server = MCPServer("forecast", log_level="ERROR")

    @server.tool()
    def get_weather(city: Literal["Oakland", "Berkeley"]) -> str:
        """Tells the weather of a city."""
        if city == "Berkeley":
            raise ToolError("Berkeley has no weather.")
        return f"It is sunny in {city}."

    return server


async def run(name: str, at: Server, **options: Any) -> Any:
    """Runs a scenario of ``agents.mjs`` in node; every frame had the shape the package knows."""
    report = await in_node("agents", name, url=f"{at.url.replace('http', 'ws')}/v1/realtime", **options)
    assert (report["offences"], report["errors"], report["troubles"]) == ([], [], [])
    return report


async def test_an_mcp_server_s_tools_are_listed_and_called_once_the_client_approves(leaning_server: Server) -> None:
    async with mcp_server(forecast) as served:
        report = await run("mcpTools", leaning_server, mcp=served.url)
    assert (report["listed"], report["approved"]) == (["get_weather"], ["get_weather"] * 2)
    answers = [item["text"] for item in report["history"] if item.get("role") == "assistant" and item["text"]]
    assert "It is sunny in Oakland." in answers[0]
    assert "Berkeley has no weather." in answers[-1]


async def test_an_mcp_server_that_does_not_answer_is_told_of(leaning_server: Server) -> None:
    report = await run("mcpServerDown", leaning_server, mcp="http://127.0.0.1:9/mcp")
    assert report["counts"]["mcp_list_tools.failed"] == 1


async def test_words_that_nobody_could_recognise_are_told_of(leaning_server: Server, word: str) -> None:
    report = await run("unheard", leaning_server, speech=word)
    assert report["error"]["message"]
