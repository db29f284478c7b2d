"""Calls in which everything happens at once: the caller speaks, tools return, the model is far away and takes its time.

Each race is one call on virtual time, decided by a seed. What must hold: nobody who did not ask for two responses hears
of a collision, every tool result is answered, and in the end nothing is left waiting.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.call.helpers import SPEECH_MS, Caller, PuppetModel, counting_ids

from perhop.call.agents import Agent
from perhop.call.coordinator import ALREADY_ACTIVE
from perhop.call.legs import EndReason, ModelLeg, ModelSink
from perhop.call.manager import CallManager, ModelKind
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
)
from perhop.realtime.events import ClientEvent, ErrorEvent, ResponseCreate, ServerEvent
from perhop.realtime.items import FunctionCallOutputItem
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolRunner
from perhop.tools.tool import tool

__all__ = ["Outcome", "race", "races"]

ACTIVE_S = 3.0
"""How long caller and model keep each other busy."""

SETTLED_S = 30.0
"""When everything must be over."""


class FarModel:
    """A model leg whose model is somewhere else: what is said takes a random time, in order, each way."""

    def __init__(self, near: ModelLeg, rng: random.Random, *, delay_s: float) -> None:
        self.collisions = 0
        self._near = near
        self._rng = rng
        self._delay_s = delay_s
        self._up = _Line(self._delay)
        self._down = _Line(self._delay)
        self._sink: ModelSink | None = None

    def _delay(self) -> float:
        return self._rng.random() ** 2 * self._delay_s

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        self._sink = sink
        self._near.start(self, session)

    def send(self, event: ClientEvent) -> None:
        self._up.put(lambda: self._near.send(event))

    def append(self, pcm: bytes) -> None:
        self._up.put(lambda: self._near.append(pcm))

    def close(self) -> None:
        self._near.close()

    @property
    def sink(self) -> ModelSink:
        assert self._sink is not None
        return self._sink

    def on_model_event(self, event: ServerEvent) -> None:
        self.collisions += isinstance(event, ErrorEvent) and event.error.code == ALREADY_ACTIVE
        self._down.put(lambda: self.sink.on_model_event(event))

    def on_model_audio(self, chunk: AudioChunk) -> None:
        self._down.put(lambda: self.sink.on_model_audio(chunk))

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None:
        self._down.put(lambda: self.sink.on_model_closed(reason, detail, fatal=fatal))


class _Line:
    """Delivers in order, each thing after a delay of its own at the earliest."""

    def __init__(self, delay: Callable[[], float]) -> None:
        self._delay = delay
        self._queue: deque[Callable[[], None]] = deque()
        self._free_at = 0.0

    def put(self, deliver: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time() + self._delay())
        self._queue.append(deliver)
        loop.call_at(self._free_at, lambda: self._queue.popleft()())


class BusyModel(PuppetModel):
    """Recognises and answers in its own time; calls the tool more often than not."""

    def __init__(self, rng: random.Random, **options: Any) -> None:
        super().__init__(lambda _model, _request: None, **options)
        self._rng = rng

    def carry_out(self, effect: Effect) -> None:
        if isinstance(effect, StartResponse):
            self.asked.append(effect)
            self._answer_in_time(effect)
        elif isinstance(effect, CloseUtterance | Transcribe):
            self._later(0.3, Transcript(effect.item_id, "words"))

    def _answer_in_time(self, request: StartResponse) -> None:
        response_id = request.response_id
        if self._rng.random() < 0.5:
            self._later(0.1, OutputText(response_id, "Let me see."))
        calls = self._rng.choice([0, 0, 1, 1, 2]) if len(self.asked) < 12 else 0
        for _ in range(calls):
            self._later(0.1, OutputFunctionCall(response_id, "look_up", "{}"))
        if not calls:
            self._later(0.1, OutputText(response_id, "Here it is."))
            self._later(0.1, OutputAudio(response_id, bytes(48 * self._rng.randint(100, 3_000))))
        self._later(0.4, OutputDone(response_id), last=True)

    def _later(self, within_s: float, said: Any, *, last: bool = False) -> None:
        delay = within_s + self._rng.random() if last else self._rng.random() * within_s
        asyncio.get_running_loop().call_later(delay, self.feed, said)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one race.

    Attributes:
        collisions: times the model refused a response because one was live; none of them may be seen.
        seen: errors that the caller was told.
        unanswered: tool outputs that no response has seen.
        waiting: requests that nobody serves any more.
    """

    seed: int
    responses: int
    tool_results: int
    collisions: int
    seen: tuple[str | None, ...]
    unanswered: frozenset[str | None]
    waiting: int

    @property
    def lost(self) -> bool:
        """Something went wrong."""
        return bool(self.seen or self.unanswered or self.waiting)


async def race(seed: int) -> Outcome:
    """Runs one call from beginning to end on the running (virtual) loop."""
    loop, rng = asyncio.get_running_loop(), random.Random(seed)
    ids = counting_ids()

    @tool(effect="none")
    async def look_up() -> str:
        """Looks something up."""
        await asyncio.sleep(rng.random() ** 2 * 2.0)
        return "found"

    near = BusyModel(rng, clock=loop.time, new_id=ids)
    far = FarModel(near, rng, delay_s=rng.choice([0.0, 0.05, 0.4]))
    manager = CallManager({"local": ModelKind(lambda: far)}, ToolRunner(), clock=loop.time, new_id=ids)
    caller = Caller()
    call = manager.start(caller, agent=Agent(name="a", tools={"look_up": look_up}), session={}, tenant="t")
    call.on_caller_ready()
    ends = loop.time() + ACTIVE_S
    await asyncio.gather(_speak(near, rng, ends), _ask(call.on_caller_event, rng, ends), _play(caller, ends))
    await asyncio.sleep(SETTLED_S - ACTIVE_S)
    coordinator = call.conversation._asking._coordinator
    shown = {item.id for start in near.asked for item in start.context}
    outputs = {item.id for item in near.server.items if isinstance(item, FunctionCallOutputItem)}
    outcome = Outcome(
        seed=seed,
        responses=len(near.asked),
        tool_results=len(outputs),
        collisions=far.collisions,
        seen=tuple(event.error.code for event in caller.received if isinstance(event, ErrorEvent)),
        unanswered=frozenset(outputs - shown),
        waiting=len(coordinator._waiting) + len(coordinator._in_flight) + (near.server.live_response_id is not None),
    )
    call.hang_up(EndReason.CALLER_HANGUP)
    return outcome


async def races(seeds: range) -> list[Outcome]:
    """Runs many calls side by side."""
    return await asyncio.gather(*(race(seed) for seed in seeds))


async def _speak(model: PuppetModel, rng: random.Random, ends: float) -> None:
    """The caller says something now and then, whatever else is going on."""
    loop = asyncio.get_running_loop()
    while loop.time() < ends:
        await asyncio.sleep(rng.random() * 0.8)
        for probability, windows in ((0.95, rng.randint(2, 12)), (0.01, 10)):
            for _ in range(windows):
                model.voice(probability)
                await asyncio.sleep(SPEECH_MS / 1000)


async def _ask(say: Callable[[ClientEvent], None], rng: random.Random, ends: float) -> None:
    """The caller types as well, and asks for a response once: nobody asks for two here."""
    await asyncio.sleep(rng.random() * (ends - asyncio.get_running_loop().time()))
    say(ResponseCreate(event_id="mine" if rng.random() < 0.5 else None))


async def _play(caller: Caller, ends: float) -> None:
    """What the model says is played."""
    while asyncio.get_running_loop().time() < ends + 5:
        await asyncio.sleep(0.2)
        caller.tick(10)
