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

    Args:
        model: what transcribes; None for a model that cannot be lost, whose session keeps its conversation itself.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._ours = False

    def first(self, config: SessionConfig) -> SessionConfig:
        """The configuration to open the first session with."""
        asked = config.audio.input.transcription
        if self._model is None or (asked is not None and asked.model != BUILT_IN.model):
            return config
        self._ours = asked is None
        return config.merged({"type": config.type, "audio": {"input": {"transcription": {"model": self._model}}}})

    def update(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """A client's partial session object as the model gets it."""
        given = dict(session)
        heard = _at(given, "audio", "input")
        if self._model is None or not isinstance(heard, Mapping) or "transcription" not in heard:
            return given
        self._ours = heard["transcription"] is None
        if self._ours:
            given["audio"] = {**given["audio"], "input": {**heard, "transcription": {"model": self._model}}}
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
