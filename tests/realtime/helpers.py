"""A Realtime session under test: virtual time, counted ids, and every frame held against the official types."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import (
    BrainInput,
    Effect,
    OutputAudio,
    OutputDone,
    OutputText,
    StartResponse,
    Transcript,
    VoiceActivity,
)
from perhop.realtime.events import ClientEvent, ServerEvent, parse_client_event
from perhop.realtime.server import Output, RealtimeServer
from perhop.realtime.session import SessionConfig

OFFICIAL = TypeAdapter(RealtimeServerEvent)

WINDOW_MS = 32
PCM_MS = 48
"""Bytes of a millisecond of 24 kHz PCM."""

LOUD, QUIET = 0.9, 0.05

TEXT_ONLY = {"output_modalities": ["text"]}
MANUAL = {"audio": {"input": {"turn_detection": None}}}


def pcm(ms: int) -> bytes:
    """Audio of this length whose bytes differ from one another."""
    return (b"\x01\x02\x03\x04" * (ms * PCM_MS // 4 + 1))[: ms * PCM_MS]


def counted_ids() -> Any:
    """Ids that say what they are and in which order they were made, one count per prefix."""
    counters: dict[str, itertools.count[int]] = {}
    return lambda prefix: f"{prefix}{next(counters.setdefault(prefix, itertools.count(1)))}"


def frame(output: ServerEvent | AudioChunk) -> dict[str, Any]:
    """The JSON a client gets, checked against the official package's strict types."""
    data = output.to_json("event_audio") if isinstance(output, AudioChunk) else output.to_json()
    obj = orjson.loads(data)
    OFFICIAL.validate_python(obj)
    return obj


class Session:
    """Drives one server; remembers everything it said.

    Attributes:
        frames: every event and audio delta, as JSON.
        effects: every effect.
        now: seconds.
    """

    def __init__(self, update: dict[str, Any] | None = None, **server: Any) -> None:
        config = SessionConfig.default()
        if update is not None:
            config = config.merged({"type": "realtime", **update})
        self.now = 100.0
        self.heard_ms = 0
        self.frames: list[dict[str, Any]] = []
        self.effects: list[Effect] = []
        self.order: list[str] = []
        self.server = RealtimeServer(config=config, now=self.now, new_id=counted_ids(), **server)
        self.take(self.server.start(self.now))
        self.forget()

    # -- in -----------------------------------------------------------------------------------------------------------

    def send(self, type_: str, **fields: Any) -> list[dict[str, Any]]:
        """A client event, through the parser; returns the frames it caused."""
        return self.give(parse_client_event(orjson.dumps({"type": type_, **fields})))

    def give(self, event: ClientEvent | BrainInput) -> list[dict[str, Any]]:
        """A client event or brain input; returns the frames it caused."""
        return self.take(self.server.receive(event, self.now))

    def append(self, audio: bytes) -> list[dict[str, Any]]:
        """Caller audio, without voice detection."""
        return self.take(self.server.append_audio(audio, self.now))

    def hear(self, probability: float, ms: int) -> list[dict[str, Any]]:
        """Caller audio in real time, with one voice activity a window; returns the frames it caused."""
        first = len(self.frames)
        for _ in range(ms // WINDOW_MS):
            self.heard_ms += WINDOW_MS
            self.now += WINDOW_MS / 1000
            self.append(pcm(WINDOW_MS))
            self.give(VoiceActivity(probability, self.heard_ms))
        return self.frames[first:]

    def say(self, transcript: str = "hello", ms: int = 640) -> str:
        """A whole spoken turn, words included; returns its item's id."""
        self.hear(LOUD, ms)
        stopped = [f for f in self.hear(QUIET, 256) if f["type"] == "input_audio_buffer.committed"]
        item_id: str = stopped[-1]["item_id"]
        self.give(Transcript(item_id, transcript))
        return item_id

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """Time passes; timers fire when they are due."""
        first, end = len(self.frames), self.now + seconds
        while (deadline := self.server.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.take(self.server.on_timer(self.now))
            assert self.server.next_deadline() != deadline, "what was due is done"
        self.now = end
        return self.frames[first:]

    def answer(self, text: str = "Hi.", audio_ms: int = 500, *, done: bool = True) -> list[dict[str, Any]]:
        """The host produces text and audio for the live response."""
        first, response_id = len(self.frames), self.live
        self.give(OutputText(response_id, text))
        if audio_ms:
            self.give(OutputAudio(response_id, pcm(audio_ms)))
        if done:
            self.give(OutputDone(response_id))
        return self.frames[first:]

    # -- out ----------------------------------------------------------------------------------------------------------

    def take(self, outputs: list[Output]) -> list[dict[str, Any]]:
        """Records outputs; returns the frames among them."""
        frames: list[dict[str, Any]] = []
        for output in outputs:
            if isinstance(output, ServerEvent | AudioChunk):
                frames.append(frame(output))
                self.order.append(frames[-1]["type"])
            else:
                self.effects.append(output)
                self.order.append(type(output).__name__)
        self.frames += frames
        return frames

    def forget(self) -> None:
        """Starts remembering afresh."""
        self.frames.clear()
        self.effects.clear()
        self.order.clear()

    @property
    def live(self) -> str:
        """The live response of the default conversation."""
        response_id = self.server.live_response_id
        assert response_id is not None, "no response is live"
        return response_id

    @property
    def started(self) -> list[StartResponse]:
        """What the host was asked to produce."""
        return [effect for effect in self.effects if isinstance(effect, StartResponse)]

    def last(self, type_: str) -> dict[str, Any]:
        """The latest frame of a type."""
        return next(frame for frame in reversed(self.frames) if frame["type"] == type_)


def types(frames: list[dict[str, Any]]) -> list[str]:
    """The types of frames, in order."""
    return [frame["type"] for frame in frames]


def error_of(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The error that is the only frame."""
    assert types(frames) == ["error"], types(frames)
    error: dict[str, Any] = frames[0]["error"]
    assert set(error) == {"type", "code", "message", "param", "event_id"}
    return error
