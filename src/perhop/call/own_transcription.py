"""Transcription of the caller that Perhop asks for, so that a further model session can be told what was said.

Clients who did not ask for it never see it: neither its events nor that it is on.
"""

from __future__ import annotations

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

__all__ = ["OwnTranscription"]

_EVENTS = (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
)


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

    def first(self, config: SessionConfig) -> SessionConfig:
        """The configuration to open the first session with."""
        if not self._on or config.audio.input.transcription is not None:
            return config
        self._ours = True
        return config.merged({"type": config.type, "audio": {"input": {"transcription": {"model": BUILT_IN.model}}}})

    def update(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """A client's partial session object as the model gets it."""
        given = dict(session)
        heard = _at(given, "audio", "input")
        if not self._on or not isinstance(heard, Mapping) or "transcription" not in heard:
            return given
        self._ours = heard["transcription"] is None
        if self._ours:
            given["audio"] = {**given["audio"], "input": {**heard, "transcription": {"model": BUILT_IN.model}}}
        return given

    def shown(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """An effective session object as clients see it."""
        heard = _at(session, "audio", "input")
        if not self._ours or not isinstance(heard, Mapping):
            return dict(session)
        return {**session, "audio": {**session["audio"], "input": {**heard, "transcription": None}}}

    def hides(self, event: ServerEvent) -> bool:
        """Whether clients do not get this event."""
        return self._ours and isinstance(event, _EVENTS)


def _at(node: Any, *keys: str) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
