"""`@openai/agents` over WebSocket works with only the address changed, in node and in a browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page
from tests.browser.server import Server
from tests.clients.js.run import in_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

Run = Callable[..., Awaitable[Any]]

IN_PAGE = "([name, options]) => window.clients.agents[name](options)"


@pytest.fixture(params=["node", pytest.param("page", marks=pytest.mark.browser)])
def run(request: pytest.FixtureRequest, server: Server) -> Run:
    """Runs a scenario of ``agents.mjs`` against the server, in node or in a page."""
    address = f"{server.url.replace('http', 'ws')}/v1/realtime?model=gpt-realtime"
    page: Page | None = request.getfixturevalue("quiet_page") if request.param == "page" else None

    async def go(name: str, *, agent: str | None = None, **options: Any) -> Any:
        options["url"] = address if agent is None else f"{address}&agent={agent}"
        return await (in_node("agents", name, **options) if page is None else page.evaluate(IN_PAGE, [name, options]))

    return go


def assert_clean(report: dict[str, Any]) -> None:
    """Every frame had the shape the package knows, and neither side complained."""
    assert report["counts"]["session.created"] == 1
    assert (report["offences"], report["errors"], report["troubles"]) == ([], [], [])


async def test_a_text_turn_is_answered_in_text(run: Run) -> None:
    report = await run("textTurn")
    assert_clean(report)
    asked, answer = report["history"]
    assert (asked["role"], asked["text"]) == ("user", "Hello")
    assert (answer["role"], answer["status"]) == ("assistant", "completed")
    assert answer["text"].startswith("Hello!")
    assert report["audioBytes"] == 0
    assert report["inputTokens"] > 0
    assert report["outputTokens"] > 0
    assert report["noticed"] == ["agent_start", "agent_end"]


async def test_a_spoken_question_is_heard_runs_the_client_s_tool_and_is_answered_aloud(run: Run, question: str) -> None:
    report = await run("audioTurn", speech=question)
    assert_clean(report)
    heard, called, answer = report["history"]
    assert "berkeley" in heard["text"].lower()
    assert (called["name"], called["status"]) == ("get_weather", "completed")
    assert answer["text"].startswith("It is sunny in Berkeley.")
    assert report["audioBytes"] > 5 * 48_000


async def test_a_written_question_runs_the_client_s_tool(run: Run) -> None:
    report = await run("toolCall")
    assert_clean(report)
    assert report["asked"] == [{"city": "Oakland"}]
    assert report["history"][-1]["text"].startswith("It is sunny in Oakland.")
    assert [name for name in report["noticed"] if "tool" in name] == ["agent_tool_start", "agent_tool_end"]


async def test_one_agent_hands_over_to_another_whose_tool_then_answers(run: Run) -> None:
    report = await run("handoff")
    assert_clean(report)
    assert report["agents"] == [["Reception", "Weather"]]
    assert report["asked"] == [{"city": "Oakland"}]
    assert report["history"][-1]["text"].startswith("It is sunny in Oakland.")


async def test_who_talks_over_an_answer_cuts_it_and_is_answered(run: Run, question: str) -> None:
    report = await run("bargeIn", speech=question)
    assert_clean(report)
    assert report["noticed"].count("audio_interrupted") == 1
    assert report["counts"]["conversation.item.truncated"] == 1
    assert 0 <= report["audioEndMs"] < 5_000
    assert report["history"][-1]["text"].startswith("It is sunny in Berkeley.")


async def test_tools_of_the_server_s_agent_run_there_and_the_client_s_excuse_for_not_having_them_changes_nothing(
    run: Run,
) -> None:
    report = await run("agentOfTheServer", agent="oneroof")
    assert report["offences"] == []
    assert [error["code"] for error in report["errors"]] == ["invalid_value"]
    assert report["troubles"][0] == "Tool search_listings not found"
    assert "I have three two bedroom homes in Oakland." in report["history"][-1]["text"]
