"""Conversation items: messages, function calls and their outputs, MCP items, and whatever else a peer may send.

Items are immutable; a changed item is a new one (``item.model_copy(update=…)``). Optional fields that are not known
are left out rather than sent as null, with one exception: ``transcript`` of a user's audio is null until it is known.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from perhop.realtime.wire import JsonObject, WireModel

__all__ = [
    "ITEM_ID_MAX",
    "AnyItem",
    "ClientItem",
    "ContentPart",
    "FunctionCallItem",
    "FunctionCallOutputItem",
    "Item",
    "ItemReference",
    "ItemStatus",
    "McpApprovalRequestItem",
    "McpApprovalResponseItem",
    "McpCallItem",
    "McpListToolsItem",
    "MessageItem",
    "ResponseInputItem",
    "Role",
    "UnknownItem",
]

ITEM_ID_MAX = 32
"""Longest id a client may choose for an item, in characters."""

Role = Literal["system", "user", "assistant"]
ItemStatus = Literal["completed", "incomplete", "in_progress"]


class ContentPart(WireModel):
    """A part of a message.

    Attributes:
        type: ``input_text``, ``input_audio``, ``input_image`` (user), ``input_text`` (system), ``output_text``,
            ``output_audio`` (assistant).
        text: words of a text part.
        transcript: words of an audio part; null while a user's audio is not transcribed.
        audio: base64 in the session's format; only in ``conversation.item.create`` and ``….retrieved``.
        image_url: a ``data:`` URL.
    """

    type: str
    text: str | None = None
    transcript: str | None = None
    audio: str | None = None
    image_url: str | None = None
    detail: str | None = None

    def words(self) -> str:
        """The text or, of audio, the transcript; empty when there is neither."""
        return self.text or self.transcript or ""


class Item(WireModel):
    """Base of all conversation items."""

    type: str
    id: str | None = None

    def text(self) -> str:
        """What was said or written, parts joined by a space; empty for items without words."""
        return ""


class MessageItem(Item):
    """Something a person, the model or the application said."""

    type: Literal["message"] = "message"
    object: Literal["realtime.item"] | None = None
    status: ItemStatus | None = None
    role: Role
    content: Annotated[list[ContentPart], Field(fail_fast=True)]

    def text(self) -> str:
        return " ".join(words for part in self.content if (words := part.words()))


class FunctionCallItem(Item):
    """The model calls a function. ``call_id`` is the function_call_id; ``arguments`` a JSON object as text."""

    type: Literal["function_call"] = "function_call"
    object: Literal["realtime.item"] | None = None
    status: ItemStatus | None = None
    call_id: str | None = None
    name: str
    arguments: str


class FunctionCallOutputItem(Item):
    """What came of a function call; ``output`` is free text, usually JSON."""

    type: Literal["function_call_output"] = "function_call_output"
    object: Literal["realtime.item"] | None = None
    status: ItemStatus | None = None
    call_id: str
    output: str


class McpListToolsItem(Item):
    """The tools an MCP server offers; ``error`` says why there are none."""

    type: Literal["mcp_list_tools"] = "mcp_list_tools"
    server_label: str
    tools: list[JsonObject]
    error: str | None = None


class McpCallItem(Item):
    """A tool call the model server itself ran. ``output`` is sent even when null: a client of ours needs the key."""

    type: Literal["mcp_call"] = "mcp_call"
    server_label: str
    name: str
    arguments: str
    approval_request_id: str | None = None
    output: str | None = None
    error: JsonObject | None = None


class McpApprovalRequestItem(Item):
    """The model server asks whether it may run an MCP tool."""

    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    server_label: str
    name: str
    arguments: str


class McpApprovalResponseItem(Item):
    """The answer to an :class:`McpApprovalRequestItem`."""

    type: Literal["mcp_approval_response"] = "mcp_approval_response"
    approval_request_id: str
    approve: bool
    reason: str | None = None


class ItemReference(Item):
    """Stands for an item of the conversation; only in ``response.create``'s ``input``."""

    type: Literal["item_reference"] = "item_reference"
    id: str


class UnknownItem(Item):
    """An item of a kind, or in a shape, this version does not know; passes through untouched."""


# -- unions -----------------------------------------------------------------------------------------------------------

_KINDS: dict[str, type[Item]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionCallOutputItem,
    "mcp_list_tools": McpListToolsItem,
    "mcp_call": McpCallItem,
    "mcp_approval_request": McpApprovalRequestItem,
    "mcp_approval_response": McpApprovalResponseItem,
}


def _type_of(value: object) -> object:
    return value.get("type") if isinstance(value, dict) else getattr(value, "type", None)


def _client_tag(value: object) -> str | None:
    kind = _type_of(value)
    return f"<{kind}>" if isinstance(kind, str) and kind in _KINDS else None


def _response_input_tag(value: object) -> str | None:
    return "<item_reference>" if _type_of(value) == "item_reference" else _client_tag(value)


def _any_tag(value: object) -> str:
    if isinstance(value, UnknownItem):
        return "<unknown>"
    return _client_tag(value) or "<unknown>"


_Known = (
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[FunctionCallItem, Tag("<function_call>")]
    | Annotated[FunctionCallOutputItem, Tag("<function_call_output>")]
    | Annotated[McpListToolsItem, Tag("<mcp_list_tools>")]
    | Annotated[McpCallItem, Tag("<mcp_call>")]
    | Annotated[McpApprovalRequestItem, Tag("<mcp_approval_request>")]
    | Annotated[McpApprovalResponseItem, Tag("<mcp_approval_response>")]
)

ClientItem = Annotated[_Known, Discriminator(_client_tag)]
"""An item a client may create."""

ResponseInputItem = Annotated[
    _Known | Annotated[ItemReference, Tag("<item_reference>")], Discriminator(_response_input_tag)
]
"""An item of ``response.create``'s ``input``."""

AnyItem = Annotated[_Known | Annotated[UnknownItem, Tag("<unknown>")], Discriminator(_any_tag)]
"""An item a server may send."""
