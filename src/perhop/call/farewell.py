"""Hanging up on the agent's wish: not before its goodbye was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perhop.call.voice import PLAYER_LAG_S, Voice
from perhop.realtime.events import ResponseCreated, ResponseDone, ServerEvent
from perhop.realtime.items import FunctionCallItem

__all__ = ["Farewell"]

GOODBYE_BEGINS_S = 8.0
"""A model that says nothing after it wanted to hang up has said goodbye before."""

GOODBYE_LASTS_S = 20.0


class Farewell:
    """The end of one call, once a tool asked for it.

    The next response is the goodbye; the call ends when it was played. A caller who talks over it has something to say:
    then the call goes on, and the agent may hang up later. A goodbye that does not begin or end in time is not waited
    for.

    Args:
        voice: of the agent.
        hang_up: ends the call.
    """

    def __init__(self, voice: Voice, *, hang_up: Callable[[], None]) -> None:
        self._voice = voice
        self._hang_up = hang_up
        self._leaving = False
        self._goodbye: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The next response is the last."""
        self._leaving = True
        self._goodbye = None
        self._at(GOODBYE_BEGINS_S)

    def observe(self, event: ServerEvent) -> None:
        """Takes in what the model says."""
        if not self._leaving:
            return
        if isinstance(event, ResponseCreated) and self._goodbye is None:
            self._goodbye = event.response.id
            self._at(GOODBYE_LASTS_S)
        elif isinstance(event, ResponseDone) and event.response.id is not None and event.response.id == self._goodbye:
            self._said(event)

    def played(self, response_id: str) -> None:
        """This response was played to its end."""
        if self._leaving and response_id == self._goodbye:
            self._at(0.0)

    def close(self) -> None:
        """The call is over, or goes on after all."""
        self._leaving = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _said(self, event: ResponseDone) -> None:
        audio_ms = self._voice.received_ms(event)
        if event.response.status == "cancelled":
            self.close()
        elif any(isinstance(item, FunctionCallItem) for item in event.response.output or ()):
            self._goodbye = None  # there was something left to do; what follows it is the goodbye
            self._at(GOODBYE_LASTS_S)
        elif not audio_ms:
            self._at(0.0)
        elif not self._voice.clocked:
            # Whoever plays it by himself tells nobody when he is done.
            self._at(audio_ms / 1000 + PLAYER_LAG_S)

    def _at(self, seconds: float) -> None:
        """Never from within the event that leads to it: the call is not done with that one yet."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self._timer = None
        if self._leaving:
            self._hang_up()
