"""What is said of items while no session has them as they were: the call answers, and the next session knows."""

from __future__ import annotations

import asyncio

import pytest
from tests.call.line.test_trouble import Desk
from tests.virtual_time import run_virtual

from perhop.models.steps import say
from perhop.realtime.events import (
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ErrorEvent,
    OutputAudioBufferClear,
)
from perhop.realtime.items import MessageItem

COUNTED = "one two three four five six seven eight nine ten"
GAP_S = 0.05


async def counted(desk: Desk) -> str:
    """The agent has counted to ten, in less than three seconds; returns the item."""
    desk.ask("count")
    await asyncio.sleep(0.5)
    return desk.call.history.items[-1].id or ""


def truncated(desk: Desk) -> list[int]:
    return [event.audio_end_ms for event in desk.caller.received if isinstance(event, ConversationItemTruncated)]


def errors(desk: Desk) -> list[str]:
    return [event.error.message for event in desk.caller.received if isinstance(event, ErrorEvent)]


def known(desk: Desk) -> str:
    """What the newest session knows the agent to have said last."""
    return desk.models[-1].server.items[-1].text()


def says() -> Desk:
    return Desk([say(COUNTED, ms=2_450)])


@pytest.mark.parametrize("when", ["in the gap", "on its way"])
def test_a_client_cuts_off_what_no_session_has_as_audio(when: str) -> None:
    async def scenario() -> None:
        desk = says()
        item_id = await counted(desk)
        cut = ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=1_000)
        if when == "on its way":
            desk.models[0].deaf = True
            desk.call.on_caller_event(cut)
        desk.models[0].kill()
        if when == "in the gap":
            desk.call.on_caller_event(cut)
        await asyncio.sleep(1)
        assert truncated(desk) == [1_000]
        assert known(desk).startswith("one two")
        assert "ten" not in known(desk)
        desk.models[-1].kill()
        await asyncio.sleep(1)
        assert "ten" not in known(desk), "nor is it said to any further session"
        assert errors(desk) == []

    run_virtual(scenario())


def test_who_silences_the_agent_in_a_gap_is_believed() -> None:
    async def scenario() -> None:
        desk = says()
        await counted(desk)
        desk.caller.tick(50)
        desk.broken = True
        desk.models[0].kill()
        await asyncio.sleep(GAP_S)
        desk.call.on_caller_event(OutputAudioBufferClear())
        assert truncated(desk) == [1_000], "at once"
        desk.broken = False
        await asyncio.sleep(5)
        assert "ten" not in known(desk)
        assert errors(desk) == []

    run_virtual(scenario())


@pytest.mark.parametrize("when", ["in the gap", "on its way"])
def test_an_item_is_retrieved_as_it_was_said(when: str) -> None:
    async def scenario() -> None:
        desk = says()
        item_id = await counted(desk)
        desk.models[0].deaf = True
        if when == "in the gap":
            desk.models[0].kill()
        desk.call.on_caller_event(ConversationItemRetrieve(item_id=item_id))
        desk.models[0].kill()
        await asyncio.sleep(1)
        (event,) = [event for event in desk.caller.received if isinstance(event, ConversationItemRetrieved)]
        assert isinstance(event.item, MessageItem)
        assert [part.type for part in event.item.content] == ["output_audio"]

    run_virtual(scenario())


def test_what_is_wrong_is_refused_all_the_same() -> None:
    async def scenario() -> None:
        desk = says()
        item_id = await counted(desk)
        asked = desk.call.history.items[0].id or ""
        desk.models[0].kill()
        for of, at_ms in ((item_id, 99_000), (asked, 10), ("item_unknown", 10)):
            desk.call.on_caller_event(ConversationItemTruncate(item_id=of, content_index=0, audio_end_ms=at_ms))
        desk.call.on_caller_event(ConversationItemRetrieve(item_id="item_unknown"))
        await asyncio.sleep(1)
        assert truncated(desk) == []
        assert len(errors(desk)) == 4
        assert known(desk) == COUNTED

    run_virtual(scenario())


def test_what_is_deleted_is_not_there_to_be_retrieved() -> None:
    async def scenario() -> None:
        desk = says()
        item_id = await counted(desk)
        desk.models[0].kill()
        desk.call.on_caller_event(ConversationItemDelete(item_id=item_id))
        desk.call.on_caller_event(ConversationItemRetrieve(item_id=item_id))
        await asyncio.sleep(1)
        assert desk.call.history.get(item_id) is None
        assert "conversation.item.retrieved" not in desk.caller.types()
        assert len(errors(desk)) == 1

    run_virtual(scenario())
