"""Perhop runs the agent's tools, clients run theirs, and the model is asked once when all outputs are in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from tests.virtual_time import run_virtual

from perhop.call.functions import FunctionCalls
from perhop.realtime.events import (
    ConversationItemAdded,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemDone,
)
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem
from perhop.tools.tool import Tool, tool


@tool(effect="none")
def search(city: str) -> str:
    """Searches."""
    return city


TOOLS: Mapping[str, Tool] = {"search": search}


def called(
    name: str, function_call_id: str, *, response: str = "r1", status: str = "completed"
) -> ResponseOutputItemDone:
    item = FunctionCallItem(
        id=f"i_{function_call_id}", call_id=function_call_id, name=name, arguments="{}", status=cast("Any", status)
    )
    return ResponseOutputItemDone(event_id="e", response_id=response, output_index=0, item=item)


def done(response: str = "r1") -> ResponseDone:
    return ResponseDone(event_id="e", response=Response(id=response))


class Desk:
    """Function calls whose runs the test lets finish one by one."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.answers: list[list[str]] = []
        self.calls = FunctionCalls(lambda: TOOLS, self.run, self.answers.append)

    async def run(self, tool: Tool, item: FunctionCallItem) -> str:
        gate = self.gates.setdefault(item.call_id or "", asyncio.Event())
        await gate.wait()
        return f"out_{item.call_id}"

    async def finish(self, function_call_id: str) -> None:
        await asyncio.sleep(0)
        self.gates[function_call_id].set()
        await asyncio.sleep(1)


def test_the_model_is_asked_once_for_all_calls_of_a_response() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("search", "c1"))
        desk.calls.observe(called("search", "c2"))
        desk.calls.observe(done())
        await desk.finish("c2")
        assert desk.answers == []
        await desk.finish("c1")
        assert desk.answers == [["out_c2", "out_c1"]]

    run_virtual(scenario())


def test_a_result_that_comes_before_the_response_is_done_waits_for_it() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("search", "c1"))
        await desk.finish("c1")
        assert desk.answers == []
        desk.calls.observe(done())
        assert desk.answers == [["out_c1"]]

    run_virtual(scenario())


def test_a_call_of_a_client_tool_is_left_to_the_client() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("theirs", "c1"))
        desk.calls.observe(done())
        await asyncio.sleep(1)
        assert not desk.calls.owns("c1")
        assert desk.answers == []

    run_virtual(scenario())


def test_with_a_client_call_in_the_same_response_the_client_asks() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("search", "c1"))
        desk.calls.observe(called("theirs", "c2"))
        desk.calls.observe(done())
        await desk.finish("c1")
        assert desk.answers == []

    run_virtual(scenario())


def test_a_client_that_has_still_to_answer_counts_as_running_until_the_conversation_goes_on() -> None:
    async def scenario() -> None:
        desk = Desk()
        for response in ("r1", "r2"):
            for call in ("a", "b"):
                desk.calls.observe(called("clients", f"{response}{call}", response=response))
            desk.calls.observe(done(response))
            assert desk.calls.running
            desk.calls.client_answered(f"{response}a")
            assert desk.calls.running
            desk.calls.client_answered(f"{response}b")
            assert not desk.calls.running
        desk.calls.observe(called("clients", "never", response="r3"))
        desk.calls.observe(done("r3"))
        assert desk.calls.running
        desk.calls.observe(ResponseCreated(event_id="e", response=Response(id="r4")))
        assert not desk.calls.running
        assert desk.answers == []

    run_virtual(scenario())


def test_a_call_that_was_cut_off_is_not_run() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("search", "c1", status="incomplete"))
        desk.calls.observe(done())
        await asyncio.sleep(1)
        assert not desk.calls.owns("c1")
        assert desk.gates == {}

    run_virtual(scenario())


def test_an_event_seen_twice_runs_its_call_once() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("search", "c1"))
        desk.calls.observe(called("search", "c1"))
        assert desk.calls.started == 1
        desk.calls.close()

    run_virtual(scenario())


def test_hanging_up_cancels_what_runs() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("search", "c1"))
        await asyncio.sleep(0)
        desk.calls.close()
        await asyncio.sleep(1)
        assert desk.answers == []
        assert len(asyncio.all_tasks()) == 1

    run_virtual(scenario())


def test_a_call_found_later_runs_once_and_is_answered_by_itself() -> None:
    async def scenario() -> None:
        desk = Desk()
        found = called("search", "c1").item
        assert isinstance(found, FunctionCallItem)
        desk.calls.found(found)
        desk.calls.found(found)
        desk.calls.observe(called("search", "c1"))
        await desk.finish("c1")
        assert desk.answers == [["out_c1"]]
        assert desk.calls.started == 1

    run_virtual(scenario())


def test_a_call_found_unfinished_or_of_a_clients_tool_is_left_alone() -> None:
    async def scenario() -> None:
        desk = Desk()
        for event in (called("search", "c1", status="in_progress"), called("theirs", "c2")):
            assert isinstance(event.item, FunctionCallItem)
            desk.calls.found(event.item)
        assert desk.calls.started == 0
        assert not desk.calls.running

    run_virtual(scenario())


def test_an_output_a_client_gave_the_model_without_us_counts_as_given() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.calls.observe(called("theirs", "c1"))
        desk.calls.observe(called("search", "c2"))
        desk.calls.observe(done())
        output = FunctionCallOutputItem(id="o1", call_id="c1", output="done")
        desk.calls.observe(ConversationItemAdded(event_id="e", item=output))
        await desk.finish("c2")
        assert desk.answers == [["out_c2"]], "nobody else will ask"

    run_virtual(scenario())
