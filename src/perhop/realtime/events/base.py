"""What all events have in common."""

from __future__ import annotations

from typing import Self

import orjson
from pydantic import PrivateAttr

from perhop.realtime.wire import JsonObject, WireModel

__all__ = ["EVENT_ID_MAX", "ClientEvent", "Event", "ServerEvent", "UnknownClientEvent", "UnknownServerEvent"]

EVENT_ID_MAX = 512
"""Longest ``event_id`` a client may give, in characters."""


class Event(WireModel):
    """One event; ``type`` says which."""

    type: str
    event_id: str | None = None


class ClientEvent(Event):
    """Client → server. ``event_id`` is optional and comes back only in an ``error`` about this event."""

    def check(self) -> None:
        """Checks what the types alone cannot say.

        Raises:
            ProtocolError: naming the field.
        """


class ServerEvent(Event):
    """Server → client. Every one has an ``event_id``, but for ``input_audio_buffer.dtmf_event_received``."""


class _Unknown(Event):
    """Keeps the whole object as it came; ``type`` and ``event_id`` can be read, and replaced in a copy."""

    _raw: JsonObject = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, obj: JsonObject) -> Self:
        """The event for a decoded object whose ``type`` is a string."""
        event_id = obj.get("event_id")
        event = cls(type=obj["type"], event_id=event_id if isinstance(event_id, str) else None)
        event._raw = obj
        return event

    @property
    def raw(self) -> JsonObject:
        """The object as it came."""
        return self._raw

    def to_dict(self) -> JsonObject:
        changed = {"event_id": self.event_id} if self.event_id is not None else {}
        return {**self._raw, "type": self.type, **changed}

    def to_json(self) -> bytes:
        return orjson.dumps(self.to_dict())


class UnknownClientEvent(_Unknown, ClientEvent):
    """A client event of a type this version does not know, kept whole so that a gateway can pass it on."""


class UnknownServerEvent(_Unknown, ServerEvent):
    """A server event of a type or shape this version does not know, kept whole so that a gateway can pass it on."""
