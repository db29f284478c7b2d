"""Requests being answered by one service of this process: a bounded number, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from perhop.tools.bus.base import Endpoint, Message
from perhop.tools.bus.errors import RemoteError

__all__ = ["Answer", "Serving"]

_log = structlog.get_logger(__name__)

MAX_ERROR = 500
"""Characters of an error's message on the wire."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to: a payload, or an error by code."""

    payload: bytes = b""
    code: str | None = None
    message: str = ""


class Serving:
    """Answers requests to the endpoints of one service.

    Args:
        name: of the service, for the log.
        max_running: answered at once; a further request is refused with code ``busy``.
    """

    def __init__(self, name: str, *, max_running: int) -> None:
        self._name = name
        self._max_running = max_running
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Requests being answered."""
        return len(self._tasks)

    async def take(self, endpoint: Endpoint, message: Message, reply: Callable[[Answer], Awaitable[None]]) -> None:
        """Begins to answer; returns at once. ``reply`` is awaited exactly once, unless the process ends before."""
        if len(self._tasks) >= self._max_running:
            await reply(Answer(code="busy", message=f"{self._name} answers {self._max_running} requests already"))
            return
        task = asyncio.get_running_loop().create_task(self._answer(endpoint, message, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, grace_s: float) -> None:
        """Waits for what runs, then cancels the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=grace_s)

    async def _answer(self, endpoint: Endpoint, message: Message, reply: Callable[[Answer], Awaitable[None]]) -> None:
        try:
            answer = Answer(await endpoint.respond(message))
        except RemoteError as error:
            answer = Answer(code=error.code, message=str(error)[:MAX_ERROR])
        except asyncio.CancelledError:
            await reply(Answer(code="cancelled", message="whoever answered is going down"))
            raise
        except Exception as error:  # noqa: BLE001 - whoever serves may raise anything; its message may hold a payload
            _log.error("request failed", service=self._name, endpoint=endpoint.name, error=type(error).__qualname__)
            answer = Answer(code="internal", message=f"{self._name} could not answer: {type(error).__qualname__}")
        await reply(answer)
