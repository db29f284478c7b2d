"""Items and function calls by the names that one model session has for them.

Some servers give names longer than others take. A session that is told the conversation of such a server knows those by
short ones; clients, tools and the call go on using the names they know.
"""

from __future__ import annotations

from collections.abc import Mapping

from perhop.call.line.rebuild import short
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ServerEvent,
)
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, Item

__all__ = ["Names"]


class Names:
    """Of one session.

    Args:
        rebuilt: what it was told of the conversation, by id; grows as it is told.
    """

    def __init__(self, rebuilt: Mapping[str, Item]) -> None:
        self._rebuilt = rebuilt
        self._deleted: dict[str, str] = {}

    def to_session(self, event: ClientEvent) -> ClientEvent:
        """What the call says, by the session's names."""
        match event:
            case ConversationItemDelete() if (name := self._renamed(event.item_id)) is not None:
                self._deleted[name] = event.item_id
                return event.model_copy(update={"item_id": name})
            case ConversationItemCreate():
                return self._created(event)
            case _:
                return event

    def to_call(self, event: ServerEvent) -> ServerEvent:
        """What the session says, by the call's names."""
        if isinstance(event, ConversationItemDeleted) and event.item_id in self._deleted:
            return event.model_copy(update={"item_id": self._deleted.pop(event.item_id)})
        return event

    def _created(self, event: ConversationItemCreate) -> ConversationItemCreate:
        changes: dict[str, object] = {}
        if event.previous_item_id is not None and (name := self._renamed(event.previous_item_id)) is not None:
            changes["previous_item_id"] = name
        item = event.item
        if isinstance(item, FunctionCallOutputItem) and (name := short(item.call_id)) != item.call_id:
            calls = (told.call_id for told in self._rebuilt.values() if isinstance(told, FunctionCallItem))
            if name in calls:
                changes["item"] = item.model_copy(update={"call_id": name})
        return event.model_copy(update=changes) if changes else event

    def _renamed(self, item_id: str) -> str | None:
        name = short(item_id)
        return name if name != item_id and name in self._rebuilt else None
