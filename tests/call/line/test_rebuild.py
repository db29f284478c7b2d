"""What a new session is told of the conversation."""

from __future__ import annotations

import pybase64

from perhop.call.history import History
from perhop.call.line.rebuild import carried
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ConversationItemDone, ConversationItemTruncated
from perhop.realtime.items import (
    ContentPart,
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    McpCallItem,
    MessageItem,
)


def told(*items: Item, budget: int = 10_000, audio: dict[tuple[str, int], bytes] | None = None) -> list[Item]:
    return carried(history(*items), budget=budget, audio=audio or {})


def history(*items: Item) -> History:
    kept = History()
    for item in items:
        kept.apply(ConversationItemDone(event_id="e", item=item))
    return kept


def caller(name: str, *, transcript: str | None) -> MessageItem:
    return MessageItem(id=name, role="user", content=[ContentPart(type="input_audio", transcript=transcript)])


def agent(name: str, words: str, *, status: str = "completed") -> MessageItem:
    content = [ContentPart(type="output_audio", transcript=words)]
    return MessageItem(id=name, role="assistant", status=status, content=content)  # type: ignore[arg-type]


def call(name: str) -> FunctionCallItem:
    return FunctionCallItem(id=f"i{name}", call_id=name, name="look_up", arguments='{"a":1}', status="completed")


def output(name: str, text: str = "found") -> FunctionCallOutputItem:
    return FunctionCallOutputItem(id=f"o{name}", call_id=name, output=text)


def words(items: list[Item]) -> list[str]:
    return [item.text() for item in items]


def test_spoken_turns_become_words_under_the_same_ids() -> None:
    items = told(caller("u", transcript="hello"), agent("a", "Hi there."))
    assert [item.id for item in items] == ["u", "a"]
    assert [part.type for item in items if isinstance(item, MessageItem) for part in item.content] == [
        "input_text",
        "output_text",
    ]


def test_a_turn_without_a_transcript_is_carried_as_audio_or_not_at_all() -> None:
    turn = caller("u", transcript=None)
    (item,) = told(turn, audio={("u", 0): b"\1\2" * 480})
    assert isinstance(item, MessageItem)
    assert pybase64.b64decode(item.content[0].audio or "") == b"\1\2" * 480
    assert told(turn) == []


def test_what_was_not_heard_was_not_said() -> None:
    kept = history(agent("a", "one two three four five six seven eight"))
    kept.add_audio(AudioChunk("r", "a", 0, 0, bytes(48 * 4_000)))
    kept.apply(ConversationItemTruncated(event_id="e", item_id="a", content_index=0, audio_end_ms=2_000))
    assert words(carried(kept, budget=1_000, audio={})) == ["one two three four"]
    kept.apply(ConversationItemTruncated(event_id="e", item_id="a", content_index=0, audio_end_ms=10))
    assert carried(kept, budget=1_000, audio={}) == []


def test_a_response_that_was_cut_off_ends_where_its_audio_did() -> None:
    kept = history(agent("a", "one two three four five six seven eight", status="incomplete"))
    kept.add_audio(AudioChunk("r", "a", 0, 0, bytes(48 * 500)))
    assert words(carried(kept, budget=1_000, audio={})) == ["one two"]


def test_calls_come_with_their_outputs_and_pending_ones_without() -> None:
    items = told(call("1"), output("1"), call("2"))
    assert [item.id for item in items] == ["i1", "o1", "i2"]


def test_an_output_without_its_call_is_left_out() -> None:
    assert told(output("9")) == []


def test_calls_that_were_never_complete_are_left_out() -> None:
    assert told(call("1").model_copy(update={"status": "incomplete"})) == []


def test_the_oldest_give_way_but_never_instructions_nor_half_a_call() -> None:
    rules = MessageItem(id="s", role="system", content=[ContentPart(type="input_text", text="be kind")])
    old, new = caller("u1", transcript="x" * 400), caller("u2", transcript="y" * 40)
    long_call, long_output = call("1"), output("1", "z" * 300)
    items = told(rules, old, long_call, caller("u0", transcript="w"), long_output, new, budget=130)
    assert [item.id for item in items] == ["s", "i1", "u0", "o1", "u2"]
    items = told(rules, old, long_call, caller("u0", transcript="w"), long_output, new, budget=60)
    assert [item.id for item in items] == ["s", "u2"]


def test_a_tool_of_an_mcp_server_is_told_as_a_function_with_its_outcome() -> None:
    made = McpCallItem(id="mcp_1", server_label="s", name="add", arguments="{}", output="3")
    items = told(made)
    assert isinstance(items[0], FunctionCallItem)
    assert isinstance(items[1], FunctionCallOutputItem)
    assert items[0].call_id == items[1].call_id
    assert items[1].output == "3"
    assert len(items[1].id or "") <= 32


def test_the_newest_is_told_even_when_it_is_larger_than_all_there_is_room_for() -> None:
    items = told(caller("u1", transcript="hello"), caller("u2", transcript="y" * 4_000), budget=100)
    assert [item.id for item in items] == ["u2"]
