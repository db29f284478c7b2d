"""uvicorn's connections with bounds it does not have: for requests that never end, and for floods of small frames."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from perhop.edges.rate import TokenBucket

if TYPE_CHECKING:
    from asyncio import BaseTransport, Transport

    from uvicorn._types import ASGIReceiveEvent
    from websockets.frames import Frame

__all__ = ["MAX_FRAGMENTS", "MAX_HEAD_BYTES", "BoundedHttp", "BoundedWebSocket"]

MAX_HEAD_BYTES = 65_536
"""Request line and headers."""

MAX_FRAGMENTS = 8_192
"""Frames of one message. Empty ones count: a limit on bytes does not see them."""

CONTROL_PER_S = 20.0
CONTROL_BURST = 500
"""Pings and pongs a client may send."""

SIGN_OF_LIFE_BYTES = 1_024
"""What a client that answers no ping must send meanwhile: a few bytes of a frame now and then do not keep it."""

_SLICE = 8_192
"""Bytes worked off before other connections get their turn, once there is a message to be read."""

_FLOOD = 1008


class BoundedHttp(HttpToolsProtocol):
    """A request must be complete in time, and its head has a limit.

    Attributes:
        request_s: from the connection, or the first byte of a further request, to the end of that request.
    """

    request_s = 20.0

    def connection_made(self, transport: BaseTransport) -> None:
        """The first request may come now."""
        super().connection_made(cast("Transport", transport))
        self._in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request, or of several."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._arm()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._disarm()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is another protocol's."""
        self._disarm()
        super().handle_websocket_upgrade()

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self.request_s, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Counts frames, and works off what it is sent only as fast as its messages are read.

    A read of the socket can hold tens of thousands of tiny messages. They are parsed a slice at a time, the next one
    when all messages of the last were taken, so no connection holds up the event loop or fills its queue.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = b""
        self._fragments = 0
        self._heard = self._heard_at_ping = 0
        self._control = TokenBucket(CONTROL_PER_S, CONTROL_BURST, now=self.loop.time())

    def data_received(self, data: bytes) -> None:
        """Some bytes of the client."""
        self._heard += len(data)
        self._held = self._held + data if self._held else data
        self._work_off()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message, for the application."""
        message = await super().receive()
        self._work_off()
        return message

    def handle_text(self, event: Frame) -> None:
        """A message begins."""
        self._fragments = 0
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """A message begins."""
        self._fragments = 0
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        """A message goes on."""
        self._fragments += 1
        if self._fragments >= MAX_FRAGMENTS:
            self._refuse("too many fragments")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answers, unless the client does not read: answers must not pile up."""
        if not self._control.take(1, now=self.loop.time()):
            self._refuse("too many pings")
        elif self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_pong(self, event: Frame) -> None:
        """An answer to a ping, or a sign of life."""
        if self._control.take(1, now=self.loop.time()):
            super().handle_pong(event)
        else:
            self._refuse("too many pongs")

    def send_keepalive_ping(self) -> None:
        """Asks whether the client is still there."""
        self._heard_at_ping = self._heard
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """No pong came in time. Who sends much else lives all the same: its pong may wait behind what it does not read
        yet, or behind what is not read here yet."""
        if self._heard - self._heard_at_ping >= SIGN_OF_LIFE_BYTES or self.read_paused:
            self.pong_timer = None
            self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()

    def _work_off(self) -> None:
        """Parses slices until there is a message to be read; reading of the socket is paused then."""
        while self._held and not self.read_paused:
            if self.transport.is_closing():
                self._held = b""
                return
            data, self._held = self._held[:_SLICE], self._held[_SLICE:]
            super().data_received(data)

    def _refuse(self, reason: str) -> None:
        if self.close_sent:
            return
        self.frames = []
        self.queue.put_nowait({"type": "websocket.disconnect", "code": _FLOOD, "reason": reason})
        self.conn.fail(_FLOOD, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
