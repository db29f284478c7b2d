from __future__ import annotations

from perhop.brain.http.messages import chat_messages, chat_tool_choice, chat_tools
from perhop.realtime.items import ContentPart, FunctionCallItem, FunctionCallOutputItem, MessageItem, UnknownItem


def said(role: str, text: str, kind: str = "input_text") -> MessageItem:
    return MessageItem.model_validate({"role": role, "content": [{"type": kind, "text": text}]})


def call(number: int) -> FunctionCallItem:
    return FunctionCallItem(call_id=f"call_{number}", name="look", arguments=f'{{"n": {number}}}')


def output(number: int) -> FunctionCallOutputItem:
    return FunctionCallOutputItem(call_id=f"call_{number}", output=f"found {number}")


def as_call(number: int) -> dict[str, object]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": "look", "arguments": f'{{"n": {number}}}'}}


def test_instructions_come_first_and_words_follow_whether_spoken_or_written() -> None:
    heard = MessageItem(role="user", content=[ContentPart(type="input_audio", transcript="hello")])
    answered = MessageItem(role="assistant", content=[ContentPart(type="output_audio", transcript="good day")])
    assert chat_messages([heard, answered, said("system", "be brief")], "You are kind.") == [
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "good day"},
        {"role": "system", "content": "be brief"},
    ]


def test_items_without_words_are_left_out() -> None:
    silent = MessageItem(role="user", content=[ContentPart(type="input_audio", transcript=None)])
    assert chat_messages([silent, UnknownItem(type="mcp_thing")], "") == []


def test_calls_made_together_share_a_message_and_their_outputs_follow_at_once() -> None:
    messages = chat_messages([call(1), call(2), said("user", "well?"), output(2), output(1)], "")
    assert messages == [
        {"role": "assistant", "content": None, "tool_calls": [as_call(1), as_call(2)]},
        {"role": "tool", "tool_call_id": "call_1", "content": "found 1"},
        {"role": "tool", "tool_call_id": "call_2", "content": "found 2"},
        {"role": "user", "content": "well?"},
    ]


def test_calls_with_their_outputs_between_them_are_still_whole() -> None:
    messages = chat_messages([call(1), output(1), said("assistant", "hm", "output_text"), call(2), output(2)], "")
    assert [message["role"] for message in messages] == ["assistant", "tool", "assistant", "assistant", "tool"]


def test_a_call_without_output_gets_a_stand_in_and_an_output_without_call_is_left_out() -> None:
    messages = chat_messages([call(1), output(9)], "")
    assert [message["role"] for message in messages] == ["assistant", "tool"]
    assert "not answered" in messages[1]["content"]


def test_an_image_is_a_part_beside_the_words() -> None:
    parts = [
        ContentPart(type="input_text", text="this?"),
        ContentPart(type="input_image", image_url="data:x", detail="low"),
    ]
    assert chat_messages([MessageItem(role="user", content=parts)], "")[0]["content"] == [
        {"type": "text", "text": "this?"},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
    ]


def test_tools_lose_our_extensions_but_no_property_of_that_name() -> None:
    schema = {
        "type": "object",
        "x-samples": ["look"],
        "properties": {
            "x-ray": {"type": "string", "x-prompt": "Which?"},
            "properties": {"type": "integer", "x-say": "n"},
        },
        "anyOf": [{"required": ["x-ray"], "x-z": 1}],
    }
    tools = [{"type": "function", "name": "look", "description": "Looks.", "parameters": schema}, {"type": "mcp"}]
    assert chat_tools(tools) == [
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "Looks.",
                "parameters": {
                    "type": "object",
                    "properties": {"x-ray": {"type": "string"}, "properties": {"type": "integer"}},
                    "anyOf": [{"required": ["x-ray"]}],
                },
            },
        }
    ]


def test_tool_choice_is_turned_into_the_other_shape() -> None:
    assert chat_tool_choice("required") == "required"
    assert chat_tool_choice({"type": "function", "name": "look"}) == {"type": "function", "function": {"name": "look"}}
    assert chat_tool_choice({"type": "mcp"}) == "auto"
