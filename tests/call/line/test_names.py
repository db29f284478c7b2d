"""Names that are longer than some servers take do not cost the conversation when such a server takes over."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from tests.call.helpers import Caller, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason
from perhop.call.line.rebuild import short
from perhop.call.manager import CallManager
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import call, in_turn, say
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemTruncate,
    ErrorEvent,
    ResponseCreate,
    parse_client_event,
)
from perhop.realtime.items import ITEM_ID_MAX, ContentPart, FunctionCallItem, FunctionCallOutputItem, MessageItem
from perhop.tools.runner import ToolRunner
from perhop.tools.tool import tool


class Strict(ScriptedModel):
    """Sees every event as it would be on a wire."""

    def send(self, event: ClientEvent) -> None:
        super().send(parse_client_event(event.to_json()))

    def lose(self) -> None:
        sink = self.sink
        self.close()
        sink.on_model_closed(EndReason.MODEL_FAILED, "gone", fatal=True)


def long_names() -> Callable[[str], str]:
    numbers = itertools.count()
    return lambda prefix: f"{prefix}{next(numbers):040d}"


@tool(effect="none")
async def look_up() -> str:
    """Looks."""
    await asyncio.sleep(5)
    return "found"


class Desk:
    """A call at a server with long names, which is lost, and then at one that takes short ones only."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        script = in_turn([say("Forty two.", ms=1_000)], [call("look_up")], then=[say("There.", ms=100)])
        self.first = Strict(script, clock=loop.time, wall=loop.time, new_id=long_names())
        self.second = Strict(script, clock=loop.time, wall=loop.time)
        manager = CallManager(
            {
                "a": ModelKind(lambda: self.first, name="a", remote=True),
                "b": ModelKind(lambda: self.second, name="b", remote=True),
            },
            ToolRunner(),
            clock=loop.time,
            wall=loop.time,
            new_id=counting_ids(),
        )
        self.caller = Caller()
        agent = Agent(name="x", model="a", fallback_models=("b",), tools={"look_up": look_up})
        self.call: Call = manager.start(self.caller, agent=agent, session={}, tenant="t")
        self.call.on_caller_ready()

    async def ask(self, name: str) -> None:
        part = ContentPart(type="input_text", text="hello")
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(id=name, role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())
        await asyncio.sleep(1)
        self.caller.tick(100)

    def errors(self) -> list[ErrorEvent]:
        return [event for event in self.caller.received if isinstance(event, ErrorEvent)]


def test_the_conversation_a_running_tool_and_what_clients_name_go_on() -> None:
    async def scenario() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        await desk.ask("one")
        await desk.ask("two")
        answer = next(item for item in desk.call.history.items if isinstance(item, MessageItem) and item.id != "one")
        assert answer.id is not None
        assert len(answer.id) > ITEM_ID_MAX
        desk.first.lose()
        await asyncio.sleep(10)
        told = desk.second.server.items
        expected = ["message"] * 3 + ["function_call", "function_call_output", "message"]
        assert [item.type for item in told] == expected
        [asked] = [item for item in told if isinstance(item, FunctionCallItem)]
        [output] = [item for item in told if isinstance(item, FunctionCallOutputItem)]
        assert asked.call_id == output.call_id
        assert len(asked.call_id) <= ITEM_ID_MAX

        cut = ConversationItemTruncate(item_id=answer.id, content_index=0, audio_end_ms=900)
        desk.call.on_caller_event(cut)
        desk.call.on_caller_event(ConversationItemDelete(item_id=answer.id))
        assert desk.call.history.get(answer.id) is None
        assert short(answer.id) not in [item.id for item in desk.second.server.items]
        part = ContentPart(type="input_text", text="and this")
        after = MessageItem(id="three", role="user", content=[part])
        desk.call.on_caller_event(ConversationItemCreate(item=after, previous_item_id=asked_of(desk).id))
        assert "three" in [item.id for item in desk.second.server.items]
        assert not desk.errors()

    run_virtual(scenario())


def asked_of(desk: Desk) -> FunctionCallItem:
    """The function call, as clients know it."""
    return next(item for item in desk.call.history.items if isinstance(item, FunctionCallItem))


@pytest.mark.parametrize("length", [1, ITEM_ID_MAX, ITEM_ID_MAX + 1, 200])
def test_a_short_name_is_the_same_every_time_and_not_another_ones(length: int) -> None:
    name = "x" * length
    assert len(short(name)) <= ITEM_ID_MAX
    assert short(name) != short("y" * length)
    assert (short(name) == name) == (length <= ITEM_ID_MAX)
