"""What the model must forget when the caller talks over it."""

from __future__ import annotations

from perhop.call.legs import Position
from perhop.realtime.events import ClientEvent, ConversationItemDelete, ConversationItemTruncate

__all__ = ["truncation"]


def truncation(item_id: str, content_index: int, *, position: Position, received_ms: int) -> ClientEvent | None:
    """The event that cuts an item to what its caller heard.

    Args:
        item_id: the assistant item whose audio was dropped before its end.
        content_index: the audio part of that item.
        position: how much of it was sent and, by estimate, heard.
        received_ms: how much audio of it came from the model; the model refuses to cut beyond that.

    Returns:
        A truncation at the heard length, a deletion when nothing was heard, or None when all of it was.
    """
    if position.played_ms >= received_ms:
        return None
    if position.played_ms <= 0:
        return ConversationItemDelete(item_id=item_id)
    return ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=position.played_ms)
