"""The child's side of an engine process: one thread, one socket, jobs taken in turn.

Run as ``python -m perhop.brain.engines FD MODULE:FACTORY OPTIONS``: the factory is called with the options (a
JSON object) and gives the :class:`Service`. The process lives exactly as long as its socket: it ends when the server
closes it or dies, and not by Ctrl-C or SIGTERM, which reach a whole process group while the server still drains calls.
"""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from perhop.brain.engines.protocol import Frame, FrameParser, Kind, pack

__all__ = ["Job", "JobError", "Output", "Service", "Worker", "main"]

_READ_BYTES = 1 << 18
_PR_SET_PDEATHSIG = 1


class JobError(Exception):
    """Ends a job with a FAILED frame; ``code`` and message reach whoever asked."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Job(Protocol):
    """One stream's work."""

    def feed(self, data: bytes) -> None:
        """Takes input; the work on it is done in ``step``."""

    def end(self) -> None:
        """No more input follows."""

    def step(self) -> bool:
        """Does one piece of work, 50 ms at most; True while more can be done without further input.

        Raises:
            JobError: the job is over; ``close`` follows.
        """

    def close(self) -> None:
        """Gives back what the job holds; called once, whether it was finished, failed or cancelled."""


class Service(Protocol):
    """An engine: what it does with a request."""

    def open(self, request: dict[str, Any], output: Output) -> Job:
        """Starts a job.

        Raises:
            JobError: the request is refused.
        """


class Output:
    """Where a job's results go."""

    __slots__ = ("_worker", "over", "stream")

    def __init__(self, worker: Worker, stream: int) -> None:
        self._worker = worker
        self.stream = stream
        self.over = False
        """True once the stream is done or cancelled; nothing is sent after that."""

    def taken(self, length: int) -> None:
        """Reports that so many bytes of input are worked off."""
        self._send(Kind.TAKEN, length.to_bytes(4, "little"))

    def data(self, data: bytes) -> None:
        """Sends output."""
        self._send(Kind.DATA, data)

    def event(self, event: Mapping[str, object]) -> None:
        """Sends progress."""
        self._send(Kind.EVENT, json.dumps(event).encode())

    def done(self, result: Mapping[str, object]) -> None:
        """Sends the result; the stream is over."""
        self._send(Kind.DONE, json.dumps(result).encode())
        self.over = True

    def failed(self, code: str, message: str) -> None:
        """Says why there is no result; the stream is over."""
        self._send(Kind.FAILED, json.dumps({"code": code, "message": message}).encode())
        self.over = True

    def cancelled(self) -> bool:
        """Whether nobody wants the rest, as far as what has arrived until now says; a few µs."""
        if not self.over:
            self._worker.receive(wait=False)
        return self.over

    def resume(self) -> None:
        """Gives the job another turn though no input came, for one that waits for something of its service."""
        self._worker.queue(self.stream)

    def _send(self, kind: Kind, payload: bytes) -> None:
        if not self.over:
            self._worker.send(kind, self.stream, payload)


class Worker:
    """Reads frames, hands them to jobs, and lets every job with work to do take its turn."""

    def __init__(self, link: socket.socket, service: Service) -> None:
        self._link = link
        self._service = service
        self._parser = FrameParser()
        self._jobs: dict[int, tuple[Job, Output]] = {}
        self._turns: deque[int] = deque()
        self._open = True

    def run(self) -> None:
        """Works until the server closes the socket."""
        self.send(Kind.READY, 0)
        while self._open:
            self.receive(wait=not self._turns)
            if self._turns:
                self._take_turn(self._turns.popleft())

    def send(self, kind: Kind, stream: int, payload: bytes = b"") -> None:
        """Sends a frame; waits while the server does not read."""
        try:
            self._link.sendall(pack(kind, stream, payload))
        except (BrokenPipeError, ConnectionResetError):
            self._closed()

    def receive(self, *, wait: bool) -> None:
        """Hands over the frames that have arrived; with ``wait``, at least one read."""
        flags = 0 if wait else socket.MSG_DONTWAIT
        while self._open:
            try:
                data = self._link.recv(_READ_BYTES, flags)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                self._closed()
                return
            for frame in self._parser.feed(data):
                self._dispatch(frame)
            flags = socket.MSG_DONTWAIT

    def _closed(self) -> None:
        self._open = False
        for _, output in self._jobs.values():
            output.over = True

    def _dispatch(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.PING:
                self.send(Kind.PONG, 0)
            case Kind.OPEN:
                self._start(frame.stream, json.loads(frame.payload))
            case Kind.CANCEL:
                if frame.stream in self._jobs:
                    self._jobs[frame.stream][1].over = True
                    self.queue(frame.stream)
            case Kind.DATA | Kind.END if frame.stream in self._jobs:
                job, _ = self._jobs[frame.stream]
                if frame.kind is Kind.DATA:
                    job.feed(frame.payload)
                else:
                    job.end()
                self.queue(frame.stream)
            case _:
                pass  # of a stream that is over

    def _start(self, stream: int, request: dict[str, Any]) -> None:
        output = Output(self, stream)
        try:
            self._jobs[stream] = self._service.open(request, output), output
        except JobError as error:
            output.failed(error.code, str(error))
        else:
            self.queue(stream)

    def queue(self, stream: int) -> None:
        """Puts a stream's job in line for a turn."""
        if stream not in self._turns:
            self._turns.append(stream)

    def _take_turn(self, stream: int) -> None:
        if stream not in self._jobs:
            return  # cancelled while its last turn ran
        job, output = self._jobs[stream]
        more = False
        if not output.over:
            try:
                more = job.step()
            except JobError as error:
                output.failed(error.code, str(error))
        if output.over:
            del self._jobs[stream]
            job.close()
        elif more:
            self.queue(stream)


def main() -> None:
    """The child's entry point."""
    descriptor, factory, options = sys.argv[1:]
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.excepthook = _report
    module, _, name = factory.partition(":")
    make: Callable[..., Service] = getattr(import_module(module), name)
    # Left open when this crashes: the server kills a child whose socket is closed, maybe before it said where.
    link = socket.socket(fileno=int(descriptor))
    Worker(link, make(**json.loads(options))).run()


def _die_with_parent() -> None:
    """Has the kernel kill this process when the server is gone, even while a library does not return.

    Linux only; elsewhere, and when it died before this call, the closed socket has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _report(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """Where it crashed and by what, but not the message: that could quote what a caller said."""
    where = "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        where = f"{Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    sys.stderr.write(f"perhop engine crashed: {kind.__name__} at {where}\n")
