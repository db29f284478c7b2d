"""What was under way between Perhop and the model of a direct call when its sideband was lost.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorEvent,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import Item

__all__ = ["MAX_UNSETTLED", "Ledger"]

MAX_UNSETTLED = 64
"""Items the model was given and has not acknowledged; beyond it the oldest count as arrived."""


@dataclass(slots=True)
class Ledger:
    """Of one session: items given to the model and not acknowledged, and responses that have not ended."""

    new_id: IdFactory
    _unsettled: dict[str, ClientEvent] = field(default_factory=dict)
    _repeated: set[str] = field(default_factory=set)
    _open: dict[str, dict[str, bool]] = field(default_factory=dict)

    def given(self, event: ClientEvent) -> ClientEvent:
        """The model is about to be given this; returns it as it is to be sent."""
        if not isinstance(event, ConversationItemCreate):
            return event
        item_id = event.item.id or self.new_id("item_")
        event = event.model_copy(update={"item": event.item.model_copy(update={"id": item_id})})
        # Until the model has it: told twice, an item of the same id is refused, so it is in there once.
        self._unsettled[item_id] = event
        if len(self._unsettled) > MAX_UNSETTLED:
            del self._unsettled[next(iter(self._unsettled))]
        return event

    def repeats(self, held: Container[ClientEvent]) -> list[ClientEvent]:
        """What may have got lost on its way, to be sent once more; ``held`` was not sent yet."""
        events = []
        for event in self._unsettled.values():
            if event not in held:
                event_id = self.new_id("event_")
                self._repeated.add(event_id)
                events.append(event.model_copy(update={"event_id": event_id}))
        return events

    def answers_repeat(self, event: ServerEvent) -> bool:
        """Whether this only says that a repeated item had arrived the first time."""
        if not isinstance(event, ErrorEvent) or event.error.event_id not in self._repeated:
            return False
        self._repeated.discard(event.error.event_id)
        return True

    def observe(self, event: ServerEvent) -> None:
        """Takes in an event of the model."""
        match event:
            case ConversationItemAdded():
                self._unsettled.pop(event.item.id or "", None)
            case ResponseCreated():
                self._open[event.response.id or ""] = {}
            case ResponseOutputItemAdded() if event.response_id in self._open:
                self._open[event.response_id][event.item.id or ""] = False
            case ResponseOutputItemDone() if event.response_id in self._open:
                self._open[event.response_id][event.item.id or ""] = True
            case ResponseDone():
                self._open.pop(event.response.id or "", None)
            case _:
                pass

    def unfinished(self) -> list[str]:
        """Ids of the items that were being made."""
        return [item_id for items in self._open.values() for item_id, done in items.items() if not done]

    def only_begun(self, items: Iterable[Item], known: Container[str]) -> bool:
        """Whether a response had begun to think, and nothing has come of it yet.

        Args:
            items: the newest of the conversation.
            known: ids of those that were heard of.
        """
        if not self._open or any(self._open.values()):
            return False
        return all(item.id in known for item in items)

    def all_over(self) -> None:
        """No response is being made any more."""
        self._open.clear()
