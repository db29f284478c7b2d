"""The state of a conversation, folded from its items; only what was added since is folded again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from perhop.brain.dialogue import turns
from perhop.brain.dialogue.forms import Scene
from perhop.brain.dialogue.state import State
from perhop.brain.grammar.values import Json
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, Item, MessageItem

__all__ = ["Conversation"]

_MAX_ITEMS = 2000
_STEP = 500
"""Of more items than that the oldest are left out, a few hundred at a time: what was known from them is forgotten."""

_Event = tuple[str, ...]


class Conversation:
    """Folds items into :class:`State`. What it keeps is a cache: the state is a function of the items alone.

    Args:
        scene: the tools and the day.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._items: list[Item] = []
        self._events: list[_Event | None] = []
        self._states: list[State] = [State()]

    def state(self, items: Sequence[Item]) -> State:
        """The state after these items."""
        first = -(-(len(items) - _MAX_ITEMS) // _STEP) * _STEP if len(items) > _MAX_ITEMS else 0
        items = items[first:]
        same = 0
        for known, event, item in zip(self._items, self._events, items, strict=False):
            # Items never change in place, so most are told to be the same without a look inside.
            if known is not item and event != _event(item):
                break
            same += 1
        del self._items[same:], self._events[same:], self._states[same + 1 :]
        for item in items[same:]:
            event = _event(item)
            self._states.append(self._step(self._states[-1], event))
            self._events.append(event)
            self._items.append(item)
        return self._states[-1]

    def _step(self, state: State, event: _Event | None) -> State:
        match event:
            case None:
                return state
            case ("user", text):
                return turns.user_said(self.scene, state, text)
            case ("call", call_id, name, arguments):
                return turns.function_called(state, call_id, name, _object(arguments))
            case ("output", call_id, output):
                return turns.function_returned(self.scene, state, call_id, output)
        return turns.assistant_said(state)


def _event(item: Item) -> _Event | None:
    match item:
        case MessageItem(role="user"):
            return "user", item.text().strip()
        case MessageItem(role="assistant"):
            return ("assistant",)
        case FunctionCallItem():
            return "call", item.call_id or "", item.name, item.arguments
        case FunctionCallOutputItem():
            return "output", item.call_id, item.output
    return None


def _object(arguments: str) -> dict[str, Json]:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
