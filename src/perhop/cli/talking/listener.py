"""What a caller makes of the server's events: words, audio as it was heard, and when the answer is over. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pybase64

from perhop.realtime.audio import BYTES_PER_MS

__all__ = ["Listener", "Shown"]


class Shown(Protocol):
    """Where a conversation is shown as it goes."""

    def you(self, text: str) -> None:
        """What the server understood of the question."""

    def agent(self, delta: str) -> None:
        """A further piece of the answer's text."""

    def agent_done(self) -> None:
        """This part of the answer is complete."""

    def tool(self, name: str, arguments: str) -> None:
        """The agent calls a function."""

    def tool_result(self, output: str) -> None:
        """What the function returned."""


@dataclass(slots=True)
class _Played:
    """Audio of one item and when its playback begins, s."""

    starts_at: float
    audio: bytearray = field(default_factory=bytearray)


class Listener:
    """Follows one session by its events. Times are seconds of any clock that only goes forward.

    It plays by the protocol: audio queues behind what is still playing, and when the caller's own voice interrupts the
    agent, playback stops and the server is told how much of the item was heard.

    Attributes:
        ready: the session is open.
        manual: the server leaves it to the client to ask for an answer.
        spoken: the server took notice of a question: heard speech, or got a text.
        completed: the whole question was sent.
        plays_until: when what was received so far will have been heard.
        problem: the first error, in words.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._items: dict[str, _Played] = {}
        self._active: set[str] = set()
        self._pending_calls: set[str] = set()
        self._answers = 0
        self._speaking = False
        self.ready = False
        self.manual = False
        self.spoken = False
        self.completed = False
        self.plays_until = 0.0
        self.problem: str | None = None

    @property
    def audio(self) -> bytes:
        """The agent's audio as it was heard, item after item: 24 kHz mono s16le."""
        return b"".join(bytes(item.audio) for item in self._items.values())

    @property
    def busy(self) -> bool:
        """Whether the agent is answering, or waits for a function."""
        return bool(self._active or self._pending_calls)

    @property
    def answered(self) -> bool:
        """Whether the question was answered and nothing more is to come."""
        return self.completed and self._answers > 0 and not self.busy

    def begin(self) -> None:
        """A question follows that needs no voice detection: what is answered from here on answers it."""
        self.spoken = True
        self._answers = 0

    def complete(self) -> None:
        """The whole question was sent."""
        self.completed = True

    def receive(self, event: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        """Takes one server event; returns what the client must send in turn."""
        match event.get("type"):
            case "session.created" | "session.updated":
                self._configure(event["session"])
            case "input_audio_buffer.speech_started":
                self.begin()
                return self._interrupted(now)
            case "conversation.item.input_audio_transcription.completed":
                self._shown.you(str(event["transcript"]))
            case "response.created":
                self._active.add(event["response"]["id"])
            case "response.output_audio.delta":
                self._hear(event, now)
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                self._speaking = True
                self._shown.agent(str(event["delta"]))
            case "response.output_audio_transcript.done" | "response.output_text.done":
                self._finish_line()
            case "response.function_call_arguments.done":
                self._pending_calls.add(event["call_id"])
                self._shown.tool(str(event.get("name", "")), str(event["arguments"]))
            case "conversation.item.added" if event["item"]["type"] == "function_call_output":
                self._pending_calls.discard(event["item"]["call_id"])
                self._shown.tool_result(str(event["item"]["output"]))
                # The answer to this output follows; until it begins the agent still counts as busy.
                self._active.add("")
            case "response.done":
                self._response_done(event["response"])
            case "error":
                self.problem = self.problem or str(event["error"]["message"])
            case _:
                pass
        return []

    def _configure(self, session: Mapping[str, Any]) -> None:
        self.ready = True
        detection = session.get("audio", {}).get("input", {}).get("turn_detection")
        self.manual = detection is None or detection.get("create_response") is False

    def _hear(self, event: Mapping[str, Any], now: float) -> None:
        audio = pybase64.b64decode(event["delta"])
        item = self._items.get(event["item_id"])
        if item is None:
            item = self._items[event["item_id"]] = _Played(max(now, self.plays_until))
        item.audio += audio
        self.plays_until = max(now, self.plays_until) + len(audio) / BYTES_PER_MS / 1000

    def _interrupted(self, now: float) -> list[dict[str, Any]]:
        """The caller's own voice: stop playing, and say how much was heard of what was cut off."""
        if now >= self.plays_until:
            return []
        self.plays_until = now
        self._finish_line()
        cuts = []
        for item_id, item in self._items.items():
            heard_ms = max(0, int((now - item.starts_at) * 1000))
            if heard_ms * BYTES_PER_MS < len(item.audio):
                del item.audio[heard_ms * BYTES_PER_MS :]
                cuts.append(
                    {
                        "type": "conversation.item.truncate",
                        "item_id": item_id,
                        "content_index": 0,
                        "audio_end_ms": heard_ms,
                    }
                )
        return cuts

    def _response_done(self, response: Mapping[str, Any]) -> None:
        self._active.discard(response["id"])
        self._active.discard("")
        self._finish_line()
        status = response["status"]
        if status == "failed":
            error = (response.get("status_details") or {}).get("error") or {}
            self.problem = self.problem or str(error.get("message") or error.get("code") or "the response failed")
        elif status != "cancelled" and any(item["type"] == "message" for item in response["output"]) and self.spoken:
            self._answers += 1

    def _finish_line(self) -> None:
        if self._speaking:
            self._speaking = False
            self._shown.agent_done()
