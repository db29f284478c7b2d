"""What clients say of a conversation that only the call can answer, because it is older than the model session."""

from __future__ import annotations

from perhop.call.history import History
from perhop.call.line.epoch import Epoch
from perhop.call.line.rebuild import short
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ResponseCancel,
    ServerEvent,
)
from perhop.realtime.ids import IdFactory

__all__ = ["answer_to"]


def answer_to(event: ClientEvent, epoch: Epoch | None, history: History, new_id: IdFactory) -> list[ServerEvent] | None:
    """The answer to an event about what the session in force does not have as it was.

    An item made out of history is text in this session: what concerns its audio only the call can answer. A response
    of an earlier session is over, and to be cancelled nowhere.

    Args:
        epoch: the session in force; None while there is none. To the next one everything will be history.

    Returns:
        What to tell the clients, if anything; None when the event is the session's to answer.
    """
    match event:
        case ConversationItemTruncate() if _has_audio(event, epoch, history):
            truncated = ConversationItemTruncated(
                event_id=new_id("event_"),
                item_id=event.item_id,
                content_index=event.content_index,
                audio_end_ms=event.audio_end_ms,
            )
            return [truncated]
        case ConversationItemRetrieve() if epoch is None or short(event.item_id) in epoch.rebuilt:
            item = history.get(event.item_id)
            return [ConversationItemRetrieved(event_id=new_id("event_"), item=item)] if item is not None else None
        case ResponseCancel() if event.response_id is not None and epoch is not None:
            over = event.response_id not in epoch.activity.responses and epoch.number > 0
            return [] if over else None
        case _:
            return None


def _has_audio(event: ConversationItemTruncate, epoch: Epoch | None, history: History) -> bool:
    """Whether this is to cut audio that the call knows of; what would be wrong the next session refuses."""
    if epoch is not None:
        return short(event.item_id) in epoch.rebuilt
    received_ms = history.received_ms(event.item_id)
    return history.get(event.item_id) is not None and 0 < received_ms >= event.audio_end_ms
