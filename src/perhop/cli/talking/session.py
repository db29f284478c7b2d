"""One conversation over WebSocket: connect, ask, listen until the answer is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import orjson
import pybase64
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from perhop.api.addresses import is_loopback_host
from perhop.cli.talking.listener import Listener
from perhop.cli.talking.view import View
from perhop.config import Settings
from perhop.errors import PerhopError
from perhop.realtime.audio import FRAME_BYTES, FRAME_MS

__all__ = ["ConnectError", "Outcome", "talk"]

_SECOND_BYTES = 48_000
_GREETING_S = 0.5
_FAST_TAIL_S = 2.0
_CONNECT_S = 10.0
_READY_S = 60.0


class ConnectError(PerhopError):
    """The server cannot be reached, or refused the connection."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a conversation went.

    Attributes:
        audio: the agent's audio as it was heard, 24 kHz mono s16le.
        problem: what went wrong; None when the question was answered.
    """

    audio: bytes
    problem: str | None


async def talk(
    question: bytes | str,
    *,
    settings: Settings,
    url: str | None,
    key: str | None,
    agent: str | None,
    fast: bool,
    timeout_s: float,
    view: View,
) -> Outcome:
    """Asks ``question`` (PCM, or text) and listens.

    Args:
        url: of the server; None takes the one of ``settings``, and starts Perhop in this process if nothing is there.
        fast: do not wait for audio to play in real time.
        timeout_s: silence of the server after which the conversation counts as failed.

    Raises:
        ConnectError: the server cannot be reached or refuses the connection.
    """
    async with AsyncExitStack() as stack:
        if url is None:
            scheme = "wss" if settings.server.tls_cert else "ws"
            url = f"{scheme}://{settings.server.host}:{settings.server.port}"
            if not await _listening(settings):
                view.note(f"nothing listens on {url}: starting Perhop here")
                url = await _start_here(settings, stack)
        socket = await _open(_endpoint(url, agent), key)
        stack.push_async_callback(socket.close)
        return await _Conversation(socket, view, timeout_s=timeout_s, fast=fast).hold(question)


class _Conversation:
    """One question and its answer over an open connection."""

    def __init__(self, socket: ClientConnection, view: View, *, timeout_s: float, fast: bool) -> None:
        self._socket = socket
        self._view = view
        self._timeout_s = timeout_s
        self._fast = fast
        self._listener = Listener(view)
        self._changed = asyncio.Event()
        self._closed: str | None = None

    async def hold(self, question: bytes | str) -> Outcome:
        listener = self._listener
        receiver = asyncio.create_task(self._receive())
        sender: asyncio.Task[None] | None = None
        try:
            await self._until(lambda: listener.ready)
            await self._hear_greeting()
            if isinstance(question, str):
                await self._type(question)
            else:
                sender = asyncio.create_task(self._speak(question))
            await self._until(lambda: listener.answered, sender=sender)
        except ConnectionClosed:
            # The receiver has seen it too, and why.
            await receiver
        except TimeoutError:
            return Outcome(listener.audio, self._what_is_missing())
        finally:
            for task in (receiver, sender):
                if task is not None:
                    task.cancel()
        problem = listener.problem or (None if listener.answered else self._closed)
        return Outcome(listener.audio, problem)

    async def _hear_greeting(self) -> None:
        """Lets the agent finish what it says of its own accord, as a polite caller does."""
        try:
            await self._until(lambda: self._listener.busy, timeout_s=_GREETING_S)
        except TimeoutError:
            return
        await self._until(lambda: not self._listener.busy)
        if not self._fast:
            await asyncio.sleep(max(0.0, self._listener.plays_until - time.monotonic()))

    async def _type(self, text: str) -> None:
        self._view.you(text)
        self._listener.begin()
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self._send({"type": "conversation.item.create", "item": item})
        await self._send({"type": "response.create"})
        self._complete()

    async def _speak(self, pcm: bytes) -> None:
        """Sends the recording, then silence for as long as the conversation goes on: a microphone never stops."""
        total = len(pcm) / _SECOND_BYTES
        next_at = time.monotonic()
        for start in range(0, len(pcm), FRAME_BYTES):
            await self._append(pcm[start : start + FRAME_BYTES])
            self._view.sent((start + FRAME_BYTES) / _SECOND_BYTES, total)
            if not self._fast:
                next_at += FRAME_MS / 1000
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
        self._view.sent(total, total)
        if self._listener.manual:
            self._listener.begin()
            await self._send({"type": "input_audio_buffer.commit"})
            await self._send({"type": "response.create"})
            self._complete()
            return
        if self._fast:
            await self._append(bytes(int(_FAST_TAIL_S * _SECOND_BYTES)))
        self._complete()
        next_at = time.monotonic()
        while True:
            await self._append(bytes(FRAME_BYTES))
            next_at += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))

    def _complete(self) -> None:
        """The question is out; it may have been answered already."""
        self._listener.complete()
        self._changed.set()

    async def _append(self, pcm: bytes) -> None:
        audio = pybase64.b64encode(pcm).decode()
        await self._send({"type": "input_audio_buffer.append", "audio": audio})

    async def _send(self, event: dict[str, Any]) -> None:
        await self._socket.send(orjson.dumps(event).decode())

    async def _receive(self) -> None:
        try:
            async for message in self._socket:
                event = orjson.loads(message)
                for reply in self._listener.receive(event, time.monotonic()):
                    await self._send(reply)
                if event.get("type") != "response.output_audio.delta":
                    # Sound alone is no progress: an echo of our own silence would never end.
                    self._changed.set()
            self._closed = "the server closed the connection"
        except ConnectionClosed as error:
            close = error.rcvd
            why = f" ({close.code}{f' {close.reason}' if close.reason else ''})" if close is not None else ""
            self._closed = f"the server closed the connection{why}"
        self._changed.set()

    async def _until(
        self,
        condition: Callable[[], bool],
        *,
        timeout_s: float | None = None,
        sender: asyncio.Task[None] | None = None,
    ) -> None:
        """Returns once the condition holds or the conversation cannot go on.

        Raises:
            TimeoutError: the server said nothing for as long as ``timeout_s`` (the recording's own time not counted).
        """
        while not (condition() or self._listener.problem or self._closed):
            self._changed.clear()
            try:
                async with asyncio.timeout(timeout_s or self._timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                if sender is not None and not sender.done() and not self._listener.completed:
                    continue
                raise
        if sender is not None and sender.done() and not sender.cancelled():
            sender.result()

    def _what_is_missing(self) -> str:
        waited = f"within {self._timeout_s:g} s"
        if not self._listener.ready:
            return f"the server opened no session {waited}"
        if not self._listener.spoken:
            return "the server heard no speech in the recording"
        return f"the server gave no (further) answer {waited}"


def _endpoint(url: str, agent: str | None) -> str:
    """The WebSocket address: paths and schemes that people leave out or get nearly right are filled in."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    if not path.endswith("/realtime"):
        path = f"{path}/realtime" if path.endswith("/v1") else f"{path}/v1/realtime"
    query = "&".join(part for part in (parts.query, urlencode({"agent": agent}) if agent else "") if part)
    return urlunsplit((scheme, parts.netloc, path, query, ""))


async def _open(uri: str, key: str | None) -> ClientConnection:
    """Opens the connection; every way in which that fails becomes one readable error."""
    host = urlsplit(uri).hostname or ""
    try:
        return await connect(
            uri,
            additional_headers={"Authorization": f"Bearer {key}"} if key else None,
            max_size=None,
            compression=None,
            open_timeout=_CONNECT_S,
            # A proxy knows nothing of this machine.
            proxy=None if is_loopback_host(f"[{host}]" if ":" in host else host) else True,
        )
    except InvalidStatus as error:
        raise ConnectError(_refusal(error)) from None
    except InvalidURI:
        raise ConnectError(f"{uri!r} is no WebSocket address; write it like ws://127.0.0.1:8080") from None
    except TimeoutError:
        raise ConnectError(f"nothing answered at {uri} within {_CONNECT_S:g} s") from None
    except (OSError, InvalidHandshake) as error:
        raise ConnectError(f"no connection to {uri}: {error}") from None


def _refusal(error: InvalidStatus) -> str:
    """What the server's JSON body says, else its status."""
    status = error.response.status_code
    try:
        return f"{orjson.loads(error.response.body or b'')['error']['message']} (HTTP {status})"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"the server refused the connection with HTTP {status}"


async def _listening(settings: Settings) -> bool:
    try:
        _, writer = await asyncio.open_connection(settings.server.host, settings.server.port)
    except OSError:
        return False
    writer.close()
    return True


async def _start_here(settings: Settings, stack: AsyncExitStack) -> str:
    """Starts Perhop in this process, on any free port, for this one conversation.

    Returns:
        Its WebSocket base address.
    """
    from perhop.cli.server import open_server
    from perhop.telemetry.logs import configure_logging

    configure_logging(settings.log.model_copy(update={"level": "error"}))
    local = settings.server.model_copy(
        update={"host": "127.0.0.1", "port": 0, "tls_cert": None, "tls_key": None, "drain_s": 0.0}
    )
    started = asyncio.Event()
    server = open_server(
        settings.model_copy(update={"server": local, "keys": (), "echo": True}),
        on_started=lambda _: started.set(),
        signals=False,
    )
    serving = asyncio.create_task(server.serve_here())

    async def stop() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(stop)
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        serving.result()
        raise ConnectError("Perhop could not be started here")
    async with asyncio.timeout(_READY_S):
        await server.ready()
    return server.url.replace("http", "ws", 1)
