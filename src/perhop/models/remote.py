"""A model somewhere else as a model leg: one WebSocket that speaks the Realtime protocol.

The session is reported to the call once it is configured: what the model says before (``session.created`` and whatever
follows it) waits for ``session.updated``, so that a caller sees one ``session.created`` with what is really in force,
and nothing the caller says reaches a model that has not got its instructions yet.

Audio takes a short way: PCM is base64 between two constants on the way up, and a flat dictionary on the way down.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
import pybase64
import structlog

from perhop.call.legs import EndReason, ModelSink
from perhop.models.remote_endpoint import Endpoint
from perhop.models.remote_loss import FATAL_CODES, Loss, LossError
from perhop.models.remote_session import RemoteSession
from perhop.models.remote_socket import SocketLimits, UpstreamSocket
from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ErrorEvent,
    InputAudioBufferAppend,
    ResponseOutputAudioDelta,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    parse_server_event,
)
from perhop.realtime.ids import IdFactory, new_id
from perhop.realtime.session import SessionConfig

__all__ = ["RemoteLimits", "RemoteModel"]

_log = structlog.get_logger(__name__)

_APPEND = b'{"type":"input_audio_buffer.append","audio":"%b"}'
_DELTA = b'"response.output_audio.delta"'
_HEAD = 256
"""Bytes of a message in which its ``type`` stands, at every server we know."""

_LARGEST_APPEND = 1_000 * BYTES_PER_MS
"""Audio one message carries at most: a caller may append a whole file at once."""

_EARLY = 512
"""Events a model may say before it is configured."""

_EXPLAINS_S = 5.0
"""How long after an ``error`` event a close counts as its consequence."""


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """Bounds of one session; see :class:`~perhop.config.models.UpstreamSettings`.

    Attributes:
        hold_bytes: messages kept for a model that is not configured yet; beyond it the model counts as lost.
    """

    batch_ms: int = 20
    connect_timeout_s: float = 10.0
    hold_bytes: int = 32 << 20
    transcription_model: str = "gpt-4o-mini-transcribe"
    extensions: bool = False
    socket: SocketLimits = field(default_factory=SocketLimits)


class RemoteModel:
    """One session; a :class:`~perhop.call.legs.ModelLeg`.

    Args:
        endpoint: where.
        call_id: of a call that is live at the model: control that instead of opening a session. Its configuration
            stays as it is.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        limits: RemoteLimits | None = None,
        call_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        new_id: IdFactory = new_id,
    ) -> None:
        self._endpoint = endpoint
        self._limits = limits or RemoteLimits()
        self._call_id = call_id
        self._clock = clock
        self._new_id = new_id
        self._sink: ModelSink | None = None
        self._session: RemoteSession | None = None
        self._opening_id: str | None = None
        self._opener: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._socket: UpstreamSocket | None = None
        self._live = False
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._created: SessionCreated | None = None
        self._early: list[ServerEvent] = []
        self._batch = self._limits.batch_ms * BYTES_PER_MS
        self._audio = bytearray()
        self._flusher: asyncio.TimerHandle | None = None
        self._error: tuple[str, float] | None = None
        self._nonsense = 0

    # -- ModelLeg -----------------------------------------------------------------------------------------------------

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        """Opens the session with this configuration."""
        loop = asyncio.get_running_loop()
        self._sink = sink
        self._session = RemoteSession(
            session,
            transcription_model=self._limits.transcription_model,
            extensions=self._limits.extensions,
            new_id=self._new_id,
        )
        self._deadline = loop.call_later(self._limits.connect_timeout_s, self._too_late)
        self._opener = loop.create_task(self._open(session, self._session), name="model connection")

    def send(self, event: ClientEvent) -> None:
        """Sends one client event, after the audio that came before it."""
        if self._sink is None or self._session is None:
            return
        if isinstance(event, InputAudioBufferAppend):
            self.append(event.decoded())
            return
        if self._audio:
            self._flush()
        self._write(self._session.to_model(event).to_json())

    def append(self, pcm: bytes) -> None:
        """Sends caller audio, once there is enough of it for a message."""
        if self._sink is None:
            return
        if not self._audio and self._batch <= len(pcm) <= _LARGEST_APPEND:
            self._write(_APPEND % pybase64.b64encode(pcm))
            return
        self._audio += pcm
        if len(self._audio) >= self._batch:
            self._flush()
        elif self._flusher is None and self._audio:
            delay = self._limits.batch_ms / 1000
            self._flusher = asyncio.get_running_loop().call_later(delay, self._flush)

    def close(self) -> None:
        """Ends the session; idempotent, nothing is reported afterwards."""
        if self._sink is None:
            return
        if self._live and self._audio:
            self._flush()
        self._end()
        if self._socket is not None:
            self._socket.close()

    # -- SocketUser ---------------------------------------------------------------------------------------------------

    @property
    def last_error(self) -> str | None:
        """Code of an ``error`` event that came just now and says why the session ends."""
        if self._error is None or self._clock() - self._error[1] > _EXPLAINS_S:
            return None
        return self._error[0]

    def on_message(self, data: bytes) -> None:
        """A message of the model."""
        sink = self._sink
        if sink is None:
            return
        if _DELTA in data[:_HEAD]:
            chunk = _chunk_of(data)
            if chunk is not None:
                sink.on_model_audio(chunk)
                return
        try:
            event = parse_server_event(data)
        except ProtocolError as error:
            self._nonsense += 1
            if self._nonsense == 1:
                _log.warning("the model sent what is no event", code=error.code)
            return
        if isinstance(event, ResponseOutputAudioDelta):
            chunk = _chunk_of(data)
            if chunk is not None:
                sink.on_model_audio(chunk)
            return
        if isinstance(event, ErrorEvent):
            self._note(event)
        if self._live:
            self._report(event)
        else:
            self._configure(event)

    def on_lost(self, loss: Loss) -> None:
        """The connection is over."""
        sink = self._sink
        if sink is None:
            return
        self._end()
        sink.on_model_closed(loss.reason, loss.detail, fatal=loss.fatal, retry_after_s=loss.retry_after_s)

    # -- opening ------------------------------------------------------------------------------------------------------

    async def _open(self, config: SessionConfig, session: RemoteSession) -> None:
        try:
            socket = await UpstreamSocket.connect(
                self._endpoint.socket_url(config, call_id=self._call_id),
                self,
                headers=self._endpoint.headers,
                tls=self._endpoint.tls,
                limits=self._limits.socket,
            )
        except LossError as error:
            self.on_lost(error.loss)
            return
        if self._sink is None:
            socket.close()
            return
        self._socket = socket
        if self._call_id is None:
            opening = session.opening()
            self._opening_id = opening.event_id
            socket.send(opening.to_json())
        elif self._created is not None:
            self._go_live(self._created)

    def _configure(self, event: ServerEvent) -> None:
        """Takes what the model says before it is configured."""
        match event:
            case SessionCreated() if self._created is None:
                self._created = event
                if self._call_id is not None and self._socket is not None:
                    self._go_live(event)
            case SessionUpdated() if self._created is not None and self._call_id is None:
                self._go_live(self._created.model_copy(update={"session": event.session}))
            case ErrorEvent() if self._opening_id is not None and event.error.event_id == self._opening_id:
                self._give_up(f"session refused: {event.error.code} {event.error.param or ''}".rstrip(), fatal=True)
            case _:
                self._early.append(event)
                if len(self._early) > _EARLY:
                    self._give_up("model not ready", fatal=False)

    def _go_live(self, created: SessionCreated) -> None:
        assert self._socket is not None
        if self._deadline is not None:
            self._deadline.cancel()
        self._live = True
        self._report(created)
        early, self._early = self._early, []
        for event in early:
            self._report(event)
        held, self._held = self._held, deque()
        self._held_bytes = 0
        for message in held:
            self._socket.send(message)

    def _too_late(self) -> None:
        self._give_up("timeout", fatal=False)

    def _give_up(self, detail: str, *, fatal: bool) -> None:
        """Ends what never became a session."""
        socket = self._socket
        self.on_lost(Loss(EndReason.MODEL_FAILED, detail, fatal))
        if socket is not None:
            socket.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _report(self, event: ServerEvent) -> None:
        sink, session = self._sink, self._session
        if sink is not None and session is not None:
            sink.on_model_event(session.to_call(event))

    def _note(self, event: ErrorEvent) -> None:
        if self._session is not None:
            self._session.refused(event.error.event_id)
        code = event.error.code
        if code in FATAL_CODES or code == "session_expired":
            self._error = code, self._clock()

    def _write(self, message: bytes) -> None:
        if self._live and self._socket is not None:
            self._socket.send(message)
            return
        self._held.append(message)
        self._held_bytes += len(message)
        if self._held_bytes > self._limits.hold_bytes:
            self._give_up("model not ready", fatal=False)

    def _flush(self) -> None:
        """Sends the audio that was collected."""
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        audio, self._audio = self._audio, bytearray()
        for start in range(0, len(audio), _LARGEST_APPEND):
            self._write(_APPEND % pybase64.b64encode(audio[start : start + _LARGEST_APPEND]))

    def _end(self) -> None:
        self._sink = None
        self._live = False
        self._held.clear()
        self._early.clear()
        self._audio.clear()
        for handle in (self._deadline, self._flusher):
            if handle is not None:
                handle.cancel()
        self._flusher = None
        if self._opener is not None and self._socket is None and self._opener is not asyncio.current_task():
            self._opener.cancel()


def _chunk_of(data: bytes) -> AudioChunk | None:
    """The audio in ``response.output_audio.delta``; None for anything else."""
    try:
        event = orjson.loads(data)
        if event["type"] != "response.output_audio.delta":
            return None
        audio = pybase64.b64decode(event["delta"], validate=True)
        return AudioChunk(
            str(event["response_id"]),
            str(event["item_id"]),
            int(event.get("output_index", 0)),
            int(event.get("content_index", 0)),
            audio,
        )
    except (ValueError, KeyError, TypeError):
        return None
