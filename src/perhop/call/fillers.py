"""Something to hear while a tool takes its time: one short phrase, never two in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from perhop.call.acting import ActingAgent
from perhop.call.own_words import purpose_of, spoken
from perhop.realtime.events import InputAudioBufferSpeechStarted, ResponseCreate, ResponseDone, ServerEvent
from perhop.realtime.items import MessageItem
from perhop.tools.base import Tool

__all__ = ["FILLER", "FillerHost", "Fillers"]

FILLER = "filler"
"""The purpose of such a response."""

_LOOK_AGAIN_S = 0.25
"""While somebody speaks there is no silence to fill; so often it is looked whether there is by now."""


class FillerHost(Protocol):
    """The call."""

    def fill(self, event: ResponseCreate) -> bool:
        """Has the model say something if nobody speaks and nothing is about to be said; whether it will."""


class Fillers:
    """Fills silences of one call.

    After a phrase there is no other until somebody else has spoken: the caller, or the agent with an answer.

    Args:
        acting: the agent whose phrases are taken in turn, unless a tool has its own.
    """

    def __init__(self, host: FillerHost, acting: ActingAgent) -> None:
        self._host = host
        self._acting = acting
        self._said = 0
        self._allowed = True

    def observe(self, event: ServerEvent) -> None:
        """Takes in what the model says."""
        match event:
            case InputAudioBufferSpeechStarted():
                self._allowed = True
            case ResponseDone() if purpose_of(event.response) != FILLER:
                # One that only calls the next tool is heard by nobody.
                spoke = any(isinstance(item, MessageItem) for item in event.response.output or ())
                self._allowed = self._allowed or spoke
            case _:
                pass

    @contextmanager
    def during(self, tool: Tool) -> Iterator[None]:
        """While the block runs, the tool does."""
        agent = self._acting.profile
        after_s = agent.filler_after_s if tool.filler_after_s is None else tool.filler_after_s
        phrases = tool.fillers or agent.fillers
        if after_s is None or not phrases:
            yield
            return
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None

        def look() -> None:
            nonlocal timer
            timer = None
            if self._allowed and not self._say(phrases):
                timer = loop.call_later(_LOOK_AGAIN_S, look)

        timer = loop.call_later(after_s, look)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def _say(self, phrases: tuple[str, ...]) -> bool:
        phrase = phrases[self._said % len(phrases)]
        said = self._host.fill(spoken(phrase, purpose=FILLER))
        if said:
            self._said += 1
            self._allowed = False
        return said
