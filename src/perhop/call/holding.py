"""Telling the caller to wait while there is no model session that could.

What is said is a response of Perhop's own: whole and in order, as clients know responses, but out of band
(``conversation_id`` is null), so it is no part of the conversation, and with ``perhop_purpose`` in its metadata.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from perhop.call.acting import ActingAgent
from perhop.call.announcer import Announcer
from perhop.call.clients import Clients
from perhop.call.own_words import PURPOSE
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
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import ContentPart, MessageItem

__all__ = ["HOLD", "Holding"]

HOLD = "hold"
"""The purpose of such a response."""

_CHUNK_BYTES = 9_600
"""200 ms, as models send it."""


class Holding:
    """The phrase of one call.

    It is said once an outage, after what the caller still has to hear, and before whatever the model says when it is
    back. Text and transcription sessions have none.

    Args:
        clients: hear it.
        announcer: makes its audio; None for a process that cannot.
        acting: the agent; it may have a phrase of its own.
        phrase: else this; empty for nothing.
    """

    def __init__(
        self, clients: Clients, announcer: Announcer | None, acting: ActingAgent, phrase: str, *, new_id: IdFactory
    ) -> None:
        self._clients = clients
        self._announcer = announcer
        self._acting = acting
        self._phrase = phrase
        self._new_id = new_id
        self._task: asyncio.Task[None] | None = None

    def begin(self, session: Mapping[str, Any]) -> None:
        """There has been no model session for a while.

        Args:
            session: the one that is in force for the clients.
        """
        own = self._acting.profile.hold_phrase
        phrase = self._phrase if own is None else own
        if self._announcer is None or not phrase or self._task is not None:
            return
        if session.get("output_modalities") != ["audio"]:
            return
        self._task = asyncio.get_running_loop().create_task(self._say(phrase, self._announcer, session))

    def end(self) -> None:
        """The model is back, or nobody is there any more: what has not begun is not said."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _say(self, phrase: str, announcer: Announcer, session: Mapping[str, Any]) -> None:
        output = session.get("audio", {}).get("output", {})
        voice = output.get("voice")
        voice = voice if isinstance(voice, str) else None
        pcm = await announcer.audio(phrase, voice or "")
        if pcm:
            self._respond(phrase, pcm, {"format": output.get("format"), "voice": voice})

    def _respond(self, phrase: str, pcm: bytes, output: Mapping[str, Any]) -> None:
        """The whole life of the response, in one step: nothing of the model's gets in between."""
        clients = self._clients
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
        clients.show(ResponseCreated(event_id=self._event(), response=response))
        clients.show(ResponseOutputItemAdded(event_id=self._event(), item=item, **outputs))
        clients.show(ResponseContentPartAdded(event_id=self._event(), part=begun, **part))
        clients.show(ResponseOutputAudioTranscriptDelta(event_id=self._event(), delta=phrase, **part))
        for start in range(0, len(pcm), _CHUNK_BYTES):
            clients.hear(AudioChunk(response_id, item_id, 0, 0, pcm[start : start + _CHUNK_BYTES]))
        clients.show(ResponseOutputAudioDone(event_id=self._event(), **part))
        clients.show(ResponseOutputAudioTranscriptDone(event_id=self._event(), transcript=phrase, **part))
        said = ResponseContentPart(type="audio", transcript=phrase)
        clients.show(ResponseContentPartDone(event_id=self._event(), part=said, **part))
        clients.show(ResponseOutputItemDone(event_id=self._event(), item=done, **outputs))
        over = response.model_copy(update={"status": "completed", "output": [done]})
        clients.show(ResponseDone(event_id=self._event(), response=over))
        clients.end_audio(response_id)

    def _event(self) -> str:
        return self._new_id("event_")
