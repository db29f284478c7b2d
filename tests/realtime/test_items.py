"""Items as values."""

from __future__ import annotations

import orjson
from pydantic import TypeAdapter

from perhop.realtime.items import (
    AnyItem,
    ContentPart,
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    McpCallItem,
    MessageItem,
    UnknownItem,
)

ANY: TypeAdapter[Item] = TypeAdapter(AnyItem)


def test_the_text_of_an_item_is_what_was_said_or_written() -> None:
    parts = [
        ContentPart(type="input_text", text="see"),
        ContentPart(type="input_audio", transcript="this"),
        ContentPart(type="input_audio", transcript=None),
        ContentPart(type="input_image", image_url="data:"),
    ]
    assert MessageItem(role="user", content=parts).text() == "see this"
    assert FunctionCallItem(name="f", arguments="{}").text() == ""
    assert FunctionCallOutputItem(call_id="c", output="1").text() == ""


def test_a_null_that_was_set_is_written_and_others_are_not() -> None:
    part = ContentPart(type="input_audio", transcript=None)
    item = MessageItem(id="item_1", role="user", content=[part])
    assert orjson.loads(item.to_json()) == {
        "type": "message",
        "id": "item_1",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }


def test_items_of_any_kind_survive() -> None:
    for obj in (
        {"type": "message", "id": "item_1", "role": "user", "content": [{"type": "input_video", "url": "x"}], "z": 1},
        {"type": "mcp_call", "id": "m", "server_label": "s", "name": "n", "arguments": "{}", "output": None},
        {"type": "mcp_list_tools", "id": "m", "server_label": "s", "tools": [{"name": "n", "input_schema": {}}]},
        {"type": "hologram", "id": "item_1", "depth": 3},
        {"type": "hologram"},
    ):
        assert ANY.validate_python(obj).to_dict() == obj


def test_only_unknown_types_become_unknown_items() -> None:
    assert isinstance(ANY.validate_python({"type": "hologram"}), UnknownItem)
    known = {"type": "mcp_call", "id": "m", "server_label": "s", "name": "n", "arguments": "{}"}
    assert isinstance(ANY.validate_python(known), McpCallItem)


def test_changing_an_item_makes_a_new_one() -> None:
    item = MessageItem(id="item_1", role="user", status="in_progress", content=[])
    done = item.model_copy(update={"status": "completed"})
    assert (item.status, done.status) == ("in_progress", "completed")
