"""The call's own record of its conversation: what was said, called, answered and heard.

The model keeps a conversation too, but its session can end at any moment; this one belongs to the call. It is built
from the model's events alone, so it holds for every model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.events import (
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemTruncated,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemDone,
    ServerEvent,
)
from perhop.realtime.items import Item, MessageItem

__all__ = ["MAX_ITEMS", "MAX_UNPLAYED", "AudioEntry", "History"]

MAX_ITEMS = 5_000
"""Items kept of one call; beyond it the oldest are forgotten."""

MAX_UNPLAYED = 64
"""Items whose playout is followed; older ones count as played. A client with its own player never reports the end."""


@dataclass(slots=True)
class AudioEntry:
    """Audio of one assistant item as it came from the model."""

    item_id: str
    response_id: str
    content_index: int
    received_bytes: int = 0

    @property
    def received_ms(self) -> int:
        """Whole ms received so far."""
        return self.received_bytes // BYTES_PER_MS


@dataclass(slots=True)
class History:
    """Items in conversation order, and the audio whose playout is not over."""

    _items: dict[str, Item] = field(default_factory=dict)
    _order: list[str] = field(default_factory=list)
    _audio: dict[str, AudioEntry] = field(default_factory=dict)
    _heard_ms: dict[str, int] = field(default_factory=dict)
    _received_bytes: dict[str, int] = field(default_factory=dict)
    _answering: str | None = None
    _behind: str | None = None

    @property
    def items(self) -> list[Item]:
        """The conversation, oldest first."""
        return [self._items[item_id] for item_id in self._order]

    def get(self, item_id: str) -> Item | None:
        """One item, if it is known."""
        return self._items.get(item_id)

    def received_ms(self, item_id: str) -> int:
        """How much audio of an item came from the model, ms."""
        return self._received_bytes.get(item_id, 0) // BYTES_PER_MS

    def heard_ms(self, item_id: str) -> int | None:
        """Where an interrupted item was cut, ms; None when it was heard to its end."""
        return self._heard_ms.get(item_id)

    def apply(self, event: ServerEvent) -> None:
        """Takes in one event of the model; others than those about items change nothing."""
        match event:
            case ConversationItemAdded() | ConversationItemDone():
                self._put(event.item, event.previous_item_id)
            case ResponseOutputItemDone() if event.item.id in self._items:
                # Some servers say this before ``conversation.item.done``, and may be lost in between.
                self._items[event.item.id] = event.item
            case ResponseCreated() if event.response.conversation_id is not None:
                self._answering = event.response.id
                self._behind = self._order[-1] if self._order else None
            case ResponseDone() if event.response.id == self._answering:
                self._answering = None
            case ConversationItemDeleted():
                self._drop(event.item_id)
            case ConversationItemTruncated():
                self._heard_ms[event.item_id] = event.audio_end_ms
            case ConversationItemInputAudioTranscriptionCompleted():
                self._write_down(event)
            case _:
                pass

    def add_audio(self, chunk: AudioChunk) -> None:
        """Counts audio of an item that is on its way to the caller."""
        entry = self._audio.get(chunk.item_id)
        if entry is None:
            entry = AudioEntry(chunk.item_id, chunk.response_id, chunk.content_index)
            self._audio[chunk.item_id] = entry
            if len(self._audio) > MAX_UNPLAYED:
                del self._audio[next(iter(self._audio))]
        entry.received_bytes += len(chunk.audio)
        self._received_bytes[chunk.item_id] = self._received_bytes.get(chunk.item_id, 0) + len(chunk.audio)
        if len(self._received_bytes) > MAX_ITEMS:  # those outside the conversation are not dropped with it
            del self._received_bytes[next(iter(self._received_bytes))]

    def unplayed(self) -> list[AudioEntry]:
        """Items with audio whose playout has not been reported over."""
        return list(self._audio.values())

    def cut(self, item_id: str, heard_ms: int) -> None:
        """Only so much of this item was heard, ms; never more than was known before."""
        known_ms = self._heard_ms.get(item_id, self.received_ms(item_id))
        if item_id in self._items and heard_ms < min(known_ms, self.received_ms(item_id)):
            self._heard_ms[item_id] = heard_ms

    def played_out(self, response_id: str) -> None:
        """All audio of this response was played, or dropped and accounted for."""
        for item_id in [i for i, entry in self._audio.items() if entry.response_id == response_id]:
            del self._audio[item_id]

    def _put(self, item: Item, previous_item_id: str | None) -> None:
        item_id = item.id
        if item_id is None:
            return
        if item_id not in self._items:
            self._order.insert(self._place(item, previous_item_id), item_id)
            if len(self._order) > MAX_ITEMS:
                self._drop(self._order[0])
        self._items[item_id] = item

    def _place(self, item: Item, previous_item_id: str | None) -> int:
        """Where a new item goes: behind the one the model names; else an answer behind what it answers.

        The first item of a session has none before it, and many servers never name one. What a client added while an
        answer was under way comes after it.
        """
        said_now = self._answering is not None and getattr(item, "status", None) == "in_progress"
        behind = self._behind if said_now and previous_item_id not in self._items else previous_item_id
        if said_now:
            self._behind = item.id
        if behind in self._items:
            return self._order.index(behind) + 1
        return 0 if said_now and behind is None else len(self._order)

    def _drop(self, item_id: str) -> None:
        if self._items.pop(item_id, None) is not None:
            self._order.remove(item_id)
        self._heard_ms.pop(item_id, None)
        self._received_bytes.pop(item_id, None)

    def _write_down(self, event: ConversationItemInputAudioTranscriptionCompleted) -> None:
        item = self._items.get(event.item_id)
        if isinstance(item, MessageItem) and event.content_index < len(item.content):
            parts = list(item.content)
            parts[event.content_index] = parts[event.content_index].model_copy(update={"transcript": event.transcript})
            self._items[event.item_id] = item.model_copy(update={"content": parts})
