"""Conversations over many model sessions, on virtual time: sessions that end, sockets that break, at any moment.

Each conversation is decided by a seed. The caller's audio is numbered frame by frame, so that where each frame ended up
can be told afterwards; the model is a strict scripted one, some way off.
"""

from __future__ import annotations

import array
import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.call.helpers import Caller, counting_ids
from tests.call.races import FarModel

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelSink
from perhop.call.line import LinePolicy
from perhop.call.line.rebuild import carried
from perhop.call.manager import CallManager
from perhop.call.observer import CallObserver
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Script, Step, call, say, wait
from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import StartResponse
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ErrorEvent,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolRunner
from perhop.tools.tool import tool

__all__ = ["Conversation", "Outcome", "frame", "numbers"]

FRAME_S = 0.02
SAMPLES = 480
LOUD = 8_000
DIGITS = 4
QUIET_S = 20.0
"""After the last word, for everything to settle."""


def frame(number: int, *, loud: bool) -> bytes:
    """20 ms of caller audio that says which frame it is, in every eighth of it."""
    samples = array.array("h", [LOUD if loud else 0]) * SAMPLES
    for at in range(0, SAMPLES, 60):
        samples[at] = 31_000 if loud else 1_500
        for digit in range(DIGITS):
            samples[at + 1 + digit] = (number >> (6 * digit)) & 63
    return samples.tobytes()


def numbers(audio: bytes) -> Counter[int]:
    """How often each loud frame is in this audio, in eighths of a frame."""
    samples = array.array("h", audio[: len(audio) // 2 * 2])
    found: Counter[int] = Counter()
    at = 0
    while at < len(samples) - DIGITS:
        if samples[at] == 31_000:
            found[sum(samples[at + 1 + digit] << (6 * digit) for digit in range(DIGITS))] += 1
            at += DIGITS
        at += 1
    return found


class RemoteModel(FarModel):
    """A scripted session some way off, which can break."""

    def __init__(self, near: ScriptedModel, rng: random.Random, *, delay_s: float) -> None:
        super().__init__(near, rng, delay_s=delay_s)
        self.near = near
        self.dead = False

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        self._sink = sink
        self._up.put(lambda: None if self.dead else self.near.start(self, session))

    def close(self) -> None:
        self.dead = True
        super().close()

    def kill(self) -> None:
        """The socket breaks: what was under way either way is lost."""
        if not self.dead:
            self.close()
            self.sink.on_model_closed(EndReason.MODEL_FAILED, "socket lost", fatal=False)

    def send(self, event: ClientEvent) -> None:
        self._up.put(lambda: None if self.dead else self.near.send(event))

    def append(self, pcm: bytes) -> None:
        self._up.put(lambda: None if self.dead else self.near.append(pcm))

    def on_model_event(self, event: ServerEvent) -> None:
        self._down.put(lambda: None if self.dead else self.sink.on_model_event(event))

    def on_model_audio(self, chunk: AudioChunk) -> None:
        self._down.put(lambda: None if self.dead else self.sink.on_model_audio(chunk))

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None:
        self._down.put(lambda: None if self.dead else self.sink.on_model_closed(reason, detail, fatal=False))


class Far(Protocol):
    """Where the sessions are.

    Attributes:
        kind: opens them.
        models: all there were, oldest first.
    """

    kind: ModelKind
    models: list[ScriptedModel]

    def kill(self) -> None:
        """Breaks the newest session's socket."""


class VirtualFar:
    """Sessions in this process, a random time away; for virtual time."""

    def __init__(self, answer: Script, seed: int, *, cap_s: float | None, new_id: IdFactory) -> None:
        self.models: list[ScriptedModel] = []
        self.kind = ModelKind(self._open, name="far", remote=True)
        self._answer = answer
        self._cap_s = cap_s
        self._new_id = new_id
        self._rng = random.Random(seed)
        self._delay_s = self._rng.choice([0.0, 0.03, 0.15])
        self._last: RemoteModel | None = None

    def kill(self) -> None:
        if self._last is not None:
            self._last.kill()

    def _open(self) -> RemoteModel:
        loop = asyncio.get_running_loop()
        near = ScriptedModel(
            self._answer, clock=loop.time, wall=loop.time, new_id=self._new_id, session_cap_s=self._cap_s
        )
        self.models.append(near)
        self._last = RemoteModel(near, self._rng, delay_s=self._delay_s)
        return self._last


@dataclass
class Outcome:
    """What came of one conversation; everything but the counts should be empty."""

    seed: int
    sessions: int = 0
    turns: int = 0
    frames: int = 0
    tool_calls: int = 0
    lost_frames: list[int] = field(default_factory=list)
    doubled_frames: list[int] = field(default_factory=list)
    doubled_items: list[str] = field(default_factory=list)
    tools_run_twice: list[str] = field(default_factory=list)
    results_lost: list[str] = field(default_factory=list)
    open_responses: list[str] = field(default_factory=list)
    wrong_context: list[str] = field(default_factory=list)
    errors: list[str | None] = field(default_factory=list)
    speech_doubled: int = 0
    sessions_seen: int = 0
    unanswered: int = 0
    ended: EndReason | None = None

    @property
    def wrong(self) -> list[str]:
        """What went wrong."""
        names = ("lost_frames", "doubled_frames", "doubled_items", "tools_run_twice", "results_lost")
        names += ("open_responses", "wrong_context", "errors", "speech_doubled", "unanswered", "ended")
        found = [f"{name}: {value!r}" for name in names if (value := getattr(self, name))]
        return found if self.sessions_seen == 1 else [*found, f"the caller saw {self.sessions_seen} sessions begin"]


class Conversation:
    """One caller and one agent.

    Args:
        far: makes the model's side of an answer script; sessions in this process unless given.
        cap_s: life of a model session.
        kills: sockets broken, at random moments.
        seconds: for how long the caller talks.
        wall: Unix time, s; what the sessions mean by ``expires_at``.
        policy: of the line.
        observer: told of every renewal.
        caller: whose playout somebody watches.
    """

    def __init__(
        self,
        seed: int,
        *,
        cap_s: float | None = None,
        kills: int = 0,
        seconds: float = 40.0,
        far: Callable[[Script], Far] | None = None,
        wall: Callable[[], float] | None = None,
        policy: LinePolicy | None = None,
        observer: CallObserver | None = None,
        caller: Caller | None = None,
    ) -> None:
        self._policy = policy or LinePolicy(rng=random.Random(seed))
        self._observer = observer
        self._seed = seed
        self._rng = random.Random(seed)
        self._kills = kills
        self._seconds = seconds
        self._loud: list[int] = []
        self._runs: Counter[str] = Counter()
        self._ids = counting_ids()
        self._wall = wall
        self._far = far(self._answer) if far else VirtualFar(self._answer, seed + 1, cap_s=cap_s, new_id=self._ids)
        self.caller = caller or Caller()

    async def run(self) -> Outcome:
        """The conversation from beginning to end."""
        loop = asyncio.get_running_loop()

        @tool(effect="none")
        async def look_up(key: str) -> str:
            """Looks something up."""
            self._runs[key] += 1
            await asyncio.sleep(self._rng.random() * 1.5)
            return f"found {key}"

        manager = CallManager(
            {"far": self._far.kind},
            ToolRunner(),
            policy=self._policy,
            observer=self._observer,
            clock=loop.time,
            wall=self._wall or loop.time,
            new_id=self._ids,
        )
        agent = Agent(name="a", tools={"look_up": look_up}, model="far")
        live = manager.start(self.caller, agent=agent, session={}, tenant="t")
        live.on_caller_ready()
        ends = loop.time() + self._seconds
        await asyncio.gather(self._talk(live, ends), self._break(ends))
        outcome = self._judge(live)
        for _ in range(20):  # what a session has just been told may still be on its way to it
            outcome.wrong_context = self._compare(live)
            if not outcome.wrong_context:
                break
            await asyncio.sleep(FRAME_S)
        live.hang_up(EndReason.CALLER_HANGUP)
        return outcome

    def _answer(self, _: StartResponse) -> list[Step]:
        """Speech that comes four times as fast as it is spoken, and now and then a function call."""
        rng = self._rng
        steps: list[Step] = [wait(rng.random() * 0.4)]
        if rng.random() < 0.4:
            steps.append(say("Let me see.", ms=rng.randint(100, 600), pace=4.0))
        if rng.random() < 0.35:
            return [*steps, call("look_up", {"key": str(rng.random())})]
        return [*steps, say("Here is what I found for you today.", ms=rng.randint(200, 3_000), pace=4.0)]

    async def _talk(self, live: Call, ends: float) -> None:
        """Speech and silence by turns, a frame every 20 ms, and playout at the same pace."""
        loop = asyncio.get_running_loop()
        number, loud, until = 0, False, loop.time() + self._rng.random()
        due = loop.time()
        while loop.time() < ends + QUIET_S:
            if loop.time() >= until:
                loud = not loud and loop.time() < ends
                until = loop.time() + (0.3 + self._rng.random() * 2.5 if loud else 0.8 + self._rng.random() * 4.0)
            number += 1
            if loud:
                self._loud.append(number)
            live.on_caller_audio(frame(number, loud=loud))
            self.caller.tick()
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _break(self, ends: float) -> None:
        loop = asyncio.get_running_loop()
        moments = sorted(loop.time() + self._rng.random() * (ends - loop.time()) for _ in range(self._kills))
        for moment in moments:
            await asyncio.sleep(max(0.0, moment - loop.time()))
            self._far.kill()

    # -- judging ------------------------------------------------------------------------------------------------------

    def _judge(self, live: Call) -> Outcome:
        items = live.history.items
        outcome = Outcome(self._seed, sessions=len(self._far.models), ended=live.ended, frames=len(self._loud))
        committed: dict[str, bytes] = {}
        for model in self._far.models:
            committed |= model.record.committed
        heard: Counter[int] = Counter()
        for item in items:
            if isinstance(item, MessageItem) and item.role == "user":
                outcome.turns += 1
                heard += numbers(committed.get(item.id or "", b""))
        # A frame that was cut in two by a turn's end counts by its eighths.
        outcome.lost_frames = [number for number in self._loud if heard[number] < 7]
        outcome.doubled_frames = [number for number in self._loud if heard[number] > 9]
        added = Counter(event.item.id for event in self.caller.received if isinstance(event, ConversationItemAdded))
        outcome.doubled_items = [item_id or "" for item_id, count in added.items() if count > 1]
        calls = {item.call_id for item in items if isinstance(item, FunctionCallItem) and item.status == "completed"}
        outputs = Counter(item.call_id for item in items if isinstance(item, FunctionCallOutputItem))
        outcome.tool_calls = len(calls)
        outcome.tools_run_twice = [key for key, count in self._runs.items() if count > 1]
        outcome.results_lost = [call_id or "" for call_id in calls if outputs[call_id] != 1]
        begun = Counter(event.response.id for event in self.caller.received if isinstance(event, ResponseCreated))
        done = Counter(event.response.id for event in self.caller.received if isinstance(event, ResponseDone))
        outcome.open_responses = [str(response_id) for response_id in begun if done[response_id] != begun[response_id]]
        outcome.errors = [event.error.code for event in self.caller.received if isinstance(event, ErrorEvent)]
        outcome.sessions_seen = sum(isinstance(event, SessionCreated) for event in self.caller.received)
        outcome.speech_doubled = self._speech_doubled()
        outcome.unanswered = self._unanswered(live)
        return outcome

    def _speech_doubled(self) -> int:
        """How often speech began that had begun already."""
        doubled, speaking = 0, False
        for event in self.caller.received:
            if isinstance(event, InputAudioBufferSpeechStarted):
                doubled += speaking
                speaking = True
            elif isinstance(event, InputAudioBufferSpeechStopped | InputAudioBufferCleared):
                speaking = False
        return doubled

    def _unanswered(self, live: Call) -> int:
        """Whether the last word was the caller's or a tool's, and nobody answered."""
        items = [item for item in live.history.items if isinstance(item, MessageItem | FunctionCallOutputItem)]
        last = items[-1] if items else None
        return int(last is not None and not (isinstance(last, MessageItem) and last.role == "assistant"))

    def _compare(self, live: Call) -> list[str]:
        """The last session knows what the call knows."""
        live_models = [model for model in self._far.models if model.record.session and model.record.ended is None]
        known = [{item.id for item in model.server.items} for model in live_models]
        here = carried(live.history, budget=1_000_000, audio={})
        missing = [[str(item.id) for item in here if item.id not in there] for there in known]
        return min(missing, key=len, default=["no session"])
