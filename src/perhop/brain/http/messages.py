"""A Realtime conversation as the messages and tools of the chat API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, Item, MessageItem

__all__ = ["chat_messages", "chat_tool_choice", "chat_tools"]

_NO_OUTPUT = '{"error": "the function has not answered"}'


def chat_messages(items: Sequence[Item], instructions: str) -> list[dict[str, Any]]:
    """The conversation, oldest first, behind a system message with the instructions.

    Chat servers insist on what Realtime leaves open: calls made together share a message, and each is followed at once
    by its output. So outputs are moved up to their calls, a call still without one gets a stand-in, and an output
    without a call is left out, like items that have no words.
    """
    outputs = {item.call_id: item.output for item in items if isinstance(item, FunctionCallOutputItem)}
    messages: list[dict[str, Any]] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    calls: list[dict[str, Any]] = []

    def close_calls() -> None:
        if not calls:
            return
        messages.append({"role": "assistant", "content": None, "tool_calls": list(calls)})
        for call in calls:
            output = outputs.get(call["id"], _NO_OUTPUT)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
        calls.clear()

    for item in items:
        if isinstance(item, FunctionCallItem):
            if item.call_id:
                function = {"name": item.name, "arguments": item.arguments or "{}"}
                calls.append({"id": item.call_id, "type": "function", "function": function})
        elif isinstance(item, MessageItem):
            close_calls()
            content = _content(item)
            if content:
                messages.append({"role": item.role, "content": content})
    close_calls()
    return messages


def chat_tools(tools: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """``session.tools`` in the chat API's shape, without our own ``x-…`` extensions of the schema."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool.get("description") or "",
                "parameters": _plain(tool.get("parameters") or {"type": "object", "properties": {}}),
            },
        }
        for tool in tools
        if tool.get("type", "function") == "function"
    ]


def chat_tool_choice(choice: str | dict[str, Any]) -> str | dict[str, Any]:
    """``tool_choice`` in the chat API's shape."""
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name", "")}}
    return choice if isinstance(choice, str) else "auto"


def _content(item: MessageItem) -> str | list[dict[str, Any]]:
    images = [part for part in item.content if part.image_url]
    if not images:
        return item.text()
    parts: list[dict[str, Any]] = [{"type": "text", "text": item.text()}] if item.text() else []
    for part in images:
        image = {"url": part.image_url}
        if part.detail:
            image["detail"] = part.detail
        parts.append({"type": "image_url", "image_url": image})
    return parts


def _plain(schema: object, *, names: bool = False) -> Any:
    """A schema without extensions; with ``names`` its keys are names of properties, which stay whatever they are."""
    if isinstance(schema, dict):
        return {
            key: _plain(value, names=key in ("properties", "$defs") and not names)
            for key, value in schema.items()
            if names or not key.startswith("x-")
        }
    if isinstance(schema, list):
        return [_plain(value) for value in schema]
    return schema
