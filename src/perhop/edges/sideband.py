"""Controllers over WebSocket: further clients of a call that somebody else is in, on whatever edge.

Close codes: 1000 the call is over, and how is the reason; 1001 it reached a limit, or the server goes away; 1008
``slow_reader``: what waited for this controller passed the limit. Closing the socket leaves the call as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.websockets import WebSocket

from perhop.call.call import Call
from perhop.call.endings import ENDINGS
from perhop.call.legs import EndReason
from perhop.edges.socket import EventSocket, WebSocketLimits
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent, ServerEvent
from perhop.realtime.ids import IdFactory, new_id

__all__ = ["Sideband"]

_GOING_AWAY = 1001


class Sideband:
    """One controller; a :class:`~perhop.call.taps.Tap`. It follows the call from when it is made.

    Args:
        websocket: accepted before ``run()``.
        trusted: it came with an API key, not with a page's client secret.
        audio: also send the model's audio, as ``response.output_audio.delta``.
        clock: seconds, monotonic.

    Raises:
        LimitExceededError: too many follow this call already.
    """

    def __init__(
        self,
        websocket: WebSocket,
        call: Call,
        *,
        audio: bool,
        trusted: bool,
        limits: WebSocketLimits,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self._call = call
        self._trusted = trusted
        self._socket = EventSocket(websocket, self, limits=limits, clock=clock, new_id=new_id)
        call.attach(self, audio=audio)

    async def run(self) -> None:
        """Serves the connection until it or the call is over."""
        await self._socket.run()

    def leave(self) -> None:
        """Follows the call no more, because the connection never came to be."""
        self._call.detach(self)

    # -- from the call ------------------------------------------------------------------------------------------------

    def on_event(self, event: ServerEvent) -> None:
        """Queues one event for the controller."""
        self._socket.send(event)

    def on_audio(self, chunk: AudioChunk) -> None:
        """Queues model audio for the controller."""
        self._socket.send_audio(chunk)

    def on_ended(self, reason: EndReason) -> None:
        """Closes after what was queued before."""
        code = ENDINGS[reason].close_code
        self._socket.close(code if code == _GOING_AWAY else 1000, reason.value)

    # -- from the socket ----------------------------------------------------------------------------------------------

    def on_client_event(self, event: ClientEvent) -> None:
        """Hands a client event to the call."""
        self._call.on_controller_event(self, event, trusted=self._trusted)

    def on_client_audio(self, pcm: bytes) -> None:
        """Hands appended audio to the call."""
        self._call.on_controller_audio(pcm)

    def on_client_gone(self, reason: EndReason) -> None:  # noqa: ARG002 - why it went is its own business
        """The controller is gone; the call goes on."""
        self._call.detach(self)
