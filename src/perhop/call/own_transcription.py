"""Transcription of the caller that Perhop asks for, so that a further model session can be told what was said.

Clients who did not ask for it never see it: neither its events nor that it is on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from perhop.realtime.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    ServerEvent,
)
from perhop.realtime.session import BUILT_IN, SessionConfig
from perhop.realtime.session_object import value_at

__all__ = ["OwnTranscription"]

_EVENTS = (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
)

MAX_ASKED = 64
"""Updates a model may leave unanswered; whose the transcription is, older ones do not decide any more."""


class OwnTranscription:
    """Of one call.

    Which model transcribes is left open (``built-in``): every model leg knows its own, and a call may go on with
    another one than it began with.

    Args:
        on: False for a model that cannot be lost, whose session keeps its conversation itself.
    """

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._ours = False
        self._asked: deque[tuple[str | None, bool | None]] = deque(maxlen=MAX_ASKED)

    def first(self, config: SessionConfig) -> SessionConfig:
        """The configuration to open the first session with."""
        if not self._on or config.audio.input.transcription is not None:
            return config
        self._ours = True
        return config.merged({"type": config.type, "audio": {"input": {"transcription": {"model": BUILT_IN.model}}}})

    def update(self, session: Mapping[str, Any], *, event_id: str | None = None) -> dict[str, Any]:
        """A partial session object as the model gets it. Whose the transcription is changes once it is accepted.

        Args:
            event_id: of the update, by which the model refuses it.
        """
        given, ours = self._kept_on(session)
        if self._on:
            self._asked.append((event_id, ours))
        return given

    def restart(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """The same for what a further session begins with: nobody is asked."""
        given, ours = self._kept_on(session)
        if ours is not None:
            self._ours = ours
        return given

    def accepted(self) -> None:
        """The model put the oldest update in force: it answers them in order."""
        if self._asked:
            _, ours = self._asked.popleft()
            if ours is not None:
                self._ours = ours

    def refused(self, event_id: str | None) -> None:
        """The model refused this event; if it was an update, everything stays as it was."""
        for asked in self._asked:
            if asked[0] is not None and asked[0] == event_id:
                self._asked.remove(asked)
                return

    def unasked(self) -> None:
        """The next session object that is put in force answers no update."""
        if self._on:
            self._asked.appendleft((None, None))

    def shown(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """An effective session object as clients see it."""
        heard = value_at(session, "audio", "input")
        if not self._ours or not isinstance(heard, Mapping):
            return dict(session)
        return {**session, "audio": {**session["audio"], "input": {**heard, "transcription": None}}}

    def hides(self, event: ServerEvent) -> bool:
        """Whether clients do not get this event."""
        return self._ours and isinstance(event, _EVENTS)

    def _kept_on(self, session: Mapping[str, Any]) -> tuple[dict[str, Any], bool | None]:
        """Ours in the place of none; and whether that is so, or None when transcription stays as it is."""
        given = dict(session)
        heard = value_at(given, "audio", "input")
        if not self._on or not isinstance(heard, Mapping) or "transcription" not in heard:
            return given, None
        ours = heard["transcription"] is None
        if ours:
            given["audio"] = {**given["audio"], "input": {**heard, "transcription": {"model": BUILT_IN.model}}}
        return given, ours
