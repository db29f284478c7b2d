"""The event channel of one caller: Realtime events as messages of the data channel ``oai-events``."""

from __future__ import annotations

import re
from collections import deque
from typing import Protocol

import structlog

from perhop.edges.rate import TokenBucket
from perhop.edges.webrtc.sctp import Channel
from perhop.media.answer import MAX_MESSAGE_SIZE
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import ClientEvent, ServerEvent, parse_client_event
from perhop.realtime.ids import IdFactory

__all__ = ["LABEL", "ChannelOwner", "EventChannel"]

_log = structlog.get_logger(__name__)

LABEL = "oai-events"

MESSAGES_PER_S = 100.0
MESSAGE_BURST = 400.0
MESSAGE_UNIT = 4096
"""A message counts one, and one more for each of these bytes: 256 KiB count 65."""

FLOOD_MESSAGES = 1000
"""Messages refused in a row of floods until the caller is taken for an attacker."""

COMPLAINT_INTERVAL = 1.0
"""s between two error events about flooding."""

MAX_HELD_EVENTS = 1024
MAX_QUEUE = 2 << 20
"""Bytes that may wait for the caller, before the channel is open or because it does not read."""

_EVENT_ID = re.compile(rb'"event_id"\s*:\s*"([^"\\]{1,512})"')


class ChannelOwner(Protocol):
    """Who listens to the event channel."""

    def on_channel_ready(self) -> None:
        """The channel is open."""

    def on_channel_event(self, event: ClientEvent) -> None:
        """A well-formed event."""

    def on_channel_done(self) -> None:
        """The channel was closed, by the peer or after :meth:`EventChannel.close`."""

    def on_channel_overflow(self) -> None:
        """The caller does not read what is sent; nothing more is sent."""

    def on_channel_flood(self) -> None:
        """The caller keeps sending far more than is read; nothing more is read."""


class EventChannel:
    """Events in and out of one data channel.

    A malformed message is answered with an ``error`` event and changes nothing else. So is a message of more than
    262,144 bytes. Beyond 100 messages a second (after a burst of 400; long ones count more) messages are dropped and an
    ``error`` says so, at most once a second; after 1,000 dropped messages the caller is reported as flooding.

    Args:
        expected: whether the peer offered data channels at all. If not, events are dropped without being held.
    """

    def __init__(self, owner: ChannelOwner, *, now: float, new_id: IdFactory, expected: bool) -> None:
        self._owner = owner
        self._new_id = new_id
        self._channel: Channel | None = None
        self._held: deque[str] = deque()
        self._held_bytes = 0
        self._is_over = not expected
        self._bucket = TokenBucket(MESSAGES_PER_S, MESSAGE_BURST, now=now)
        self._refused = 0
        self._complained_at = -COMPLAINT_INTERVAL + now
        self.unsendable = 0
        """Events longer than the peer takes."""

    @property
    def is_open(self) -> bool:
        return self._channel is not None and self._channel.is_open

    def adopt(self, channel: Channel) -> None:
        """Takes the peer's channel if it is the one for events; any other is closed, so that its opener notices."""
        if channel.label != LABEL or self._channel is not None or self._is_over:
            channel.close()
            return
        self._channel = channel
        held, self._held = self._held, deque()
        for text in held:
            self._write(channel, text)
        self._owner.on_channel_ready()

    def send(self, event: ServerEvent) -> None:
        """Sends an event, or holds it until the channel is open."""
        if self._is_over:
            return
        text = event.to_json().decode()
        if self._channel is not None:
            self._write(self._channel, text)
            return
        self._held.append(text)
        self._held_bytes += len(text)
        if len(self._held) > MAX_HELD_EVENTS or self._held_bytes > MAX_QUEUE:
            self._give_up()
            self._owner.on_channel_overflow()

    def receive(self, channel: Channel, message: bytes, now: float) -> None:
        """Takes a message of the peer."""
        if channel is not self._channel or self._is_over:
            return
        if not self._bucket.take(1 + len(message) // MESSAGE_UNIT, now=now):
            self._refuse(message, now)
            return
        try:
            event = self._parse(message)
        except ProtocolError as error:
            self.send(error.to_event(self._new_id("event_")))
            return
        self._owner.on_channel_event(event)

    def closed(self, channel: Channel) -> None:
        """The transport says that this channel is gone."""
        if channel is self._channel:
            self._give_up()
            self._owner.on_channel_done()

    def close(self) -> bool:
        """Closes the channel after what was sent; ``on_channel_done`` follows if this returns True."""
        if self._is_over or self._channel is None or not self._channel.is_open:
            self._give_up()
            return False
        self._is_over = True
        self._channel.close()
        return True

    def _parse(self, message: bytes) -> ClientEvent:
        if len(message) > MAX_MESSAGE_SIZE:
            found = _EVENT_ID.search(message, 0, 1024)
            raise ProtocolError(
                "message_too_large",
                f"A message on the data channel may have {MAX_MESSAGE_SIZE} bytes (a=max-message-size); this one has "
                "more. Send smaller pieces.",
                event_id=found[1].decode("utf-8", "replace") if found else None,
            )
        return parse_client_event(message)

    def _refuse(self, message: bytes, now: float) -> None:
        self._refused += 1
        if self._refused > FLOOD_MESSAGES:
            self._give_up()
            self._owner.on_channel_flood()
        elif now - self._complained_at >= COMPLAINT_INTERVAL:
            self._complained_at = now
            found = _EVENT_ID.search(message, 0, 1024)
            error = ProtocolError(
                "rate_limit_exceeded",
                f"More than {MESSAGES_PER_S:g} messages a second: this one was dropped, and others may be. Slow down.",
                event_id=found[1].decode("utf-8", "replace") if found else None,
                type_="rate_limit_exceeded",
            )
            self.send(error.to_event(self._new_id("event_")))

    def _write(self, channel: Channel, text: str) -> None:
        if not channel.send(text):
            self.unsendable += 1
            _log.warning("an event was not sent: too long for the caller, or the channel is closing", bytes=len(text))
        elif channel.buffered > MAX_QUEUE:
            self._give_up()
            self._owner.on_channel_overflow()

    def _give_up(self) -> None:
        self._is_over = True
        self._held.clear()
