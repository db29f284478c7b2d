"""How far a client that plays by itself has got: exact for what it was given, estimated for what it played."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from perhop.call.legs import Position
from perhop.realtime.audio import BYTES_PER_MS, AudioChunk

__all__ = ["HandedOver"]

_ITEMS_KEPT = 256


@dataclass(slots=True)
class _Item:
    starts_at: float
    bytes_per_ms: int
    bytes: int = 0
    stopped_at_ms: int | None = None


class HandedOver:
    """Audio handed to a client that buffers and plays it at its own pace.

    The estimate assumes that it plays without a pause, from when it got the first piece until it is interrupted. Times
    are seconds, monotonic.
    """

    __slots__ = ("_items", "_plays_until")

    def __init__(self) -> None:
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._plays_until = 0.0

    def add(self, chunk: AudioChunk, now: float, *, bytes_per_ms: int = BYTES_PER_MS) -> None:
        """This chunk is on its way; all of an item's have the same format."""
        item = self._items.get(chunk.item_id)
        if item is None:
            item = self._items[chunk.item_id] = _Item(max(now, self._plays_until), bytes_per_ms)
            if len(self._items) > _ITEMS_KEPT:
                self._items.popitem(last=False)
        item.bytes += len(chunk.audio)
        if item.stopped_at_ms is None:  # else it is what was on its way when the client stopped
            self._plays_until = max(now, self._plays_until) + len(chunk.audio) / item.bytes_per_ms / 1000

    def take_back(self, chunk: AudioChunk, now: float) -> None:
        """This chunk was dropped before it was written."""
        item = self._items.get(chunk.item_id)
        if item is not None:
            item.bytes -= len(chunk.audio)
        if item is not None and item.stopped_at_ms is None:
            self._plays_until = max(now, self._plays_until - len(chunk.audio) / item.bytes_per_ms / 1000)

    def stopped(self, now: float, item_id: str | None = None, played_ms: int = 0) -> None:
        """The client was interrupted: it has thrown away what it had not played.

        Args:
            item_id: the item in which it says that it stopped, if it said so.
            played_ms: where in that item.
        """
        if item_id is not None:
            item = self._items.get(item_id)
            if item is None:
                return
            position = self.position(item_id, now)
            # It may say so long after: then it has begun to play other things, and plays on.
            plays_on = item.stopped_at_ms is not None or position.played_ms == position.sent_ms
            item.stopped_at_ms = played_ms
            if plays_on:
                return
        for name, item in self._items.items():
            if item.stopped_at_ms is None:
                item.stopped_at_ms = self.position(name, now).played_ms
        self._plays_until = min(now, self._plays_until)

    def position(self, item_id: str, now: float) -> Position:
        """How far this item got; zeros for one that is not known (any more)."""
        item = self._items.get(item_id)
        if item is None:
            return Position(0, 0)
        sent_ms = item.bytes // item.bytes_per_ms
        played_ms = item.stopped_at_ms
        if played_ms is None:
            played_ms = round((now - item.starts_at) * 1000)
        return Position(sent_ms, max(0, min(sent_ms, played_ms)))
