"""What a session did while nobody listened, as far as the Realtime API lets it be found out.

A conversation cannot be listed; one item can be retrieved by its id, and a new item is told the id of the one before
it. So a system message is put at the end and taken away again, and what stands before it is the newest item. With that
one and those that were being made when the sideband was lost, no function call is missed but one of several that one
response made entirely in between.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ErrorEvent,
    ResponseDone,
    ResponseOutputItemDone,
    ServerEvent,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import ContentPart, Item, MessageItem

__all__ = ["CatchUp"]

_NOTE = "(The control connection of this call was restored.)"


@dataclass(slots=True)
class CatchUp:
    """One catching up.

    Attributes:
        unfinished: ids of the items that were being made when the session was heard last.
        known: ids of those that were complete. They are not retrieved: the caller gets the answer too, with its audio.
        items: what was retrieved so far.
    """

    new_id: IdFactory
    unfinished: Sequence[str] = ()
    known: Container[str] = ()
    items: list[Item] = field(default_factory=list)
    _probe: str = ""
    _asked: dict[str, str] = field(default_factory=dict)
    _awaited: set[str] = field(default_factory=set)
    _heard_done: set[str] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is known."""
        return not self._awaited

    @property
    def live(self) -> bool:
        """Whether an item that was being made still is."""
        wanted = set(self.unfinished) - self._heard_done
        return any(item.id in wanted and getattr(item, "status", None) == "in_progress" for item in self.items)

    def begin(self) -> list[ClientEvent]:
        """What to ask the model."""
        self._probe = self.new_id("item_")
        self._awaited = {self._probe, *self.unfinished}
        note = MessageItem(id=self._probe, role="system", content=[ContentPart(type="input_text", text=_NOTE)])
        asked = [self._ask(ConversationItemCreate(item=note), self._probe)]
        return asked + [self._ask(ConversationItemRetrieve(item_id=item_id), item_id) for item_id in self.unfinished]

    def observe(self, event: ServerEvent) -> tuple[bool, list[ClientEvent]]:
        """Takes in an event of the model.

        Returns:
            Whether it is an answer to this, and nobody else's business; and what to ask next.
        """
        match event:
            case ConversationItemAdded() if event.item.id == self._probe:
                return True, self._found_end(event.previous_item_id)
            case ConversationItemDone() | ConversationItemCreated() if event.item.id == self._probe:
                return True, []
            case ConversationItemDeleted() if event.item_id == self._probe:
                return True, []
            case ConversationItemRetrieved() if event.item.id in self._awaited:
                self._awaited.discard(event.item.id)
                self.items.append(_silent(event.item))
                return True, []
            case ErrorEvent() if event.error.event_id in self._asked:
                # An item that is not there any more, or a model that takes no such note.
                self._awaited.discard(self._asked[event.error.event_id])
                return True, []
            case ResponseOutputItemDone() if event.item.id is not None:
                self._heard_done.add(event.item.id)
            case ResponseDone():
                self._heard_done |= {item.id for item in event.response.output or () if item.id is not None}
            case _:
                pass
        return False, []

    def _found_end(self, last: str | None) -> list[ClientEvent]:
        asked = [self._ask(ConversationItemDelete(item_id=self._probe), self._probe)]
        asked_for = {item.id for item in self.items} | self._awaited
        self._awaited.discard(self._probe)
        if last is not None and last not in asked_for and last not in self.known:
            self._awaited.add(last)
            asked.append(self._ask(ConversationItemRetrieve(item_id=last), last))
        return asked

    def _ask(self, event: ClientEvent, item_id: str) -> ClientEvent:
        event_id = self.new_id("event_")
        self._asked[event_id] = item_id
        return event.model_copy(update={"event_id": event_id})


def _silent(item: Item) -> Item:
    """The item without its audio."""
    if not isinstance(item, MessageItem):
        return item
    return item.model_copy(update={"content": [part.model_copy(update={"audio": None}) for part in item.content]})
