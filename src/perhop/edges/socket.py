"""A WebSocket that speaks Realtime events both ways, bounded in both: what callers and controllers over it share.

Reading and writing are each one task a connection. Audio takes a short way in: the event is recognised in the decoded
object, its base64 is decoded, and the samples go on; no model is built. Everything else is validated whole. Audio is
24 kHz PCM on our side and in the session's formats on the wire: it is converted here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pybase64
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from perhop.call.event_audio import clips_of
from perhop.call.legs import EndReason, Position
from perhop.edges.handed_over import HandedOver
from perhop.edges.outbox import Outbox
from perhop.edges.rate import TokenBucket
from perhop.edges.session_audio import SessionAudio
from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ErrorEvent,
    ServerEvent,
    SessionUpdate,
    SessionUpdated,
    client_event_of,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.session_object import value_at
from perhop.realtime.wire import decode_object

__all__ = ["APPEND_MAX_BYTES", "SLOW_READER", "EventSocket", "SocketUser", "WebSocketLimits"]

APPEND_MAX_BYTES = 15 << 20
"""Audio of one ``input_audio_buffer.append``, decoded; the Realtime API's own limit."""

SLOW_READER = "slow_reader"

APPEND = "input_audio_buffer.append"

FLUSH_S = 2.0
"""How long a closing connection may take to get rid of what was said before."""

FORMAT_WAIT_S = 5.0
"""How long reading stops for the answer to a change of the caller's audio format."""

_LONG_S = 0.004
"""Work on one message after which other calls get their turn."""

_BROKEN_PROTOCOL = frozenset({1002, 1003, 1007, 1008, 1009})
"""Close codes with which the server itself ends a connection: broken frames, text that is not UTF-8, a flood of frames,
far too large."""

_INTERNAL_ERROR = 1011
_POLICY = 1008

_EVENT_ID = re.compile(r'"event_id"\s*:\s*"([^"\\]{1,64})"')


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """Bounds of one connection.

    Attributes:
        max_message_bytes: one message; a larger one gets an ``error`` and has no effect.
        audio_backlog_s: how far appended audio may run ahead of real time; what goes beyond gets an ``error``. So may
            audio in items that has to be converted, counted apart.
        messages_per_s: messages read a second, after ``message_burst``; the rest waits in the client's own socket.
        send_queue_bytes: what may wait for a client that does not read; beyond it the connection is closed.
    """

    max_message_bytes: int = 21 << 20
    audio_backlog_s: float = 600.0
    messages_per_s: float = 500.0
    message_burst: int = 20_000
    send_queue_bytes: int = 16 << 20


class SocketUser(Protocol):
    """Who is behind a socket, on our side. Every method must return at once."""

    def on_client_event(self, event: ClientEvent) -> None:
        """A well-formed client event; malformed ones are answered here."""

    def on_client_audio(self, pcm: bytes) -> None:
        """Appended audio, whole samples, any length."""

    def on_client_gone(self, reason: EndReason) -> None:
        """The client is gone; called exactly once, unless :meth:`EventSocket.close` came first."""


class EventSocket:
    """One connection. ``run()`` serves it until it is over.

    Args:
        websocket: accepted before ``run()``.
        user: told what the client says.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        websocket: WebSocket,
        user: SocketUser,
        *,
        limits: WebSocketLimits,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self._websocket = websocket
        self._user = user
        self._limits = limits
        self._clock = clock
        self._new_id = new_id
        self._outbox = Outbox()
        self._writer: asyncio.Task[None] | None = None
        self._close: tuple[int, str] | None = None
        self._gone = False
        self._ended = EndReason.CALLER_LOST
        self._audio = SessionAudio()
        self._handed_over = HandedOver()
        self._format_settled = asyncio.Event()
        self._format_settled.set()
        now = clock()
        self._messages = TokenBucket(limits.messages_per_s, limits.message_burst, now=now)
        most = limits.audio_backlog_s * 1000 * BYTES_PER_MS
        self._backlog = TokenBucket(1000 * BYTES_PER_MS, most, now=now)
        # Apart from the backlog: clips of the past must not cost the caller what is said now.
        self._clips = TokenBucket(1000 * BYTES_PER_MS, most, now=now)

    @property
    def closing(self) -> bool:
        """Whether it was closed from this side: what is sent now goes nowhere."""
        return self._close is not None

    def send(self, event: ServerEvent) -> None:
        """Queues one event for the writer."""
        last = self._audio.observe(event)
        if last is not None:
            self._hand_over(last)
        self._enqueue(event.to_json(), None)
        if isinstance(event, SessionUpdated | ErrorEvent):
            self._format_settled.set()

    def send_audio(self, chunk: AudioChunk) -> None:
        """Queues model audio as ``response.output_audio.delta``."""
        chunk = self._audio.say(chunk)
        if chunk.audio:
            self._hand_over(chunk)

    def drop_audio(self) -> None:
        """Takes back the audio that still waits to be written."""
        for chunk in self._outbox.drop_audio():
            self._handed_over.take_back(chunk, self._clock())

    def stopped(self, item_id: str | None, played_ms: int) -> None:
        """The client plays nothing more of what it was handed; where in which item it stopped, if it said so."""
        self._handed_over.stopped(self._clock(), item_id, played_ms)

    def position(self, item_id: str) -> Position:
        """What of an item was handed to the client, and what it played if it started at once and never paused."""
        return self._handed_over.position(item_id, self._clock())

    def close(self, code: int, reason: str) -> None:
        """Closes after what was queued before; the first close counts."""
        if self._close is not None:
            return
        self._close = (code, reason)
        self._outbox.wake()
        self._bound_closing()

    async def run(self) -> None:
        """Serves the connection; on return both directions are closed and the user knows.

        What goes wrong behind the socket is told to the client by a close with 1011, and raised.
        """
        reader = asyncio.create_task(self._read(), name="websocket reader")
        writer = self._writer = asyncio.create_task(self._write(), name="websocket writer")
        self._bound_closing()
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done() and reader.exception() is not None:
                # Something behind this socket is broken; the client is still there and should hear of it.
                self.close(_INTERNAL_ERROR, "internal_error")
                self._user.on_client_gone(EndReason.MODEL_FAILED)
            else:
                self._gone = reader.done()
                self._outbox.wake()
            # The side that is left gets a moment: the writer to notice, or the reader to see the close answered.
            await asyncio.wait({reader, writer}, timeout=FLUSH_S)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.wait({reader, writer})
            if self._close is None:
                self._close = (1006, "")
                self._user.on_client_gone(EndReason.CALLER_LOST if reader.cancelled() else self._ended)
        for task in (reader, writer):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._ended = _end_of(message)
                return
            if self._close is not None:
                continue
            data: str | bytes | None = message.get("text")
            if data is None:
                data = message.get("bytes") or b""
            try:
                await self._handle(data)
            except ProtocolError as error:
                self.send(error.to_event(self._new_id("event_")))
            if not self._format_settled.is_set():
                await self._settle_format()
            if pause := self._messages.throttle(1, now=self._clock()):
                await asyncio.sleep(pause)

    async def _handle(self, data: str | bytes) -> None:
        if len(data) > self._limits.max_message_bytes:
            raise ProtocolError(
                "message_too_large",
                f"A message may have {self._limits.max_message_bytes} bytes; this one has more. Send smaller pieces.",
                event_id=_event_id_in(data),
            )
        event = decode_object(data)
        kind = event.get("type")
        if kind == APPEND:
            await self._hear(self._decode(event))
            return
        if kind == "input_audio_buffer.clear" or kind == "input_audio_buffer.commit":
            self._audio.restart()
        parsed = client_event_of(event)
        if isinstance(parsed, SessionUpdate) and _names_input_format(parsed.session):
            self._format_settled.clear()
        has_clips = self._audio.growth > 1 and self._count_clips(parsed)
        self._user.on_client_event(parsed)
        if has_clips:
            await asyncio.sleep(0)

    def _count_clips(self, event: ClientEvent) -> bool:
        """Whether there is audio in the items of an event, all of which is converted in one go."""
        size = sum(len(encoded) * 3 // 4 for _, encoded in clips_of(event)) * self._audio.growth
        if not self._clips.take(size, now=self._clock()):
            raise ProtocolError(
                "input_audio_backlog_exceeded",
                f"Audio in items may run {self._limits.audio_backlog_s:g} s ahead of real time; this was dropped.",
                event_id=event.event_id,
                type_="rate_limit_exceeded",
            )
        return size > 0

    async def _hear(self, audio: bytes) -> None:
        """Hands appended audio on. Whole files are converted in pieces, between which others get their turn."""
        began = time.perf_counter()
        for pcm in self._audio.hear(audio):
            self._user.on_client_audio(pcm)
            if time.perf_counter() - began > _LONG_S:
                await asyncio.sleep(0)
                began = time.perf_counter()
            if self._close is not None:
                return

    async def _settle_format(self) -> None:
        """What comes next is in another format, if the update is accepted: reads on once that is known.

        A model in process has answered already; one that is far away has not.
        """
        try:
            async with asyncio.timeout(FORMAT_WAIT_S):
                await self._format_settled.wait()
        except TimeoutError:
            self._format_settled.set()

    def _decode(self, event: dict[str, object]) -> bytes:
        event_id = event.get("event_id")
        if event_id is not None and not isinstance(event_id, str):
            raise ProtocolError("invalid_type", "'event_id' must be a string.", param="event_id")
        encoded = event.get("audio")
        if not isinstance(encoded, str):
            code = "missing_required_parameter" if encoded is None else "invalid_type"
            raise ProtocolError(code, "'audio' must be a string of base64.", param="audio", event_id=event_id)
        try:
            audio = pybase64.b64decode(encoded, validate=True)
        except ValueError:
            raise ProtocolError(
                "invalid_value", "'audio' is not valid base64.", param="audio", event_id=event_id
            ) from None
        if len(audio) > APPEND_MAX_BYTES:
            raise ProtocolError(
                "invalid_value",
                f"'audio' may hold {APPEND_MAX_BYTES} bytes; this holds {len(audio)}.",
                param="audio",
                event_id=event_id,
            )
        if not self._backlog.take(len(audio) * self._audio.growth, now=self._clock()):
            raise ProtocolError(
                "input_audio_backlog_exceeded",
                f"Audio may run {self._limits.audio_backlog_s:g} s ahead of real time; this was dropped.",
                param="audio",
                event_id=event_id,
                type_="rate_limit_exceeded",
            )
        return audio

    # -- writing ------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        """The only writer of this connection."""
        try:
            while not self._gone:
                while (message := self._outbox.pop()) is not None:
                    await self._websocket.send_text(message.decode())
                if self._close is not None:
                    await self._websocket.close(*self._close)
                    return
                await self._outbox.wait()
        except WebSocketDisconnect:
            # The client went away between two writes; the reader is told so too, and tells the user.
            return

    def _hand_over(self, chunk: AudioChunk) -> None:
        """Queues audio in the client's format."""
        self._handed_over.add(chunk, self._clock(), bytes_per_ms=self._audio.bytes_per_ms(chunk.response_id))
        self._enqueue(chunk.to_json(self._new_id("event_")), chunk)

    def _enqueue(self, message: bytes, chunk: AudioChunk | None) -> None:
        if self._close is not None or self._gone:
            return
        self._outbox.push(message, chunk)
        if self._outbox.bytes > self._limits.send_queue_bytes:
            self._outbox.drop_all()
            self.close(_POLICY, SLOW_READER)
            # Not from inside the call, which is sending just now.
            asyncio.get_running_loop().call_soon(self._user.on_client_gone, EndReason.CALLER_LOST)

    def _bound_closing(self) -> None:
        """A client that does not read must not hold up the close for ever."""
        if self._close is not None and self._writer is not None:
            asyncio.get_running_loop().call_later(FLUSH_S, self._writer.cancel)


def _end_of(message: Message) -> EndReason:
    """Why the connection is over, by the last ASGI message."""
    if message.get("code") in _BROKEN_PROTOCOL:
        return EndReason.CALLER_ABUSE
    # A close frame comes with a reason, if an empty one; a connection that just broke has none.
    return EndReason.CALLER_HANGUP if "reason" in message else EndReason.CALLER_LOST


def _names_input_format(session: Mapping[str, Any]) -> bool:
    """Whether an update says something about the format of the caller's audio."""
    heard = value_at(session, "audio", "input")
    return isinstance(heard, Mapping) and "format" in heard


def _event_id_in(data: str | bytes) -> str | None:
    """The ``event_id`` of a message that is too large to be parsed, when it stands near its beginning."""
    head = data[:1024]
    found = _EVENT_ID.search(head if isinstance(head, str) else head.decode("utf-8", "replace"))
    return found[1] if found is not None else None
