"""A listener that keeps what a stream reports, and lets a test wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from perhop.brain.providers import BrainError

__all__ = ["Heard", "until"]


class Heard:
    def __init__(self) -> None:
        self.data = b""
        self.events: list[dict[str, Any]] = []
        self.over: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()

    def on_data(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def on_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._changed.set()

    def on_done(self, result: dict[str, Any]) -> None:
        self.over.set_result(result)

    def on_failed(self, error: BrainError) -> None:
        self.over.set_exception(error)

    async def has(self, data: bytes) -> None:
        """Returns when so much output has come."""
        while self.data != data:
            self._changed.clear()
            await self._changed.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Returns when a condition on the processes holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)  # a process that starts or ends sets no event here
