"""The call's own record stays small however long the call is, and never forgets what was heard."""

from __future__ import annotations

from perhop.call.history import MAX_ITEMS, MAX_UNPLAYED, History
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ConversationItemAdded,
    ConversationItemTruncated,
    Response,
    ResponseCreated,
    ResponseDone,
)
from perhop.realtime.items import MessageItem


def speak(history: History, items: int) -> None:
    for number in range(items):
        history.add_audio(AudioChunk(f"r{number}", f"i{number}", 0, 0, bytes(96)))


def test_a_leg_that_does_not_tell_what_it_played_fills_no_memory() -> None:
    history = History()
    speak(history, MAX_UNPLAYED + 10)
    unplayed = [entry.item_id for entry in history.unplayed()]
    assert len(unplayed) == MAX_UNPLAYED
    assert unplayed[-1] == f"i{MAX_UNPLAYED + 9}", "the oldest count as played"


def test_audio_of_items_outside_the_conversation_fills_no_memory() -> None:
    history = History()
    speak(history, MAX_ITEMS + 10)
    assert history.received_ms("i0") == 0
    assert history.received_ms(f"i{MAX_ITEMS + 9}") == 2


def test_an_estimate_never_gives_back_what_was_known_not_to_be_heard() -> None:
    history = History()
    add(history, "a", "assistant")
    history.add_audio(AudioChunk("r", "a", 0, 0, bytes(48 * 60_000)))
    history.apply(ConversationItemTruncated(event_id="e", item_id="a", content_index=0, audio_end_ms=3_000))
    history.cut("a", 23_500)
    assert history.heard_ms("a") == 3_000
    history.cut("a", 2_000)
    assert history.heard_ms("a") == 2_000
    history.cut("unknown", 0)
    assert history.heard_ms("unknown") is None


def add(history: History, item_id: str, role: str, previous: str | None = None) -> None:
    status = "in_progress" if role == "assistant" else "completed"
    item = MessageItem.model_validate({"id": item_id, "role": role, "status": status, "content": []})
    history.apply(ConversationItemAdded(event_id="e", previous_item_id=previous, item=item))


def begin(history: History, response_id: str) -> None:
    response = Response(id=response_id, status="in_progress", conversation_id="conv_1")
    history.apply(ResponseCreated(event_id="e", response=response))


def done(history: History, response_id: str) -> None:
    response = Response(id=response_id, status="completed", conversation_id="conv_1")
    history.apply(ResponseDone(event_id="e", response=response))


def order(history: History) -> list[str | None]:
    return [item.id for item in history.items]


def test_an_answer_that_begins_later_stands_before_what_was_typed_meanwhile() -> None:
    history = History()
    begin(history, "greeting")
    add(history, "typed", "user")
    add(history, "hello", "assistant")  # the model names nothing before it: it is the first
    add(history, "and more", "assistant")
    done(history, "greeting")
    begin(history, "answer")
    add(history, "answered", "assistant", previous="typed")
    assert order(history) == ["hello", "and more", "typed", "answered"]


def test_a_model_that_never_names_what_comes_before_is_followed_in_order() -> None:
    history = History()
    for number in range(3):
        add(history, f"u{number}", "user")
        begin(history, f"r{number}")
        add(history, f"a{number}", "assistant")
        done(history, f"r{number}")
    assert order(history) == ["u0", "a0", "u1", "a1", "u2", "a2"]


def test_where_the_model_says_it_goes_is_where_it_goes() -> None:
    history = History()
    add(history, "u0", "user")
    begin(history, "r")
    add(history, "u1", "user", previous="u0")
    add(history, "a0", "assistant", previous="u1")
    assert order(history) == ["u0", "u1", "a0"]
