"""The configuration that is in force in a call, whichever model session it is in force in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from perhop.call.ownership import turn_detection
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import ClientEvent, SessionCreated, SessionUpdate, SessionUpdated
from perhop.realtime.session import SessionConfig
from perhop.realtime.session_object import value_at

__all__ = ["SessionState"]

_log = structlog.get_logger(__name__)


class SessionState:
    """What a further session has to be configured with.

    Args:
        config: of the first session.

    Attributes:
        config: with every update that a model has accepted.
        announced: the call was told of its session.
        changed: a further session was asked to be different, and is not in force yet.
    """

    def __init__(self, config: SessionConfig) -> None:
        self.config = config
        self.announced = False
        self.changed = False
        self._id: object = None
        self._session: Mapping[str, Any] = config.to_wire("")

    def created(self, event: SessionCreated) -> SessionCreated:
        """The first session exists."""
        self.announced = True
        self._id = event.session.get("id")
        self._session = event.session
        return event

    def updated(self, event: SessionUpdated, answered: ClientEvent | None) -> SessionUpdated:
        """A model put a configuration in force; to clients the session stays the one it was."""
        if isinstance(answered, SessionUpdate):
            try:
                self.config = self.config.merged({"type": self.config.type, **answered.session})
            except ProtocolError as error:
                # The model takes what we do not know; a further session starts without it.
                _log.warning("an accepted session update cannot be kept", param=error.param)
        self._session = event.session
        return event.model_copy(update={"session": {**event.session, "id": self._id}})

    def moved(self, session: Mapping[str, Any]) -> Mapping[str, Any]:
        """A further session came in force that is not like the one before; returns what clients are to see of it."""
        self.changed = False
        self._session = session
        return {**session, "id": self._id}

    def change(self, changes: Mapping[str, Any]) -> None:
        """A further session is to have this configuration."""
        self.config = self.config.merged({"type": self.config.type, **changes})
        self.changed = True

    @property
    def manual(self) -> bool:
        """Clients commit the caller's audio by hand."""
        return turn_detection(self._session) is None

    @property
    def automatic(self) -> bool:
        """Turns are answered without being asked for."""
        detection = turn_detection(self._session)
        return detection is not None and detection.get("create_response") is not False

    @property
    def transcribing(self) -> bool:
        """The caller's turns are transcribed."""
        return value_at(self._session, "audio", "input", "transcription") is not None
