"""Conversations with the client of ``openai-agents``, and the voices that take part in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from agents.realtime import (
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeItem,
    RealtimeModel,
    RealtimePlaybackTracker,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
)
from tests.brain.speech import say, silence
from tests.browser.server import Server

__all__ = ["Talk", "newest_call", "question", "socket_url", "talk"]

_PATIENCE_S = 20.0


def question(words: str, *, rate: int = 24_000) -> bytes:
    """A question as s16le PCM, with the silence that ends a turn."""
    return say(words, rate=rate) + silence(1_500, rate=rate)


def socket_url(server: Server, query: str = "model=gpt-realtime") -> str:
    """Where the WebSocket is."""
    return f"{server.url.replace('http', 'ws', 1)}/v1/realtime?{query}"


def newest_call(server: Server) -> str:
    """The id of the call that began last."""
    answer = httpx.get(f"{server.url}/api/calls", headers={"authorization": "Bearer test"})
    calls = answer.raise_for_status().json()
    return str(max(calls, key=lambda call: call["started_at"])["id"])


class Talk:
    """One session of the library, and everything it told.

    The events of the server are among the session's: :meth:`event` waits for one of the library's own types,
    :meth:`frame` for one of the server's. Each looks behind what was found last.
    """

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[RealtimeSessionEvent] = []
        self.over = asyncio.Event()
        """Set once the session has ended."""
        self._news = asyncio.Event()
        self._read = 0

    async def listen(self) -> None:
        """Remembers events until the session is over."""
        try:
            async for event in self.session:
                self.events.append(event)
                self._news.set()
        finally:
            self.over.set()

    def rewind(self) -> None:
        """Looks from the beginning again."""
        self._read = 0

    async def until(self, wanted: Callable[[RealtimeSessionEvent], bool]) -> Any:
        """The next event that is wanted."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                while self._read < len(self.events):
                    event = self.events[self._read]
                    self._read += 1
                    if wanted(event):
                        return event
                self._news.clear()
                await self._news.wait()

    async def event(self, kind: str) -> Any:
        """The next event of the library of this type."""
        return await self.until(lambda event: event.type == kind)

    async def frame(self, kind: str) -> dict[str, Any]:
        """The next event of the server of this type."""
        found = await self.until(lambda event: (frame_of(event) or {}).get("type") == kind)
        return frame_of(found) or {}

    async def answer(self) -> str:
        """What is said in the next answer, once all of it is there."""
        said = await self.frame("response.output_audio_transcript.done")
        await self.event("agent_end")
        return str(said["transcript"])

    def frames(self, kind: str) -> list[dict[str, Any]]:
        """All events of the server of this type so far."""
        return [frame for event in self.events if (frame := frame_of(event)) is not None and frame["type"] == kind]

    def history(self) -> list[tuple[str, str]]:
        """Who said what, as the library has it now."""
        items: list[RealtimeItem] = []
        for event in self.events:
            if event.type == "history_updated":
                items = event.history
            elif event.type == "history_added":
                items = [item for item in items if item.item_id != event.item.item_id] + [event.item]
        return [(item.role, _words(item.content)) for item in items if item.type == "message"]

    def errors(self) -> list[Any]:
        """Every error so far, the library's and the server's."""
        return [event.error for event in self.events if event.type == "error"]


def _words(content: Sequence[Any]) -> str:
    return " ".join(getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in content)


def frame_of(event: RealtimeSessionEvent) -> dict[str, Any] | None:
    """The server's event inside an event of the library, if there is one."""
    if event.type == "raw_model_event" and event.data.type == "raw_server_event":
        frame: dict[str, Any] = event.data.data
        return frame
    return None


@asynccontextmanager
async def talk(
    server: Server,
    agent: RealtimeAgent[Any],
    *,
    query: str = "model=gpt-realtime",
    call_id: str | None = None,
    player: RealtimePlaybackTracker | None = None,
    errors: int = 0,
    **settings: Any,
) -> AsyncIterator[Talk]:
    """Connects as the library's documentation says, waits until the session is set up, and ends it.

    Args:
        call_id: control this live call instead of beginning one.
        player: knows what was played; without one the library goes by the clock.
        errors: how many are expected in the end.
        settings: the library's settings of the session.
    """
    config: dict[str, Any] = {
        "url": socket_url(server, f"call_id={call_id}" if call_id else query),
        "api_key": "sk-anything",
        "initial_model_settings": settings,
    }
    if player is not None:
        config["playback_tracker"] = player
    model: RealtimeModel | None = None
    if call_id is not None:
        config["call_id"] = call_id
        model = OpenAIRealtimeSIPModel()
    async with await RealtimeRunner(agent, model=model).run(model_config=config) as session:  # type: ignore[arg-type]
        conversation = Talk(session)
        listening = asyncio.create_task(conversation.listen())
        # The configuration of the agent, then, after session.created, that of tracing.
        for _ in range(2):
            await conversation.frame("session.updated")
        conversation.rewind()
        yield conversation
        assert len(conversation.errors()) == errors, conversation.errors()
    await listening
