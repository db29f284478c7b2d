"""Events about the items of the conversation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perhop.realtime.events.base import ClientEvent, ServerEvent
from perhop.realtime.items import AnyItem, ClientItem
from perhop.realtime.items_check import check_client_item

__all__ = [
    "ConversationItemAdded",
    "ConversationItemCreate",
    "ConversationItemCreated",
    "ConversationItemDelete",
    "ConversationItemDeleted",
    "ConversationItemDone",
    "ConversationItemRetrieve",
    "ConversationItemRetrieved",
    "ConversationItemTruncate",
    "ConversationItemTruncated",
]


class ConversationItemCreate(ClientEvent):
    """Inserts an item after ``previous_item_id``: absent or null means at the end, ``root`` at the front."""

    type: Literal["conversation.item.create"] = "conversation.item.create"
    previous_item_id: str | None = None
    item: ClientItem

    def check(self) -> None:
        check_client_item(self.item, at="item")


class ConversationItemDelete(ClientEvent):
    """Removes an item."""

    type: Literal["conversation.item.delete"] = "conversation.item.delete"
    item_id: str


class ConversationItemRetrieve(ClientEvent):
    """Asks for an item as the server has it, audio included."""

    type: Literal["conversation.item.retrieve"] = "conversation.item.retrieve"
    item_id: str


class ConversationItemTruncate(ClientEvent):
    """Only ``audio_end_ms`` of an assistant's audio was heard."""

    type: Literal["conversation.item.truncate"] = "conversation.item.truncate"
    item_id: str
    content_index: Annotated[int, Field(ge=0)]
    audio_end_ms: Annotated[int, Field(ge=0)]


class ConversationItemAdded(ServerEvent):
    """An item entered the conversation; ``previous_item_id`` is null for the first."""

    type: Literal["conversation.item.added"] = "conversation.item.added"
    previous_item_id: str | None = None
    item: AnyItem


class ConversationItemDone(ServerEvent):
    """An item reached its final state, completed or incomplete."""

    type: Literal["conversation.item.done"] = "conversation.item.done"
    previous_item_id: str | None = None
    item: AnyItem


class ConversationItemCreated(ServerEvent):
    """The name older servers used for added; never sent by ours."""

    type: Literal["conversation.item.created"] = "conversation.item.created"
    previous_item_id: str | None = None
    item: AnyItem


class ConversationItemDeleted(ServerEvent):
    """An item left the conversation."""

    type: Literal["conversation.item.deleted"] = "conversation.item.deleted"
    item_id: str


class ConversationItemRetrieved(ServerEvent):
    """The one event whose item carries audio."""

    type: Literal["conversation.item.retrieved"] = "conversation.item.retrieved"
    item: AnyItem


class ConversationItemTruncated(ServerEvent):
    """An assistant's audio was cut to ``audio_end_ms`` and its transcript left the model's context."""

    type: Literal["conversation.item.truncated"] = "conversation.item.truncated"
    item_id: str
    content_index: int
    audio_end_ms: int
