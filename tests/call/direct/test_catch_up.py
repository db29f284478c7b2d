"""What is asked of a model after a break, and what of its answers is nobody else's business."""

from __future__ import annotations

from tests.call.helpers import counting_ids

from perhop.call.direct.catch_up import CatchUp
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
)
from perhop.realtime.items import ContentPart, FunctionCallItem, Item, MessageItem


def note(asked: list[ClientEvent]) -> Item:
    [item] = [event.item for event in asked if isinstance(event, ConversationItemCreate)]
    return item


def wanted(asked: list[ClientEvent]) -> list[str]:
    return [event.item_id for event in asked if isinstance(event, ConversationItemRetrieve)]


def added(item: Item, after: str | None) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", item=item, previous_item_id=after)


def retrieved(item: Item) -> ConversationItemRetrieved:
    return ConversationItemRetrieved(event_id="e", item=item)


def call(name: str, status: str = "completed") -> FunctionCallItem:
    return FunctionCallItem.model_validate(
        {"id": name, "status": status, "call_id": f"call_{name}", "name": "f", "arguments": "{}"}
    )


def test_the_newest_item_is_found_by_what_a_note_at_the_end_follows() -> None:
    catching_up = CatchUp(counting_ids())
    item = note(catching_up.begin())
    ours, asked = catching_up.observe(added(item, "item_new"))
    assert ours
    assert [event.item_id for event in asked if isinstance(event, ConversationItemDelete)] == [item.id]
    assert wanted(asked) == ["item_new"]
    assert not catching_up.complete
    assert catching_up.observe(retrieved(call("item_new"))) == (True, [])
    assert catching_up.complete
    assert [item.id for item in catching_up.items] == ["item_new"]


def test_the_note_is_nobodys_business() -> None:
    catching_up = CatchUp(counting_ids())
    item = note(catching_up.begin())
    for event in (
        added(item, None),
        ConversationItemDone(event_id="e", item=item),
        ConversationItemDeleted(event_id="e", item_id=item.id or ""),
    ):
        assert catching_up.observe(event)[0]
    assert not catching_up.observe(added(call("other"), None))[0]


def test_what_is_known_is_not_asked_for_and_what_was_being_made_is() -> None:
    catching_up = CatchUp(counting_ids(), ["making"], {"known"})
    first = catching_up.begin()
    assert wanted(first) == ["making"]
    _, asked = catching_up.observe(added(note(first), "known"))
    assert wanted(asked) == []
    catching_up.observe(retrieved(call("making", "in_progress")))
    assert catching_up.complete
    assert catching_up.live


def test_an_item_that_is_not_there_any_more_holds_nothing_up() -> None:
    catching_up = CatchUp(counting_ids(), ["making"])
    first = catching_up.begin()
    catching_up.observe(added(note(first), None))
    [question] = [event for event in first if isinstance(event, ConversationItemRetrieve)]
    refusal = ProtocolError("item_not_found", "no such item").to_event("e")
    answer = refusal.model_copy(update={"error": refusal.error.model_copy(update={"event_id": question.event_id})})
    assert catching_up.observe(answer) == (True, [])
    assert catching_up.complete
    assert not catching_up.live


def test_audio_is_not_kept() -> None:
    catching_up = CatchUp(counting_ids(), ["spoken"])
    catching_up.begin()
    part = ContentPart(type="output_audio", transcript="Hello.", audio="AAAA")
    catching_up.observe(retrieved(MessageItem(id="spoken", role="assistant", content=[part])))
    [item] = catching_up.items
    assert isinstance(item, MessageItem)
    assert (item.content[0].audio, item.text()) == (None, "Hello.")
