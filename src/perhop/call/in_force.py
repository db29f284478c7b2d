"""The session that is in force in a call: what of it is whose to decide, and what clients see of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perhop.call.event_audio import EventAudio
from perhop.call.own_transcription import OwnTranscription
from perhop.call.ownership import SessionLock, succession, turn_detection
from perhop.realtime.events import (
    ConversationItemRetrieved,
    ResponseCreate,
    ResponseParams,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.session import SessionConfig

__all__ = ["SessionInForce"]


class SessionInForce:
    """Of one call.

    Args:
        lock: what the agent decides.
        transcribe: have the caller's words written down for Perhop itself.

    Attributes:
        audio: converts clips in events by the formats in force.
        shown: the effective session as clients see it; empty before there is one.
        interrupts: speech of the caller interrupts the agent by itself.
        answers: turns are answered without being asked for.
    """

    def __init__(self, lock: SessionLock, *, transcribe: bool) -> None:
        self.audio = EventAudio()
        self.shown: Mapping[str, Any] = {}
        self.interrupts = True
        self.answers = True
        self.lock = lock
        self._transcription = OwnTranscription(on=transcribe)

    def first(self, config: SessionConfig) -> SessionConfig:
        """The configuration to open the first model session with."""
        return self._transcription.first(config)

    def asked(self, event: SessionUpdate) -> SessionUpdate:
        """A client's update as the model gets it: what the agent decides is not in it."""
        return self.told(event.model_copy(update={"session": self.lock.apply(event.session)}))

    def response(self, event: ResponseCreate) -> ResponseCreate:
        """A client's wish for a response, without what the agent decides of it, as the model gets it."""
        if event.response is None:
            return event
        allowed = self.lock.apply(event.response.to_dict())
        return event.model_copy(update={"response": ResponseParams.model_validate(allowed)})

    def told(self, event: SessionUpdate) -> SessionUpdate:
        """An update that nobody's lock stands against, as the model gets it."""
        changes = self._transcription.update(event.session, event_id=event.event_id)
        return event.model_copy(update={"session": changes})

    def restarted(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """What another agent changes, as a further model session gets it."""
        return self._transcription.restart(session)

    def refused(self, event_id: str | None) -> None:
        """The model refused an event; perhaps an update."""
        self._transcription.refused(event_id)

    def unasked(self) -> None:
        """What is put in force next answers no update."""
        self._transcription.unasked()

    def put(self, event: SessionCreated | SessionUpdated, *, expires_at: int) -> Mapping[str, Any]:
        """The model put this in force. The session ends when the call must, whatever the model says of its own.

        Returns:
            What clients see.
        """
        session = event.session
        if isinstance(event, SessionUpdated):
            self._transcription.accepted()
        self.shown = {**self._transcription.shown(session), "expires_at": expires_at}
        self.audio.put_in_force(self.shown)
        detection = turn_detection(self.shown)
        self.interrupts = detection is not None and detection.get("interrupt_response") is not False
        self.answers = detection is not None and detection.get("create_response") is not False
        return self.shown

    def to_clients(self, event: ServerEvent) -> ServerEvent | None:
        """An event as clients get it; None for one that is for Perhop only."""
        if self._transcription.hides(event):
            return None
        return self.audio.to_clients(event) if isinstance(event, ConversationItemRetrieved) else event

    def succeed(self, lock: SessionLock) -> tuple[dict[str, Any], bool]:
        """Another agent decides from here on; what it does not decide stays as it was.

        Returns:
            The update for the model, and whether the voice stays: a session that has spoken keeps its voice.
        """
        changes, same_voice = succession(self.shown, self.lock, lock)
        self.lock = lock
        return changes, same_voice
