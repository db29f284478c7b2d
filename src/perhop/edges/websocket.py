"""Callers over WebSocket: each message is one event, audio travels as base64 inside it.

How the call ended is the close: the code of :mod:`perhop.call.endings`, and the word itself as the reason. Besides,
1008 ``slow_reader`` (what waits for the client passed the limit) and 1009 a message far over the limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.websockets import WebSocket

from perhop.call.endings import ENDINGS
from perhop.call.legs import CallerSink, EndReason, HopStats, Position, Transport
from perhop.edges.socket import EventSocket, WebSocketLimits
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent, ServerEvent
from perhop.realtime.ids import IdFactory, new_id

__all__ = ["WebSocketLeg"]


class WebSocketLeg:
    """One caller over an accepted WebSocket; a :class:`~perhop.call.legs.CallerLeg`.

    ``run()`` reads until the connection is over; the call is attached before.

    Args:
        websocket: accepted before ``run()``.
        clock: seconds, monotonic.
    """

    transport: Transport = "websocket"
    clocked = False

    def __init__(
        self,
        websocket: WebSocket,
        *,
        limits: WebSocketLimits,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self._sink: CallerSink | None = None
        self._closed = False
        self._socket = EventSocket(websocket, self, limits=limits, clock=clock, new_id=new_id)

    # -- CallerLeg ----------------------------------------------------------------------------------------------------

    def attach(self, sink: CallerSink) -> None:
        """Names the call."""
        self._sink = sink

    def send(self, event: ServerEvent) -> None:
        """Queues one event for the writer."""
        self._socket.send(event)

    def play(self, chunk: AudioChunk) -> None:
        """Queues model audio as ``response.output_audio.delta``; the client plays it at its own pace."""
        self._socket.send_audio(chunk)

    def end_audio(self, response_id: str) -> None:
        """Nothing to do: when the audio has played out is the client's knowledge."""

    def clear(self) -> str | None:
        """Drops audio that still waits to be written; what the client has, it drops by itself."""
        self._socket.drop_audio()
        return None

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None:
        """What the client threw away is not counted as played."""
        self._socket.stopped(item_id, played_ms)

    def position(self, item_id: str) -> Position:
        """What was handed to the client, and what it played if it started at once and never paused."""
        return self._socket.position(item_id)

    def report(self, *, jitter_buffer_ms: float | None) -> None:
        """A WebSocket client has no jitter buffer."""

    def stats(self) -> HopStats:
        """Nothing is measured on this hop."""
        return HopStats()

    def close(self, reason: EndReason) -> None:
        """Closes after what was queued before."""
        self._closed = True
        self._socket.close(ENDINGS[reason].close_code, reason.value)

    # -- from the socket ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serves the connection until it is over; on return both directions are closed and the call knows."""
        sink = self._joined()
        if not self._socket.closing:
            sink.on_caller_ready()
        await self._socket.run()

    def on_client_event(self, event: ClientEvent) -> None:
        """Hands a client event to the call."""
        self._joined().on_caller_event(event)

    def on_client_audio(self, pcm: bytes) -> None:
        """Hands appended audio to the call."""
        self._joined().on_caller_audio(pcm)

    def on_client_gone(self, reason: EndReason) -> None:
        """Tells the call that the client is gone, unless the call has let go of this leg before."""
        if not self._closed:
            self._joined().on_caller_closed(reason)

    def _joined(self) -> CallerSink:
        if self._sink is None:
            raise RuntimeError("attach() comes before run()")
        return self._sink
