"""What all events have in common."""

from __future__ import annotations

from perhop.realtime.wire import WireModel

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


class UnknownClientEvent(ClientEvent):
    """A client event of a type this version does not know, kept whole so that a gateway can pass it on."""


class UnknownServerEvent(ServerEvent):
    """A server event of a type or shape this version does not know, kept whole so that a gateway can pass it on."""
