"""A remote model leg and what it tells its call, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from perhop.call.legs import EndReason
from perhop.config.models import UpstreamSettings
from perhop.models.openai import OpenAIModel
from perhop.models.remote import RemoteModel
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ServerEvent
from perhop.realtime.session import SessionConfig

__all__ = ["Listening", "connected", "settings_for"]


class Listening:
    """A sink that remembers, and that tests can wait on."""

    def __init__(self) -> None:
        self.events: list[ServerEvent] = []
        self.chunks: list[AudioChunk] = []
        self.closed: tuple[EndReason, str, bool] | None = None
        self.retry_after_s: float | None = None
        self._changed = asyncio.Event()

    @property
    def audio(self) -> bytes:
        return b"".join(chunk.audio for chunk in self.chunks)

    def on_model_event(self, event: ServerEvent) -> None:
        self.events.append(event)
        self._changed.set()

    def on_model_audio(self, chunk: AudioChunk) -> None:
        self.chunks.append(chunk)
        self._changed.set()

    def on_model_closed(
        self, reason: EndReason, detail: str, *, fatal: bool = True, retry_after_s: float | None = None
    ) -> None:
        assert self.closed is None, "told twice"
        self.retry_after_s = retry_after_s
        self.closed = reason, detail, fatal
        self._changed.set()

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def of(self, type_: str) -> list[ServerEvent]:
        return [event for event in self.events if event.type == type_]

    async def until(self, condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def heard(self, type_: str, count: int = 1) -> ServerEvent:
        await self.until(lambda: len(self.of(type_)) >= count)
        return self.of(type_)[count - 1]

    async def ended(self, *, seconds: float = 10.0) -> tuple[EndReason, str, bool]:
        await self.until(lambda: self.closed is not None, seconds=seconds)
        assert self.closed is not None
        return self.closed


def settings_for(url: str, **fields: Any) -> UpstreamSettings:
    """Settings of a model at this base URL."""
    return UpstreamSettings(**{"url": url, "key": SecretStr("sk-upstream"), "model": "gpt-realtime", **fields})


@asynccontextmanager
async def connected(
    url: str,
    session: Mapping[str, Any] | None = None,
    *,
    make: Callable[..., RemoteModel] = OpenAIModel,
    options: Mapping[str, Any] | None = None,
    ready: bool = True,
    **fields: Any,
) -> AsyncIterator[tuple[RemoteModel, Listening]]:
    """A started leg; closed at the end."""
    leg, sink = make(settings_for(url, **fields), **(options or {})), Listening()
    config = SessionConfig.default()
    leg.start(sink, config.merged({"type": "realtime", **session}) if session else config)
    try:
        if ready:
            await sink.heard("session.created")
        yield leg, sink
    finally:
        leg.close()
