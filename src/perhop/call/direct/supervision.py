"""What a call has to do that cannot stand between its caller and the model: put back what the caller changed of the
agent's, and take in what happened while it could not hear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from perhop.call.direct.guard import SessionGuard
from perhop.call.direct.voice import DirectVoice
from perhop.call.history import History
from perhop.call.line import Rejoin
from perhop.call.open_responses import OpenResponses
from perhop.call.ownership import SessionLock
from perhop.realtime.events import ConversationItemDone, ServerEvent
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import FunctionCallItem, MessageItem

__all__ = ["Meantime", "Supervision"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Meantime:
    """What happened while the call could not hear.

    Attributes:
        events: stand for it, in order.
        function_calls: that the model may have made then.
        answered: the agent said something that was not known.
    """

    events: Sequence[ServerEvent]
    function_calls: Sequence[FunctionCallItem]
    answered: bool


class Supervision:
    """Of one direct call.

    Args:
        voice: of the agent.
        history: of the call.
        responses: that have not ended, as far as the call knows.
        restore: takes an update that puts the agent's fields back.
        give_up: the caller does not stop changing them.
    """

    def __init__(
        self,
        voice: DirectVoice,
        history: History,
        responses: OpenResponses,
        *,
        restore: Callable[[dict[str, Any]], None],
        give_up: Callable[[], None],
        new_id: IdFactory,
    ) -> None:
        self._voice = voice
        self._history = history
        self._responses = responses
        self._guard = SessionGuard()
        self._restore = restore
        self._give_up = give_up
        self._new_id = new_id

    def check(self, session: Mapping[str, Any], lock: SessionLock) -> None:
        """The session at the model is this: the caller may have changed in it what the agent fixes."""
        changes = self._guard.observe(session, lock)
        if changes is None:
            return
        _log.warning("a caller changed what its agent fixes; it is put back", restores=self._guard.restores)
        if self._guard.exhausted:
            self._give_up()
        else:
            self._restore(changes)

    def rejoined(self, rejoin: Rejoin) -> Meantime:
        """The session is heard again; a response that nobody heard the end of counts as over."""
        self._voice.playing = False
        said = [item for item in rejoin.items if isinstance(item, MessageItem) and not self._knows(item.id)]
        events: list[ServerEvent] = []
        if not rejoin.live:
            events += self._responses.close("sideband_lost", "How this response ended was not heard.")
        for item in rejoin.items:
            if getattr(item, "status", "completed") != "in_progress":
                events.append(ConversationItemDone(event_id=self._new_id("event_"), item=item))
        return Meantime(
            events,
            [item for item in rejoin.items if isinstance(item, FunctionCallItem)],
            answered=any(item.role == "assistant" for item in said),
        )

    def _knows(self, item_id: str | None) -> bool:
        return self._history.get(item_id or "") is not None
