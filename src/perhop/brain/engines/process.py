"""One engine process seen from the server: its streams, its health, its end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import structlog

from perhop.brain.engines.protocol import MAX_FRAME_BYTES, Frame, FrameError, FrameParser, Kind, pack
from perhop.brain.providers import BrainError

__all__ = ["EngineCommand", "EngineProcess", "Listener", "Stream"]

_log = structlog.get_logger(__name__)

_PIECE = MAX_FRAME_BYTES // 2
_STREAM_NUMBERS = 2**32


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """How to start an engine, and what it may hold.

    Attributes:
        name: for logs and health.
        factory: ``module:callable`` that gives the child its service.
        options: keyword arguments for it, as JSON.
        max_streams: streams at once in one process; a further one is refused with ``engine_overloaded``.
        max_unread_bytes: input on its way to one process; what goes beyond it is dropped and counted.
        start_timeout_s: until it must be ready.
        hang_timeout_s: a process that answers no ping for so long is killed.
        import_path: further folders for the child's imports.
    """

    name: str
    factory: str
    options: dict[str, Any] = field(default_factory=dict)
    max_streams: int = 32
    max_unread_bytes: int = 16 << 20
    start_timeout_s: float = 30.0
    hang_timeout_s: float = 10.0
    import_path: tuple[str, ...] = ()


class Listener(Protocol):
    """What a stream reports, on the event loop; after ``on_done`` or ``on_failed`` nothing more."""

    def on_data(self, data: bytes, /) -> None:
        """A piece of output."""

    def on_event(self, event: dict[str, Any], /) -> None:
        """Progress."""

    def on_done(self, result: dict[str, Any], /) -> None:
        """The result."""

    def on_failed(self, error: BrainError, /) -> None:
        """There is no result: the engine said why, or (``engine_lost``) it is gone."""


class Stream:
    """One request to an engine process. Everything may be called at any time; what comes too late does nothing."""

    __slots__ = ("_number", "_process", "listener", "unread")

    def __init__(self, process: EngineProcess, number: int, listener: Listener) -> None:
        self._process: EngineProcess | None = process
        self._number = number
        self.listener = listener
        self.unread = 0

    def send(self, data: bytes) -> int:
        """Sends input, never blocking; returns how many bytes were dropped because the engine is too far behind."""
        return self._process.send_data(self._number, self, data) if self._process is not None else 0

    def end(self) -> None:
        """No more input follows."""
        if self._process is not None:
            self._process.send(Kind.END, self._number)

    def cancel(self) -> None:
        """Forgets the request; the listener hears nothing more."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send(Kind.CANCEL, self._number)
            process.forget(self._number)

    def detach(self) -> None:
        """The stream is over; called by the process."""
        self._process = None


class EngineProcess(asyncio.Protocol):
    """A child process and the socket to it. Streams may be opened before it is ready; it finds them when it is."""

    def __init__(self, command: EngineCommand) -> None:
        """Starts the child, in a few ms; ``run`` does the rest.

        Raises:
            OSError: the system has no process or socket left.
        """
        self._command = command
        self._parser = FrameParser()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._unread = 0
        self._transport: asyncio.WriteTransport | None = None
        self._before_connected: list[bytes] = []
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._pong: asyncio.Future[None] | None = None
        self.dropped_bytes = 0
        self._link, self._child = self._spawn()

    # -- life ---------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    @property
    def ready(self) -> bool:
        """Whether it said that it can work, and is still there."""
        return self._ready.done() and not self._lost.done()

    @property
    def accepting(self) -> bool:
        """Whether a stream can be opened."""
        return not self._lost.done() and len(self._streams) < self._command.max_streams

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def _spawn(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """Starts the child, from the event loop's own thread: the kernel ends it together with that thread."""
        command = self._command
        path = os.pathsep.join([*command.import_path, *filter(None, [os.environ.get("PYTHONPATH")])])
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter, nothing from outside
                [
                    *(sys.executable, "-P", "-m", "perhop.brain.engines"),
                    *(str(theirs.fileno()), command.factory, json.dumps(command.options)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours, child

    async def wait_ready(self) -> None:
        """Returns when it can work.

        Raises:
            BrainError: ``engine_unavailable``: it ended first, or took too long.
        """
        await asyncio.wait(
            {self._ready, self._lost}, timeout=self._command.start_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not self.ready:
            raise BrainError("engine_unavailable", f"the {self._command.name} engine did not start")

    async def run(self) -> None:
        """Returns when the child is gone; kills it when it neither starts nor answers in time, or when cancelled."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, sock=self._link)
            await self.wait_ready()
            while not self._lost.done():
                await asyncio.wait({self._lost}, timeout=self._command.hang_timeout_s / 4)
                if not self._lost.done():
                    await self._ping()
        except BrainError:
            _log.warning("engine does not start", engine=self._command.name, pid=self.pid)
        except TimeoutError:
            _log.warning("engine hangs", engine=self._command.name, pid=self.pid)
        finally:
            await self.end()

    async def end(self) -> None:
        """Ends the child, which has nothing to lose; open streams fail with ``engine_lost``."""
        self._child.kill()
        if self._transport is not None:
            self._transport.abort()
        else:
            self._link.close()
            self.connection_lost(None)
        await asyncio.shield(asyncio.to_thread(self._child.wait))

    async def _ping(self) -> None:
        self._pong = asyncio.get_running_loop().create_future()
        self.send(Kind.PING, 0)
        done, _ = await asyncio.wait(
            {self._pong, self._lost}, timeout=self._command.hang_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            raise TimeoutError

    # -- streams ------------------------------------------------------------------------------------------------------

    def open(self, request: Mapping[str, object], listener: Listener) -> Stream:
        """Starts a stream.

        Raises:
            BrainError: ``engine_overloaded`` or ``engine_lost``.
            FrameError: the request is too long.
        """
        if self._lost.done():
            raise BrainError("engine_lost", f"the {self._command.name} engine is not running")
        if len(self._streams) >= self._command.max_streams:
            raise BrainError("engine_overloaded", f"the {self._command.name} engine has too much to do; try again")
        payload = json.dumps(request).encode()
        number = self._next
        frame = pack(Kind.OPEN, number, payload)
        self._next = number % (_STREAM_NUMBERS - 1) + 1
        stream = Stream(self, number, listener)
        self._streams[number] = stream
        self._write(frame)
        return stream

    def send(self, kind: Kind, number: int, payload: bytes = b"") -> None:
        """Sends a frame of a stream, or of the process itself (0)."""
        self._write(pack(kind, number, payload))

    def send_data(self, number: int, stream: Stream, data: bytes) -> int:
        """Sends input of a stream as far as the bound allows; returns what was dropped, in bytes."""
        room = max(0, self._command.max_unread_bytes - self._unread) & ~1  # whole samples
        dropped = max(0, len(data) - room)
        if dropped:
            self.dropped_bytes += dropped
            data = data[:room]
        self._unread += len(data)
        stream.unread += len(data)
        for start in range(0, len(data), _PIECE):
            self.send(Kind.DATA, number, data[start : start + _PIECE])
        return dropped

    def forget(self, number: int) -> None:
        """Drops a stream; what the child had not read of it does not count any more."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._unread -= stream.unread
            stream.detach()

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.writelines(self._before_connected)
        self._before_connected.clear()

    def data_received(self, data: bytes) -> None:
        """Hands frames to listeners."""
        try:
            frames = self._parser.feed(data)
        except FrameError:
            _log.warning("engine sent nonsense", engine=self._command.name, pid=self.pid)
            if self._transport is not None:
                self._transport.abort()
            return
        for frame in frames:
            self._receive(frame)

    def connection_lost(self, _: Exception | None) -> None:
        """The child is gone, or closed: every open stream fails."""
        self._transport = None
        if not self._lost.done():
            self._lost.set_result(None)
        streams, self._streams = self._streams, {}
        self._unread = 0
        for stream in streams.values():
            stream.detach()
            stream.listener.on_failed(BrainError("engine_lost", f"the {self._command.name} engine ended unexpectedly"))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
        elif not self._lost.done():
            self._before_connected.append(data)  # bounded by max_streams and max_unread_bytes

    def _receive(self, frame: Frame) -> None:
        if frame.kind is Kind.READY:
            self._ready.set_result(None)
            return
        if frame.kind is Kind.PONG:
            if self._pong is not None and not self._pong.done():
                self._pong.set_result(None)
            return
        stream = self._streams.get(frame.stream)
        if stream is None:
            return  # cancelled a moment ago
        match frame.kind:
            case Kind.DATA:
                stream.listener.on_data(frame.payload)
            case Kind.TAKEN:
                length = int.from_bytes(frame.payload, "little")
                stream.unread -= length
                self._unread -= length
            case Kind.EVENT:
                stream.listener.on_event(json.loads(frame.payload))
            case Kind.DONE:
                self.forget(frame.stream)
                stream.listener.on_done(json.loads(frame.payload))
            case Kind.FAILED:
                self.forget(frame.stream)
                stream.listener.on_failed(BrainError(**json.loads(frame.payload)))
            case _:
                pass
