"""What was under way when a sideband was lost is known: what to send again, and which items to ask for."""

from __future__ import annotations

from tests.call.helpers import counting_ids

from perhop.call.direct.ledger import MAX_UNSETTLED, Ledger
from perhop.realtime.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorDetail,
    ErrorEvent,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
)
from perhop.realtime.items import ContentPart, MessageItem


def item(text: str, item_id: str | None = None) -> MessageItem:
    return MessageItem(id=item_id, role="user", content=[ContentPart(type="input_text", text=text)])


def note(text: str) -> ConversationItemCreate:
    return ConversationItemCreate(item=item(text))


def acknowledged(given: ConversationItemCreate) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", item=given.item)


def giving(ledger: Ledger, text: str) -> ConversationItemCreate:
    given = ledger.given(note(text))
    assert isinstance(given, ConversationItemCreate)
    return given


def test_only_what_was_not_acknowledged_is_repeated_and_under_its_own_id() -> None:
    ledger = Ledger(counting_ids())
    arrived, lost, held = giving(ledger, "one"), giving(ledger, "two"), giving(ledger, "three")
    ledger.observe(acknowledged(arrived))
    (repeat,) = ledger.repeats([held])
    assert isinstance(repeat, ConversationItemCreate)
    assert repeat.item == lost.item
    assert repeat.item.id, "the model knows by it whether it has the item"


def test_a_refusal_of_a_repeat_is_nobody_elses_business_and_any_other_error_is() -> None:
    ledger = Ledger(counting_ids())
    ledger.given(note("one"))
    (repeat,) = ledger.repeats([])
    refusal = ErrorEvent(event_id="e", error=ErrorDetail(type="t", message="It is there.", event_id=repeat.event_id))
    assert ledger.answers_repeat(refusal)
    assert not ledger.answers_repeat(refusal), "once"


def test_what_waits_for_an_acknowledgement_is_bounded() -> None:
    ledger = Ledger(counting_ids())
    for number in range(MAX_UNSETTLED + 5):
        ledger.given(note(str(number)))
    repeats = [event for event in ledger.repeats([]) if isinstance(event, ConversationItemCreate)]
    assert len(repeats) == MAX_UNSETTLED
    assert repeats[0].item == giving_as(repeats[0], "5"), "the oldest are taken for arrived"


def giving_as(event: ConversationItemCreate, text: str) -> MessageItem:
    return item(text, event.item.id)


def test_items_are_unfinished_until_they_or_their_response_are_done() -> None:
    ledger = Ledger(counting_ids())
    ledger.observe(ResponseCreated(event_id="e", response=Response(id="r")))
    assert ledger.only_begun([item("old", "i0")], {"i0"}), "nothing has come of it yet"
    for item_id in ("i1", "i2"):
        ledger.observe(ResponseOutputItemAdded(event_id="e", response_id="r", output_index=0, item=item("", item_id)))
    ledger.observe(ResponseOutputItemDone(event_id="e", response_id="r", output_index=0, item=item("", "i1")))
    assert ledger.unfinished() == ["i2"]
    assert not ledger.only_begun([], set())
    ledger.observe(ResponseDone(event_id="e", response=Response(id="r")))
    assert ledger.unfinished() == []
