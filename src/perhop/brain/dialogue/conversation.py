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

_MAX_ITEMS = 400
"""Items looked at; a call that has more is only looked at from there on. What was known before then is forgotten."""

_Event = tuple[str, ...]


class Conversation:
    """Folds items into :class:`State`. What it keeps is a cache: the state is a function of the items alone.

    Args:
        scene: the tools and the day.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._events: list[_Event] = []
        self._states: list[State] = [State()]

    def state(self, items: Sequence[Item]) -> State:
        """The state after these items."""
        events = [event for item in items[-_MAX_ITEMS:] if (event := _event(item)) is not None]
        same = 0
        for known, event in zip(self._events, events, strict=False):
            if known != event:
                break
            same += 1
        del self._events[same:], self._states[same + 1 :]
        for event in events[same:]:
            self._states.append(self._step(self._states[-1], event))
            self._events.append(event)
        return self._states[-1]

    def _step(self, state: State, event: _Event) -> State:
        match event:
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
