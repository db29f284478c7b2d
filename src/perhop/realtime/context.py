"""What of a conversation a response sees: all of it, or what the client chose; and as much of that as fits.

A model takes so many tokens and no more. When a conversation has outgrown that, its oldest items are left out, for
good: with a retention ratio, more of them than would be needed now, so that the context stays the same over many turns
instead of losing its beginning on each. A function's output never stays without its call, and the newest item always
stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.errors import ProtocolError
from perhop.realtime.item_commands import entry_of
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, Item, ItemReference, McpCallItem
from perhop.realtime.session_fields import RetentionRatio, Truncation
from perhop.realtime.usage import entry_tokens
from perhop.realtime.wire import clipped

__all__ = ["Fitted", "chosen_context", "fit", "whole_context"]


def whole_context(core: Core) -> list[Entry]:
    """The conversation, as far as it is finished and was not left out before.

    A call of the server's own tools is part of it even while it runs: the model would make it again.
    """
    return [
        entry
        for entry in core.conversation
        if not entry.left_out and (not entry.in_progress or isinstance(entry.item, McpCallItem))
    ]


def chosen_context(core: Core, items: Sequence[Item]) -> list[Entry]:
    """The ``input`` of a ``response.create``: items and references to items of the conversation.

    Raises:
        ProtocolError: a reference to nothing, or an item that cannot be used.
    """
    entries: list[Entry] = []
    for index, item in enumerate(items):
        at = f"response.input[{index}]"
        if isinstance(item, ItemReference):
            entry = core.conversation.get(item.id)
            if entry is None or entry.in_progress:
                message = f"The conversation has no finished item '{clipped(item.id)}'."
                raise ProtocolError("invalid_value", message, f"{at}.id")
        else:
            # Under a name of its own: a copy of a conversation item must not be mistaken for it.
            entry = entry_of(core, item.model_copy(update={"id": None}), at=at)
        entries.append(entry)
    return entries


@dataclass(frozen=True, slots=True)
class Fitted:
    """A context that fits.

    Attributes:
        kept: what the model sees.
        left_out: what it does not; the beginning of the context, and outputs of calls that are in it.
    """

    kept: tuple[Entry, ...]
    left_out: tuple[Entry, ...] = ()


def fit(context: Sequence[Entry], *, room: int, truncation: Truncation) -> Fitted | None:
    """As much of a context as there is room for.

    Args:
        room: tokens left for it, beside instructions and tools.

    Returns:
        None when it does not fit and must not be truncated.
    """
    least = 0
    if isinstance(truncation, RetentionRatio):
        room = min(room, truncation.post_instructions if truncation.post_instructions is not None else room)
        least = int(room * truncation.retention_ratio)
    costs = [entry_tokens(entry) for entry in context]
    total = sum(costs)
    if total <= room:
        return Fitted(tuple(context))
    if truncation == "disabled":
        return None
    target = least if isinstance(truncation, RetentionRatio) else room
    first = 0
    while first < len(context) - 1 and total > target:
        total -= costs[first]
        first += 1
    gone = {entry.item.call_id for entry in context[:first] if isinstance(entry.item, FunctionCallItem)}
    orphans = [entry for entry in context[first:] if _answers(entry.item, gone)]
    kept = tuple(entry for entry in context[first:] if entry not in orphans)
    return Fitted(kept, (*context[:first], *orphans))


def _answers(item: Item, function_call_ids: set[str | None]) -> bool:
    return isinstance(item, FunctionCallOutputItem) and item.call_id in function_call_ids
