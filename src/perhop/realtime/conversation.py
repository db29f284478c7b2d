"""The conversation as the server knows it: items in order, what each sounded like, and what was understood."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pybase64

from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.items import (
    ContentPart,
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    McpCallItem,
    MessageItem,
)

__all__ = ["Conversation", "Entry"]


@dataclass(slots=True)
class Entry:
    """One item and what the wire does not show of it.

    Attributes:
        item: the item as events show it; never holds audio.
        known: the item as the model sees it: a caller's audio with its words, whether or not the client is told them.
        previous_id: the item before it when it was added.
        audio: its audio while it is kept for ``conversation.item.retrieve``: a caller's in the session's input format,
            an assistant's, once it is complete, in that of its response.
        bytes_per_ms: of its audio.
        audio_ms: how long its audio is; of an assistant's, how much was generated.
        heard_ms: where an assistant's audio was cut; None while it counts as heard to its end.
        in_progress: the model is still producing it.
        removed: it is no longer part of the conversation.
        left_out: the model does not see it any more, because the conversation became too long.
        counted: its share of the conversation's size.
    """

    item: Item
    known: Item
    previous_id: str | None = None
    audio: bytes = b""
    bytes_per_ms: int = BYTES_PER_MS
    audio_ms: int = 0
    heard_ms: int | None = None
    in_progress: bool = False
    removed: bool = False
    left_out: bool = False
    counted: int = 0

    @property
    def id(self) -> str:
        """The item's id; every item of a conversation has one."""
        return self.item.id or ""

    @property
    def size(self) -> int:
        """Characters of its content, for the conversation's bound."""
        item = self.known
        if isinstance(item, MessageItem):
            return sum(len(part.words()) + len(part.image_url or "") for part in item.content)
        if isinstance(item, FunctionCallItem):
            return len(item.arguments)
        if isinstance(item, McpCallItem):
            return len(item.arguments) + len(item.output or "")
        return len(item.output) if isinstance(item, FunctionCallOutputItem) else 0

    @property
    def audio_index(self) -> int | None:
        """Index of the first audio part of a message."""
        if not isinstance(self.item, MessageItem):
            return None
        return next((i for i, part in enumerate(self.item.content) if part.type.endswith("_audio")), None)

    def understood(self, transcript: str, *, shown: bool) -> None:
        """A caller's audio has words now.

        Args:
            shown: the client is told them, so its view of the item has them as well.
        """
        self.known = self._with_transcript(self.known, transcript)
        if shown:
            self.item = self._with_transcript(self.item, transcript)

    def truncate(self, audio_end_ms: int) -> None:
        """Only so much of an assistant's audio was heard: its words are no longer known to the model."""
        self.heard_ms = audio_end_ms
        self.audio = self.audio[: audio_end_ms * self.bytes_per_ms]
        self.audio_ms = min(self.audio_ms, audio_end_ms)
        self._forget_unheard()

    def finished(self, item: Item) -> None:
        """The model is through with it; ``item`` is its final form."""
        self.in_progress = False
        self.item = self.known = item
        if self.heard_ms is not None:
            self.truncate(self.heard_ms)

    def retrieved(self) -> Item:
        """The item with its audio, as far as that was kept."""
        index = self.audio_index
        if index is None or not self.audio or not isinstance(self.item, MessageItem):
            return self.item
        encoded = pybase64.b64encode_as_string(self.audio)
        parts = list(self.item.content)
        parts[index] = parts[index].model_copy(update={"audio": encoded})
        return self.item.model_copy(update={"content": parts})

    def _forget_unheard(self) -> None:
        if isinstance(self.item, MessageItem):
            parts = [ContentPart(type=p.type) if p.type == "output_audio" else p for p in self.item.content]
            self.item = self.known = self.item.model_copy(update={"content": parts})

    def _with_transcript(self, item: Item, transcript: str) -> Item:
        index = self.audio_index
        if index is None or not isinstance(item, MessageItem):
            return item
        parts = list(item.content)
        parts[index] = parts[index].model_copy(update={"transcript": transcript})
        return item.model_copy(update={"content": parts})


class Conversation:
    """Items in order. Bounded: beyond ``max_items`` the oldest fall off, beyond ``max_audio`` the oldest audio does.

    Args:
        max_audio: bytes of audio kept for retrieval, over all items.

    Attributes:
        size: characters of all content, as it was when added.
    """

    def __init__(self, conversation_id: str, *, max_items: int, max_audio: int) -> None:
        self.id = conversation_id
        self.size = 0
        self._max_items = max_items
        self._max_audio = max_audio
        self._entries: dict[str, Entry] = {}
        self._order: list[str] = []
        self._sounding: OrderedDict[str, int] = OrderedDict()
        self._audio_bytes = 0

    def __iter__(self) -> Iterator[Entry]:
        return (self._entries[item_id] for item_id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._entries

    @property
    def tail_id(self) -> str | None:
        """The last item."""
        return self._order[-1] if self._order else None

    def get(self, item_id: str) -> Entry | None:
        """The entry of an item, if it is here."""
        return self._entries.get(item_id)

    def add(self, entry: Entry, *, position: int | None = None) -> list[str]:
        """Puts an entry at a position (default: the end) and notes what came before it.

        Returns:
            Ids of the items that had to fall off for it.
        """
        where = len(self._order) if position is None else position
        entry.previous_id = self._order[where - 1] if where else None
        self._order.insert(where, entry.id)
        self._entries[entry.id] = entry
        entry.counted = entry.size
        self.size += entry.counted
        self.keep_audio(entry)
        surplus = len(self._order) - self._max_items
        if surplus <= 0:
            return []
        oldest = [item_id for item_id in self._order if item_id != entry.id and not self._entries[item_id].in_progress]
        fallen = oldest[:surplus]
        for item_id in fallen:
            self.remove(item_id)
        return fallen

    def resize(self, entry: Entry) -> None:
        """Counts an item again whose content has grown."""
        if entry.id in self._entries and not entry.removed:
            self.size += entry.size - entry.counted
            entry.counted = entry.size

    def keep_audio(self, entry: Entry) -> None:
        """Keeps the audio an item has now for retrieval, if it is part of this; the oldest gives way to it."""
        self._release_audio(entry.id)
        if len(entry.audio) > self._max_audio:
            entry.audio = b""
        if entry.audio and self._entries.get(entry.id) is entry:
            self._sounding[entry.id] = len(entry.audio)
            self._audio_bytes += len(entry.audio)
            while self._audio_bytes > self._max_audio:
                oldest = next(iter(self._sounding))
                self._release_audio(oldest)
                self._entries[oldest].audio = b""

    def position_after(self, item_id: str) -> int | None:
        """Where an item that follows ``item_id`` goes; None when there is no such item."""
        return self._order.index(item_id) + 1 if item_id in self._entries else None

    def position_behind(self, item_ids: Sequence[str]) -> int:
        """Where an item that follows all of these goes: behind the last that is still here, else at the start."""
        for item_id in reversed(item_ids):
            position = self.position_after(item_id)
            if position is not None:
                return position
        return 0

    def remove(self, item_id: str) -> None:
        """Takes an item out for good."""
        self._release_audio(item_id)
        entry = self._entries.pop(item_id)
        entry.removed = True
        self.size -= entry.counted
        self._order.remove(item_id)

    def _release_audio(self, item_id: str) -> None:
        """An item's audio does not count any more."""
        self._audio_bytes -= self._sounding.pop(item_id, 0)
