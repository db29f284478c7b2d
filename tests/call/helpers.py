"""Both sides of a call for tests: a caller whose playout the test drives, and a model that says what the test says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.legs import CallerSink, EndReason, HopStats, Position, Transport
from perhop.call.manager import CallManager, ModelKind
from perhop.media.playout import Playout
from perhop.models.driver import ServerDriver
from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import (
    CloseUtterance,
    Effect,
    OutputAudio,
    OutputDone,
    OutputFunctionCall,
    OutputText,
    StartResponse,
    Transcribe,
    Transcript,
    VoiceActivity,
)
from perhop.realtime.events import ClientEvent, ErrorDetail, ErrorEvent, ServerEvent
from perhop.tools.runner import ToolRunner

__all__ = ["SPEECH_MS", "Caller", "Follower", "PuppetModel", "Table", "counting_ids"]

SPEECH_MS = 32
"""One voice activity window."""


def counting_ids() -> Callable[[str], str]:
    """Ids that count up, so that runs are the same."""
    counter = itertools.count(1)
    return lambda prefix: f"{prefix}{next(counter)}"


class Caller:
    """A clocked caller leg on a real playout queue; what was sent counts as played."""

    transport: Transport = "webrtc"
    clocked = True

    def __init__(self) -> None:
        self.sink: CallerSink | None = None
        self.received: list[ServerEvent] = []
        self.frames = 0
        self.closed: EndReason | None = None
        self.playout = Playout()

    def attach(self, sink: CallerSink) -> None:
        self.sink = sink

    def send(self, event: ServerEvent) -> None:
        self.received.append(event)

    def play(self, chunk: AudioChunk) -> None:
        self.playout.push(chunk)

    def end_audio(self, response_id: str) -> None:
        self.playout.end(response_id)
        self._report()

    def clear(self) -> str | None:
        return self.playout.clear()

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None: ...

    def position(self, item_id: str) -> Position:
        sent = self.playout.sent_ms(item_id)
        return Position(sent, sent)

    def report(self, *, jitter_buffer_ms: float | None) -> None: ...

    def stats(self) -> HopStats:
        return HopStats()

    def close(self, reason: EndReason) -> None:
        self.closed = reason

    def tick(self, frames: int = 1) -> None:
        """Lets this many 20 ms frames go out."""
        for _ in range(frames):
            if self.playout.pull() is not None:
                self.frames += 1
            self._report()

    def _report(self) -> None:
        assert self.sink is not None
        for event in self.playout.take_events():
            if event.kind == "started":
                self.sink.on_playout_started(event.response_id)
            else:
                self.sink.on_playout_stopped(event.response_id)

    def types(self) -> list[str]:
        """Types of the events this caller got, in order."""
        return [event.type for event in self.received]


class Follower:
    """A tap that remembers."""

    def __init__(self) -> None:
        self.received: list[ServerEvent] = []
        self.heard: list[AudioChunk] = []
        self.ended: list[EndReason] = []

    def on_event(self, event: ServerEvent) -> None:
        self.received.append(event)

    def on_audio(self, chunk: AudioChunk) -> None:
        self.heard.append(chunk)

    def on_ended(self, reason: EndReason) -> None:
        self.ended.append(reason)

    def types(self) -> list[str]:
        """Types of the events it got, in order."""
        return [event.type for event in self.received]

    def errors(self) -> list[ErrorDetail]:
        """What went wrong, as far as it was told."""
        return [event.error for event in self.received if isinstance(event, ErrorEvent)]


class PuppetModel(ServerDriver):
    """A Realtime server whose mind is the test: ``answer`` decides what each response does."""

    def __init__(self, answer: Callable[[PuppetModel, StartResponse], None], **options: object) -> None:
        super().__init__(slice_s=math.inf, **options)  # type: ignore[arg-type]
        self._answer = answer
        self._windows = 0
        self.asked: list[StartResponse] = []
        self.took: list[ClientEvent] = []

    def send(self, event: ClientEvent) -> None:
        self.took.append(event)
        super().send(event)

    def carry_out(self, effect: Effect) -> None:
        if isinstance(effect, StartResponse):
            self.asked.append(effect)
            self._answer(self, effect)
        elif isinstance(effect, CloseUtterance | Transcribe):
            self.feed(Transcript(effect.item_id, "words"))

    def heard(self, pcm: bytes) -> tuple[()]:
        return ()

    def released(self) -> None: ...

    def voice(self, probability: float) -> None:
        """One window of caller audio with this speech probability."""
        self.append(bytes(SPEECH_MS * 48))
        self._windows += 1
        self.feed(VoiceActivity(probability, self._windows * SPEECH_MS))

    def say(self, response_id: str, ms: int, *, done: bool = True) -> None:
        """Speaks for so long, all at once."""
        self.feed(OutputText(response_id, "words"))
        self.feed(OutputAudio(response_id, bytes(ms * 48)))
        if done:
            self.feed(OutputDone(response_id))

    def call_function(self, response_id: str, name: str, arguments: str = "{}") -> None:
        """Calls one function and says nothing."""
        self.feed(OutputFunctionCall(response_id, name, arguments))
        self.feed(OutputDone(response_id))


@dataclass
class Table:
    """A call with both its sides."""

    caller: Caller
    model: PuppetModel
    call: Call
    ended: list[Call] = field(default_factory=list)

    @classmethod
    def lay(
        cls,
        answer: Callable[[PuppetModel, StartResponse], None],
        *,
        agent: Agent | None = None,
        session: dict[str, object] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        max_call_s: float | None = None,
        wall: Callable[[], float] = lambda: 1_700_000_000.5,
    ) -> Table:
        """Starts a call between a puppet model and a caller."""
        caller = Caller()
        ids = counting_ids()
        model = PuppetModel(answer, clock=clock, new_id=ids)
        kind = ModelKind(lambda: model, extensions=True)
        manager = CallManager({"local": kind}, ToolRunner(), max_call_s=max_call_s, clock=clock, wall=wall, new_id=ids)
        call = manager.start(caller, agent=agent, session=session or {}, tenant="t")
        call.on_caller_ready()
        return cls(caller, model, call)

    def turn(self, windows: int = 12) -> None:
        """The caller speaks and falls silent until the turn is over."""
        for _ in range(windows):
            self.model.voice(0.95)
        for _ in range(20):
            self.model.voice(0.01)
