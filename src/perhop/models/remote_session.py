"""A call's session in the terms of a remote model, and back.

A call speaks 24 kHz PCM with its model whatever its caller negotiated (the edges convert), so the remote session is
always told PCM, and callers are always shown the format they chose. What only the built-in model understands stays
here: ``x-…`` keys of tool schemas, and transcription by the "built-in" model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perhop.realtime.events import (
    ClientEvent,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.session import SessionConfig
from perhop.realtime.wire import JsonObject
from perhop.tools.jsonschema import without_extensions

__all__ = ["RemoteSession", "session_for_model"]

_PCM: JsonObject = {"type": "audio/pcm", "rate": 24_000}
_BUILT_IN = "built-in"
_PENDING = 64
"""Updates a model may leave unanswered; of older ones the formats are not known any more."""

_DIRECTIONS = ("input", "output")


@dataclass(frozen=True, slots=True)
class _Pending:
    """An update on its way."""

    event_id: str
    formats: JsonObject


class RemoteSession:
    """Translates for one session.

    Args:
        config: what the call asked for.
        transcription_model: who transcribes where nobody named a model for it.
        extensions: whether the model reads the ``x-…`` keys of tools.
    """

    def __init__(
        self, config: SessionConfig, *, transcription_model: str, new_id: IdFactory, extensions: bool = False
    ) -> None:
        self._extensions = extensions
        self._transcription_model = transcription_model
        self._new_id = new_id
        self._pending: deque[_Pending] = deque(maxlen=_PENDING)
        sound = config.audio
        self._formats: JsonObject = {"input": sound.input.format.wire(), "output": sound.output.format.wire()}
        self._config = config

    def opening(self) -> SessionUpdate:
        """The first event: everything that somebody decided. What nobody did is the model's to choose.

        ``model`` is not in it: a session's model is settled by its address.
        """
        session = self._config.to_dict()
        session.pop("model", None)
        session = self._session_to_model(session)
        audio = session.setdefault("audio", {})
        audio.setdefault("input", {})["format"] = _PCM
        if self._config.type == "realtime":
            audio.setdefault("output", {})["format"] = _PCM
        return SessionUpdate(event_id=self._new_id("event_"), session=session)

    def to_model(self, event: ClientEvent) -> ClientEvent:
        """A client event as the model may see it; most are what they were."""
        if isinstance(event, SessionUpdate):
            event_id = event.event_id or self._new_id("event_")
            self._pending.append(_Pending(event_id, _formats_in(event.session)))
            return event.model_copy(update={"event_id": event_id, "session": self._session_to_model(event.session)})
        return self._response_to_model(event) if isinstance(event, ResponseCreate) else event

    def refused(self, event_id: str | None) -> None:
        """The model refused this event."""
        for pending in self._pending:
            if pending.event_id == event_id:
                self._pending.remove(pending)
                return

    def to_call(self, event: ServerEvent) -> ServerEvent:
        """A server event as the call is to see it."""
        match event:
            case SessionUpdated():
                if self._pending:
                    self._formats |= self._pending.popleft().formats
                return event.model_copy(update={"session": self.shown(event.session)})
            case SessionCreated():
                return event.model_copy(update={"session": self.shown(event.session)})
            case ResponseCreated() | ResponseDone() if event.response.audio is not None:
                sound = event.response.audio.output
                if sound is None or sound.format is None or sound.format == self._formats["output"]:
                    return event
                sound = sound.model_copy(update={"format": self._formats["output"]})
                audio = event.response.audio.model_copy(update={"output": sound})
                return event.model_copy(update={"response": event.response.model_copy(update={"audio": audio})})
            case _:
                return event

    def shown(self, session: Mapping[str, Any]) -> JsonObject:
        """The model's session with the caller's formats in it."""
        audio = session.get("audio")
        if not isinstance(audio, Mapping):
            return dict(session)
        changed = {
            name: {**part, "format": self._formats[name]}
            for name in _DIRECTIONS
            if isinstance(part := audio.get(name), Mapping)
        }
        return {**session, "audio": {**audio, **changed}}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _session_to_model(self, session: Mapping[str, Any]) -> JsonObject:
        plain = session_for_model(
            dict(session), transcription_model=self._transcription_model, extensions=self._extensions
        )
        audio = plain.get("audio")
        if isinstance(audio, dict):
            for part in audio.values():
                if isinstance(part, dict) and "format" in part:
                    part["format"] = _PCM
        return plain

    def _response_to_model(self, event: ResponseCreate) -> ResponseCreate:
        """One response has the format of its session: the answer to a request cannot be told from others in time."""
        params = event.response
        if params is None or (params.tools is None and params.audio is None):
            return event
        whole = params.to_dict()
        if isinstance(whole.get("tools"), list) and not self._extensions:
            whole["tools"] = [_plain_tool(tool) for tool in whole["tools"]]
        audio = whole.get("audio")
        sound = audio.get("output") if isinstance(audio, Mapping) else None
        if isinstance(sound, dict):
            sound.pop("format", None)
        return event.model_copy(update={"response": type(params).model_validate(whole)})


def session_for_model(session: JsonObject, *, transcription_model: str, extensions: bool = False) -> JsonObject:
    """A ``session`` object, complete or in part, without what only the built-in model understands; a copy.

    Args:
        extensions: leave the ``x-…`` keys of tools in: it is a built-in model of another Perhop.
    """
    session = dict(session)
    if isinstance(session.get("tools"), list) and not extensions:
        session["tools"] = [_plain_tool(tool) for tool in session["tools"]]
    audio = session.get("audio")
    if not isinstance(audio, Mapping):
        return session
    audio = {name: dict(part) if isinstance(part, Mapping) else part for name, part in audio.items()}
    heard = audio.get("input")
    if isinstance(heard, dict) and isinstance(transcription := heard.get("transcription"), Mapping):
        model = transcription.get("model", _BUILT_IN)
        heard["transcription"] = {**transcription, "model": transcription_model if model == _BUILT_IN else model}
    return {**session, "audio": audio}


def _plain_tool(tool: Any) -> Any:
    if not isinstance(tool, Mapping) or not isinstance(tool.get("parameters"), Mapping):
        return tool
    return {**tool, "parameters": without_extensions(tool["parameters"])}


def _formats_in(session: Mapping[str, Any]) -> JsonObject:
    """The formats that an update sets."""
    audio = session.get("audio")
    found: JsonObject = {}
    for name in _DIRECTIONS:
        part = audio.get(name) if isinstance(audio, Mapping) else None
        given = part.get("format") if isinstance(part, Mapping) else None
        if isinstance(given, Mapping):
            found[name] = _PCM if given.get("type") == "audio/pcm" else dict(given)
    return found
