"""A Realtime model on a real socket, in this process or (``python -m tests.models.upstream``) in one of its own.

Strict, because a :class:`~perhop.realtime.server.RealtimeServer` answers every client event and nothing stands between
it and the socket. Everything that goes wrong with models can be made to happen: refused upgrades, sockets that break,
models that stall, sessions that reach their cap.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pybase64
import uvloop
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from perhop.call.legs import EndReason
from perhop.edges.rate import TokenBucket
from perhop.models.driver import ServerDriver
from perhop.models.echo import EchoModel
from perhop.models.scripted import Record, ScriptedModel
from perhop.models.steps import Script, in_turn, say
from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.effects import Effect, OutputAudio, OutputDone, StartResponse
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import ResponseCreate, ServerEvent, parse_client_event
from perhop.realtime.ids import new_id
from perhop.realtime.session import SessionConfig

__all__ = ["Upstream", "UpstreamSession", "main"]

_ERRORS = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "forbidden",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    500: "server_error",
    503: "overloaded",
}
_MAX_FRAME = 32 << 20


class UpstreamSession(WSListener):
    """One socket and the model behind it; the model's sink.

    Attributes:
        path: what was asked for, query included.
        headers: of the upgrade, names in lower case.
        events: every client event as decoded JSON, audio left out of appends.
        sent: ``type`` of every event that was sent, in order.
        appends: bytes of audio of each append.
        gone: set once the socket is closed.
    """

    def __init__(self, upstream: Upstream, request: WSUpgradeRequest) -> None:
        self.path = request.path.decode()
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.events: list[dict[str, Any]] = []
        self.sent: list[str] = []
        self.appends: list[int] = []
        self.gone = asyncio.Event()
        self.model: ServerDriver = upstream.make()
        self._upstream = upstream
        self._held: deque[bytes] = deque()
        self._stalled = False
        self._query = parse_qs(urlsplit(self.path).query)

    @property
    def record(self) -> Record:
        """What the scripted model was told."""
        assert isinstance(self.model, ScriptedModel)
        return self.model.record

    @property
    def committed(self) -> dict[str, bytes]:
        """Audio of each committed turn, by item id, in order."""
        return self.record.committed

    def types(self) -> list[str]:
        """``type`` of every client event that is not an append."""
        return [event["type"] for event in self.events if event["type"] != "input_audio_buffer.append"]

    def say(self, event: dict[str, Any]) -> None:
        """Sends the client any event, past the model."""
        self._write(orjson.dumps({"event_id": new_id("event_"), **event}))

    def say_raw(self, *pieces: bytes, binary: bool = False) -> None:
        """Sends a message as it is, in as many frames as there are pieces."""
        kind = WSMsgType.BINARY if binary else WSMsgType.TEXT
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            self._transport.send(WSMsgType.CONTINUATION if number else kind, piece, fin=last)

    def kill(self) -> None:
        """Breaks the socket without a word."""
        self._transport.disconnect(graceful=False)

    def end(self, code: int, reason: str = "") -> None:
        """Closes the socket with this code."""
        self.model.close()
        self._transport.send_close(WSCloseCode(code), reason.encode())
        self._transport.disconnect()

    def stall(self) -> None:
        """Neither reads nor writes any more."""
        self._stalled = True
        self._transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        """Goes on where :meth:`stall` left off."""
        self._stalled = False
        self._transport.underlying_transport.resume_reading()
        while self._held:
            self._transport.send(WSMsgType.TEXT, self._held.popleft())

    # -- WSListener ---------------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._upstream.sessions.append(self)
        self._upstream.changed.set()
        if self._upstream.mute:
            self.stall()
        kind = "transcription" if self._query.get("intent") == ["transcription"] else "realtime"
        model = self._query.get("model", self._query.get("deployment", ["gpt-realtime"]))[0]
        self.model.start(self, SessionConfig.default(model=model, kind=kind))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type is WSMsgType.TEXT:
            self._take(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.model.close()
        self.gone.set()
        self._upstream.changed.set()

    # -- ModelSink ----------------------------------------------------------------------------------------------------

    def on_model_event(self, event: ServerEvent) -> None:
        self.sent.append(event.type)
        self._upstream.observe(self, event)
        self._write(event.to_json())

    def on_model_audio(self, chunk: AudioChunk) -> None:
        self._write(chunk.to_json(new_id("event_")))

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None:
        code = self.record.close_code if isinstance(self.model, ScriptedModel) else 1000
        self._transport.send_close(WSCloseCode(code), detail.encode())
        self._transport.disconnect()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        event = orjson.loads(data)
        if event.get("type") == "input_audio_buffer.append":
            pcm = pybase64.b64decode(event["audio"], validate=True)
            self.appends.append(len(pcm))
            self._upstream.changed.set()
            self.model.append(pcm)
            return
        self.events.append(event)
        self._upstream.changed.set()
        try:
            self.model.send(parse_client_event(data))
        except ProtocolError as error:
            self.on_model_event(error.to_event(new_id("event_")))

    def _write(self, data: bytes) -> None:
        if self._stalled:
            self._held.append(data)
        else:
            self._transport.send(WSMsgType.TEXT, data)


@dataclass
class Upstream:
    """A server of such sessions at ``/v1/realtime``.

    Attributes:
        make: makes the model of each session.
        key: what clients must present, as bearer or ``api-key``.
        refuse: HTTP status with which the next upgrades are answered, one each; the last one goes on when ``forever``.
        refusal: further headers of such an answer.
        forever: never stop refusing.
        mute: accept sockets and then neither read nor say anything.
        sessions: every session there was, oldest first.
        observe: told of every event before it is sent.
        changed: set whenever a session began, was told something, or ended; :meth:`until` waits on it.
    """

    make: Callable[[], ServerDriver]
    key: str = "sk-upstream"
    refuse: deque[int] = field(default_factory=deque)
    refusal: dict[str, str] = field(default_factory=dict)
    forever: bool = False
    mute: bool = False
    sessions: list[UpstreamSession] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    observe: Callable[[UpstreamSession, ServerEvent], None] = lambda session, event: None
    upgrades: int = 0
    port: int = 0
    _secure: bool = False
    _server: asyncio.Server | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls,
        make: Callable[[], ServerDriver],
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        key: str | None = None,
    ) -> Any:
        """An upstream for as long as the context lasts; every socket is broken at its end."""
        upstream = cls(make) if key is None else cls(make, key=key)
        await upstream.listen(port=port, tls=tls)
        try:
            yield upstream
        finally:
            await upstream.close()

    @classmethod
    def scripted(cls, script: Script, *, session_cap_s: float | None = None, **options: Any) -> Any:
        """An upstream whose sessions all follow one script."""
        return cls.serving(lambda: ScriptedModel(script, session_cap_s=session_cap_s), **options)

    @property
    def url(self) -> str:
        """The base URL, as in settings."""
        return f"{'wss' if self._secure else 'ws'}://127.0.0.1:{self.port}/v1"

    @property
    def last(self) -> UpstreamSession:
        """The newest session."""
        return self.sessions[-1]

    def live(self) -> list[UpstreamSession]:
        """Sessions whose socket is open."""
        return [session for session in self.sessions if not session.gone.is_set()]

    def kill(self) -> None:
        """Breaks every socket without a word."""
        for session in self.live():
            session.kill()

    async def until(self, condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
        """Waits for something to become true of its sessions."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def listen(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Opens the port (again, after :meth:`close`)."""
        self._secure = tls is not None
        self._server = await ws_create_server(
            self._accept, "127.0.0.1", port or self.port, ssl=tls, max_frame_size=_MAX_FRAME
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Closes port and sockets."""
        if self._server is not None:
            self._server.close()
        self.kill()
        for session in self.sessions:
            await session.gone.wait()

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        self.upgrades += 1
        status = self._status(request)
        if status == 101:
            return UpstreamSession(self, request)
        body = orjson.dumps({"error": {"type": "invalid_request_error", "code": _ERRORS.get(status), "message": "no"}})
        headers = {"Content-Type": "application/json", **self.refusal}
        return WSUpgradeResponseWithListener(
            WSUpgradeResponse.create_error_response(status, body, extra_headers=headers), None
        )

    def _status(self, request: WSUpgradeRequest) -> int:
        if self.refuse:
            return self.refuse[0] if self.forever and len(self.refuse) == 1 else self.refuse.popleft()
        if "realtime" not in urlsplit(request.path.decode()).path:
            return 404
        presented = request.headers.get("api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        return 101 if presented == self.key else 401


class _Parrot(EchoModel):
    """An echo for measuring, heard a share of the time: ``talk`` of every ten seconds, each session at its own phase.

    It takes turns as models do: each time it talks is a response of its own, which ends with the last frame. One that
    talks all the time gives one endless response.

    It speaks no faster than in real time. What comes in one burst after a stall is dropped but for 60 ms: an echo that
    is behind never catches up, and the delay measured from then on would be that of the worst stall there ever was.
    """

    def __init__(self, talk: float, phase_ms: int, cap_s: float | None) -> None:
        super().__init__(session_cap_s=cap_s)
        self._talk_ms = talk * 10_000
        self._at_ms = phase_ms
        self._breath = TokenBucket(1_000 * BYTES_PER_MS, 60 * BYTES_PER_MS, now=time.monotonic())
        self._speaking = ""

    def append(self, pcm: bytes) -> None:
        frame_ms = len(pcm) // BYTES_PER_MS
        self._at_ms = (self._at_ms + frame_ms) % 10_000
        if self._at_ms >= self._talk_ms:
            return
        if self._talk_ms >= 10_000:
            if self._breath.take(len(pcm), now=time.monotonic()):
                super().append(pcm)
            return
        if not self._speaking:
            self.send(ResponseCreate())
        if self._breath.take(len(pcm), now=time.monotonic()):
            self.feed(OutputAudio(self._speaking, pcm))
        if self._at_ms + frame_ms >= self._talk_ms:
            self.feed(OutputDone(self._speaking))
            self._speaking = ""

    def carry_out(self, effect: Effect) -> None:
        """What it says comes with what it hears."""
        if isinstance(effect, StartResponse):
            self._speaking = effect.response_id


async def _serve(arguments: argparse.Namespace) -> None:
    opened = 0

    def make() -> ServerDriver:
        nonlocal opened
        opened += 1
        if arguments.kind == "echo":
            return _Parrot(arguments.talk, opened * 3_571 % 10_000, arguments.cap)
        return ScriptedModel(
            in_turn(then=[say("This goes on for a while.", ms=arguments.say_ms, pace=arguments.pace)]),
            session_cap_s=arguments.cap,
        )

    def report(session: UpstreamSession, event: ServerEvent) -> None:
        if event.type == "session.created":
            _print(opened=upstream.sessions.index(session))
        elif event.type == "input_audio_buffer.speech_started":
            _print(session=upstream.sessions.index(session), speech_started=time.monotonic())

    async with Upstream.serving(make, port=arguments.port) as upstream:
        _print(port=upstream.port, url=upstream.url)
        if arguments.report:
            upstream.observe = report
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _print(**fields: object) -> None:
    sys.stdout.write(orjson.dumps(fields).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serves until standard input ends; the first line on standard output says where."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kind", choices=("echo", "scripted"), default="echo")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cap", type=float, default=None, help="session cap, s")
    parser.add_argument("--talk", type=float, default=1.0, help="share of the time that the echo is heard")
    parser.add_argument("--say-ms", type=int, default=2_000, help="length of a scripted answer")
    parser.add_argument("--pace", type=float, default=0.0, help="times real time that it comes; 0: all at once")
    parser.add_argument("--report", action="store_true", help="print sessions as they open, and speech_started")
    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
