"""Frames → events: strict about what clients send, lenient about what servers send."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final, TypeVar

from pydantic import ValidationError

from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    audio_buffers,
    conversation,
    error,
    mcp,
    response,
    response_output,
    session,
    transcription,
)
from perhop.realtime.events.base import (
    EVENT_ID_MAX,
    ClientEvent,
    Event,
    ServerEvent,
    UnknownClientEvent,
    UnknownServerEvent,
)
from perhop.realtime.wire import JsonObject, clipped, decode_object

__all__ = ["CLIENT_EVENTS", "SERVER_EVENTS", "client_event_of", "parse_client_event", "parse_server_event"]

_FAMILIES: tuple[ModuleType, ...] = (
    error,
    session,
    audio_buffers,
    conversation,
    transcription,
    response,
    response_output,
    mcp,
)


EventT = TypeVar("EventT", bound=Event)


def _by_type(base: type[EventT]) -> Mapping[str, type[EventT]]:
    found: dict[str, type[EventT]] = {}
    for family in _FAMILIES:
        for member in vars(family).values():
            if isinstance(member, type) and issubclass(member, base):
                default = member.model_fields["type"].default
                if isinstance(default, str):  # the bases of the events have none
                    found[default] = member
    return MappingProxyType(found)


CLIENT_EVENTS: Final = _by_type(ClientEvent)
"""Class of every client event, by ``type``."""

SERVER_EVENTS: Final = _by_type(ServerEvent)
"""Class of every server event, by ``type``."""


def parse_client_event(data: bytes | str, *, allow_unknown: bool = False) -> ClientEvent:
    """Reads a client's frame, in time linear in its size.

    Args:
        allow_unknown: let events and fields of newer versions through, as a gateway in front of another server may
            want; an event of unknown type is then an :class:`UnknownClientEvent`.

    Raises:
        ProtocolError: the only exception; its ``event_id`` is the client's own whenever that can be read.
            ``invalid_json``, ``invalid_event``, ``missing_required_parameter``, ``unknown_parameter``,
            ``invalid_type`` or ``invalid_value``.
    """
    return client_event_of(decode_object(data), allow_unknown=allow_unknown)


def client_event_of(obj: JsonObject, *, allow_unknown: bool = False) -> ClientEvent:
    """Reads a client's frame that was decoded before.

    Raises:
        ProtocolError: as :func:`parse_client_event`.
    """
    event_id = _client_event_id(obj)
    kind = obj.get("type")
    if not isinstance(kind, str):
        problem = "is missing" if kind is None else "is not a string"
        raise ProtocolError("invalid_event", f"The 'type' field {problem}.", "type", event_id)
    cls = CLIENT_EVENTS.get(kind)
    try:
        if cls is None:
            if allow_unknown:
                return UnknownClientEvent.of(obj)
            raise ProtocolError("invalid_event", f"There is no client event of type '{clipped(kind)}'.", "type")
        event = cls.parse(obj, strict=not allow_unknown)
        if not allow_unknown:
            event.check()
    except ProtocolError as error_:
        raise error_.for_event(event_id) from None
    return event


def _client_event_id(obj: JsonObject) -> str | None:
    """The client's id, checked before anything else so that every other error can name it."""
    event_id = obj.get("event_id")
    if event_id is None:
        return None
    if not isinstance(event_id, str):
        raise ProtocolError("invalid_type", "Invalid type for 'event_id': it should be a string.", "event_id")
    if len(event_id) > EVENT_ID_MAX:
        raise ProtocolError("invalid_value", f"'event_id' has more than {EVENT_ID_MAX} characters.", "event_id")
    return event_id


def parse_server_event(data: bytes | str) -> ServerEvent:
    """Reads a server's frame. What is not known, or not as expected, survives as it is.

    Returns:
        The event's own class, or :class:`UnknownServerEvent` for a type or shape this version does not know.

    Raises:
        ProtocolError: the frame is not a JSON object with a string ``type``.
    """
    obj = decode_object(data)
    kind = obj.get("type")
    if not isinstance(kind, str):
        raise ProtocolError("invalid_event", "The 'type' field is missing.", "type")
    cls = SERVER_EVENTS.get(kind)
    try:
        return UnknownServerEvent.of(obj) if cls is None else cls.model_validate(obj)
    except ValidationError:
        return UnknownServerEvent.of(obj)
