"""Engines for tests, as small as they get."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from perhop.brain.engines.worker import Job, JobError, Output

__all__ = ["Broken", "Echo", "Slow"]


class Echo:
    """Sends every input back; what it does at the end, and with some requests, is in the request."""

    def open(self, request: dict[str, Any], output: Output) -> Job:
        if request.get("do") == "refuse":
            raise JobError("refused", "not this one")
        return _EchoJob(request, output)


class _EchoJob:
    def __init__(self, request: dict[str, Any], output: Output) -> None:
        self._do = request.get("do")
        self._output = output
        self._pending: list[bytes] = []
        self._ended = False

    def feed(self, data: bytes) -> None:
        self._pending.append(data)

    def end(self) -> None:
        self._ended = True

    def step(self) -> bool:
        match self._do:
            case "crash":
                os.abort()
            case "exit":
                raise SystemExit(3)
            case "hang":
                while True:
                    time.sleep(1)
            case "fail":
                raise JobError("failed", "could not be done")
            case "hold":
                return False  # takes input and works nothing off
        if self._pending:
            data = self._pending.pop(0)
            self._output.taken(len(data))
            self._output.data(data)
        if self._pending:
            return True
        if self._ended:
            self._output.done({"pid": os.getpid(), "path": os.environ.get("PYTHONPATH", "")})
        return False

    def close(self) -> None:
        pass


class Slow(Echo):
    """Is ready only once a file exists."""

    def __init__(self, gate: str) -> None:
        while not os.path.exists(gate):  # noqa: PTH110
            time.sleep(0.005)


def Broken() -> Callable[[], None]:
    raise RuntimeError("a secret that must not be printed")
