"""Telling the caller to wait while there is no model session that could.

What is said is a response of Perhop's own: whole and in order, as clients know responses, but out of band
(``conversation_id`` is null), so it is no part of the conversation, and with ``perhop_purpose`` in its metadata.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from perhop.call.announcer import Announcer
from perhop.call.fillers import PURPOSE
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    Response,
    ResponseContentPart,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import ContentPart, MessageItem

__all__ = ["HOLD", "HoldHost", "Holding"]

HOLD = "hold"
"""The purpose of such a response."""

_CHUNK_BYTES = 9_600
"""200 ms, as models send it."""


class HoldHost(Protocol):
    """The call."""

    def announce(self, event: ServerEvent) -> None:
        """Shows clients an event of Perhop's own."""

    def announce_audio(self, chunk: AudioChunk) -> None:
        """Lets clients hear audio of Perhop's own."""

    def announced(self, response_id: str) -> None:
        """No more audio of this response follows."""


class Holding:
    """The phrase of one call.

    It is said once an outage, after what the caller still has to hear, and before whatever the model says when it is
    back. Text and transcription sessions have none.

    Args:
        announcer: makes its audio; None for a process that cannot.
        phrase: what to say; empty for nothing.

    Attributes:
        phrase: another one when another agent takes over.
    """

    def __init__(self, host: HoldHost, announcer: Announcer | None, phrase: str, *, new_id: IdFactory) -> None:
        self._host = host
        self._announcer = announcer
        self.phrase = phrase
        self._new_id = new_id
        self._task: asyncio.Task[None] | None = None

    def begin(self, session: Mapping[str, Any]) -> None:
        """There has been no model session for a while.

        Args:
            session: the one that is in force for the clients.
        """
        if self._announcer is None or not self.phrase or self._task is not None:
            return
        if session.get("output_modalities") != ["audio"]:
            return
        self._task = asyncio.get_running_loop().create_task(self._say(self._announcer, session))

    def end(self) -> None:
        """The model is back, or nobody is there any more: what has not begun is not said."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _say(self, announcer: Announcer, session: Mapping[str, Any]) -> None:
        output = session.get("audio", {}).get("output", {})
        voice = output.get("voice")
        voice = voice if isinstance(voice, str) else None
        pcm = await announcer.audio(self.phrase, voice or "")
        if pcm:
            self._respond(pcm, {"format": output.get("format"), "voice": voice})

    def _respond(self, pcm: bytes, output: Mapping[str, Any]) -> None:
        """The whole life of the response, in one step: nothing of the model's gets in between."""
        host, phrase = self._host, self.phrase
        response_id, item_id = self._new_id("resp_"), self._new_id("item_")
        item = MessageItem(id=item_id, status="in_progress", role="assistant", content=[])
        done = item.model_copy(
            update={"status": "completed", "content": [ContentPart(type="output_audio", transcript=phrase)]}
        )
        response = Response.model_validate(
            {
                "object": "realtime.response",
                "id": response_id,
                "status": "in_progress",
                "status_details": None,
                "conversation_id": None,
                "output_modalities": ["audio"],
                "max_output_tokens": "inf",
                "audio": {"output": output},
                "metadata": {PURPOSE: HOLD},
                "output": [],
                "usage": None,
            }
        )
        part: dict[str, Any] = {
            "response_id": response_id,
            "item_id": item_id,
            "output_index": 0,
            "content_index": 0,
        }
        outputs: dict[str, Any] = {"response_id": response_id, "output_index": 0}
        begun = ResponseContentPart(type="audio", transcript="")
        host.announce(ResponseCreated(event_id=self._event(), response=response))
        host.announce(ResponseOutputItemAdded(event_id=self._event(), item=item, **outputs))
        host.announce(ResponseContentPartAdded(event_id=self._event(), part=begun, **part))
        host.announce(ResponseOutputAudioTranscriptDelta(event_id=self._event(), delta=phrase, **part))
        for start in range(0, len(pcm), _CHUNK_BYTES):
            host.announce_audio(AudioChunk(response_id, item_id, 0, 0, pcm[start : start + _CHUNK_BYTES]))
        host.announce(ResponseOutputAudioDone(event_id=self._event(), **part))
        host.announce(ResponseOutputAudioTranscriptDone(event_id=self._event(), transcript=phrase, **part))
        said = ResponseContentPart(type="audio", transcript=phrase)
        host.announce(ResponseContentPartDone(event_id=self._event(), part=said, **part))
        host.announce(ResponseOutputItemDone(event_id=self._event(), item=done, **outputs))
        over = response.model_copy(update={"status": "completed", "output": [done]})
        host.announce(ResponseDone(event_id=self._event(), response=over))
        host.announced(response_id)

    def _event(self) -> str:
        return self._new_id("event_")
