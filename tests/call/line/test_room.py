"""What clients say while no session hears it: as much as is kept for the next one, and no more."""

from __future__ import annotations

import asyncio

import pytest
from tests.call.direct.far import DirectCall
from tests.call.helpers import Follower
from tests.call.line.test_trouble import Desk
from tests.virtual_time import run_virtual

from perhop.call.direct.line import DirectLimits
from perhop.call.line.journal import MAX_EVENTS
from perhop.call.line.room import MAX_BYTES, Room
from perhop.models.steps import call, in_turn, say
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ConversationItemCreate,
    InputAudioBufferAppend,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    SessionUpdate,
)
from perhop.realtime.items import ContentPart, FunctionCallOutputItem, MessageItem
from perhop.tools.tool import tool

MIB = 1 << 20


def create(text: str, event_id: str | None = None) -> ConversationItemCreate:
    part = ContentPart(type="input_text", text=text)
    return ConversationItemCreate(event_id=event_id, item=MessageItem(role="user", content=[part]))


def test_room_is_limited_by_size_and_by_number() -> None:
    room = Room(3)
    room.begin([create("x" * (MAX_BYTES - 2 * MIB))])
    room.take(create("x" * MIB))
    with pytest.raises(ProtocolError) as refused:
        room.take(create("x" * MIB, "mine"))
    assert (refused.value.code, refused.value.event_id) == ("event_backlog_exceeded", "mine")
    room.take(create("something short"))
    with pytest.raises(ProtocolError):
        room.take(create("one too many"))
    room.begin()
    room.take(create("x" * MIB))


def test_a_client_who_says_too_much_in_a_gap_is_told_and_nothing_else_is_lost() -> None:
    async def scenario() -> None:
        @tool(effect="none")
        async def look_up() -> str:
            """Looks something up."""
            await asyncio.sleep(2)
            return "found"

        desk = Desk([call("look_up")], [say("It is there.", ms=300)], tools={"look_up": look_up})
        follower = Follower()
        desk.call.attach(follower)
        desk.ask("where is it")
        await asyncio.sleep(0.5)
        desk.broken = True
        desk.models[0].kill()
        for number in range(MAX_EVENTS + 10):
            desk.call.on_controller_event(follower, create("more", f"mine {number}"))
        errors = follower.errors()
        assert {error.code for error in errors} == {"event_backlog_exceeded"}
        assert [error.event_id for error in errors] == [f"mine {MAX_EVENTS + n}" for n in range(10)]
        assert "error" not in desk.caller.types(), "the caller did nothing wrong"
        desk.call.on_controller_event(follower, ResponseCancel())
        desk.call.on_controller_event(follower, InputAudioBufferAppend(audio="AAAA"))
        assert len(follower.errors()) == 10, "of what does not wait any number may come"
        await asyncio.sleep(2)
        desk.broken = False
        await asyncio.sleep(10)
        items = desk.models[-1].server.items
        assert [item.output for item in items if isinstance(item, FunctionCallOutputItem)] == ['"found"']
        assert sum(item.text() == "more" for item in items) == MAX_EVENTS
        desk.call.on_controller_event(follower, create("and more"))
        assert len(follower.errors()) == 10, "there is room again"

    run_virtual(scenario())


def test_a_client_fills_no_memory_whatever_it_says() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.models[0].kill()
        text = "x" * (4 * MIB)
        for _ in range(4):
            desk.call.on_caller_event(create(text))
            desk.call.on_caller_event(ResponseCreate(response=ResponseParams(instructions=text)))
            desk.call.on_caller_event(SessionUpdate(session={"type": "realtime", "instructions": text}))
        assert desk.caller.types().count("error") == 5

    run_virtual(scenario())


def test_a_direct_call_keeps_as_much_while_its_sideband_is_away() -> None:
    async def scenario() -> None:
        most = DirectLimits().held
        desk = await DirectCall(in_turn([say("Hello.")])).answered()
        follower = Follower()
        desk.call.attach(follower)
        desk.far.refuses = True
        desk.far.cut()
        for number in range(most + 1):
            desk.call.on_controller_event(follower, create(f"note {number}"))
        assert [error.code for error in follower.errors()] == ["event_backlog_exceeded"]
        desk.far.refuses = False
        await asyncio.sleep(2)
        assert desk.far.said()[-1] == f"note {most - 1}"
        desk.call.on_controller_event(follower, create("one more"))
        assert len(follower.errors()) == 1

    run_virtual(scenario())
