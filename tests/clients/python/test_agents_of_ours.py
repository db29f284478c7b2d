"""``openai-agents`` towards an agent that Perhop fixes: what is locked stays, tools of both sides work side by side."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from agents import function_tool
from agents.realtime import RealtimeAgent
from tests.browser.server import Server
from tests.clients.python.talk import talk

RECEPTION = "model=gpt-realtime&agent=reception"
GREETING = "Good day, this is the front desk. How can I help you?"


@function_tool
def find_weather(city: Literal["Oakland", "Berkeley"]) -> str:
    """Finds the weather in a city."""
    return f"It is sunny in {city}."


@pytest.fixture
def guide() -> RealtimeAgent[Any]:
    return RealtimeAgent(name="Guide", instructions="You are Ada.", tools=[find_weather])


async def test_what_is_locked_stays_and_nothing_is_refused(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with talk(server, guide, query=RECEPTION) as call:
        assert await call.answer() == GREETING
        session = call.frames("session.updated")[-1]["session"]
        assert session["instructions"].strip().startswith("You are the front desk")
        assert session["audio"]["output"]["voice"] == "cedar"
        names = [tool["name"] for tool in session["tools"]]
        assert {"opening_hours", "directions"} < set(names)
        assert names[-1] == "find_weather"


async def test_the_clients_tools_are_run_by_the_client(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with talk(server, guide, query=RECEPTION) as call:
        assert await call.answer() == GREETING
        await call.session.send_message("What is the weather in Oakland")
        assert (await call.event("tool_end")).output == "It is sunny in Oakland."
        assert await call.answer() == "It is sunny in Oakland."


async def test_our_tools_are_run_here_and_the_librarys_complaint_changes_nothing(
    server: Server, guide: RealtimeAgent[Any]
) -> None:
    async with talk(server, guide, query=RECEPTION, errors=2) as call:
        assert await call.answer() == GREETING
        await call.session.send_message("When are you open on Friday?")
        answer = await call.answer()
        assert "Friday" in answer
        outputs = [
            frame["item"]["output"]
            for frame in call.frames("conversation.item.done")
            if frame["item"]["type"] == "function_call_output"
        ]
        assert len(outputs) == 1
        assert "not found" not in outputs[0]
        # The library runs every call it sees: of a tool it does not know it tells the application, then the model.
        call.rewind()
        assert (await call.event("error")).error == {"message": "Tool opening_hours not found"}
        refused = (await call.event("error")).error
        assert (refused.code, refused.param) == ("invalid_value", "item.call_id")
