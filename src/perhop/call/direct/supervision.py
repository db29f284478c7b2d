"""What a call has to do that cannot stand between its caller and the model: follow the model's own playout, and put
back what the caller changed of the agent's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from perhop.call.direct.guard import SessionGuard
from perhop.call.ownership import SessionLock
from perhop.realtime.events import (
    InputAudioBufferSpeechStarted,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ServerEvent,
)

__all__ = ["Supervision"]

_log = structlog.get_logger(__name__)


class Supervision:
    """Of one direct call.

    Args:
        restore: takes an update that puts the agent's fields back.
        give_up: the caller does not stop changing them.

    Attributes:
        playing: the caller hears the model.
        connected: somebody is there: spoke, or was spoken to.
        interruptions: the model was cut off by the caller.
    """

    def __init__(self, *, restore: Callable[[dict[str, Any]], None], give_up: Callable[[], None]) -> None:
        self.playing = False
        self.connected = False
        self.interruptions = 0
        self._guard = SessionGuard()
        self._restore = restore
        self._give_up = give_up

    def observe(self, event: ServerEvent) -> str | None:
        """Takes in an event of the model; returns the response that was played to its end with it."""
        match event:
            case InputAudioBufferSpeechStarted():
                self.connected = True  # whoever speaks first needs no greeting
            case OutputAudioBufferStarted():
                self.connected = self.playing = True
            case OutputAudioBufferStopped():
                self.playing = False
                return event.response_id
            case OutputAudioBufferCleared():
                self.playing = False
                self.interruptions += 1
            case _:
                pass
        return None

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
