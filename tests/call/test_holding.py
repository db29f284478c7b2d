"""While no model session can be had, the caller is told to wait: once, by Perhop itself, and never over the model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest
from tests.call.helpers import Caller, Follower, counting_ids
from tests.frames import offence
from tests.virtual_time import run_virtual

from perhop.brain.providers import BrainError
from perhop.call.agents import Agent
from perhop.call.announcer import Announcer
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelSink
from perhop.call.line import LinePolicy
from perhop.call.manager import CallManager
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Step, in_turn, say
from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.events import (
    ConversationItemCreate,
    OutputAudioBufferClear,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)
from perhop.realtime.items import ContentPart, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolRunner

PHRASE = "One moment, please."
PHRASE_MS = 1_000
LIFE = [
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
]


class Voice:
    """A synthesiser that counts."""

    def __init__(self, *, takes_s: float = 0.05, error: BrainError | None = None, ms: int = PHRASE_MS) -> None:
        self.said: list[tuple[str, str]] = []
        self._takes_s = takes_s
        self._error = error
        self._ms = ms

    async def speak(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        self.said.append((text, voice))
        await asyncio.sleep(self._takes_s)
        if self._error is not None:
            raise self._error
        for _ in range(self._ms // 100):
            yield bytes(100 * BYTES_PER_MS)


class Silent:
    """A model that takes the connection and says nothing."""

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        self.sink = sink

    def send(self, event: object) -> None: ...

    def append(self, pcm: bytes) -> None: ...

    def close(self) -> None: ...


class Desk:
    """A call whose model can go away and come back."""

    def __init__(
        self,
        *responses: list[Step],
        voice: Voice | None = None,
        agent: Agent | None = None,
        session: dict[str, Any] | None = None,
        caller: Caller | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.voice = voice or Voice()
        self.down = False
        self.models: list[ScriptedModel] = []
        self.silent: list[Silent] = []
        script = in_turn(*responses, then=[say("Back again.", ms=500)])

        def open_model() -> ScriptedModel | Silent:
            if self.down:
                self.silent.append(Silent())
                return self.silent[-1]
            self.models.append(ScriptedModel(script, clock=loop.time, wall=loop.time))
            return self.models[-1]

        manager = CallManager(
            {"far": ModelKind(open_model, name="far", remote=True, hold_phrase=PHRASE)},
            ToolRunner(),
            default_model="far",
            policy=LinePolicy(rng=random.Random(1)),
            announcer=Announcer(self.voice.speak),
            clock=loop.time,
            wall=loop.time,
            new_id=counting_ids(),
        )
        self.caller = caller or Caller()
        self.call: Call = manager.start(self.caller, agent=agent, session=session or {}, tenant="t")
        self.call.on_caller_ready()

    def ask(self) -> None:
        part = ContentPart(type="input_text", text="hello")
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())

    def lose(self) -> None:
        """The socket breaks, and no other session comes up."""
        self.down = True
        self.models[-1].close()
        self.models[-1].sink.on_model_closed(EndReason.MODEL_FAILED, "socket lost", fatal=False)

    def come_back(self) -> None:
        """The next try succeeds; the present one fails."""
        self.down = False
        self.silent[-1].sink.on_model_closed(EndReason.MODEL_FAILED, "timed out", fatal=False)

    def holds(self) -> list[ResponseCreated]:
        return [e for e in self.caller.received if isinstance(e, ResponseCreated) and _is_hold(e)]


def _is_hold(event: ResponseCreated | ResponseDone) -> bool:
    return (event.response.metadata or {}).get("perhop_purpose") == "hold"


def of_response(events: list[ServerEvent], response_id: str | None) -> list[str]:
    """Types of the events of one response, in order."""
    found = []
    for event in events:
        about = getattr(event, "response_id", None) or getattr(getattr(event, "response", None), "id", None)
        if about == response_id and event.type.startswith("response."):
            found.append(event.type)
    return found


def virtual(test: Coroutine[Any, Any, None]) -> None:
    run_virtual(test)


def test_the_phrase_is_a_whole_response_of_its_own_and_no_part_of_the_conversation() -> None:
    async def scenario() -> None:
        desk = Desk()
        follower = Follower()
        desk.call.attach(follower, audio=True)
        desk.ask()
        await asyncio.sleep(0.1)
        desk.caller.tick(100)
        desk.lose()
        await asyncio.sleep(3)
        (hold,) = desk.holds()
        assert of_response(desk.caller.received, hold.response.id) == LIFE
        assert of_response(follower.received, hold.response.id) == LIFE
        assert hold.response.conversation_id is None
        said = b"".join(chunk.audio for chunk in follower.heard if chunk.response_id == hold.response.id)
        assert len(said) == PHRASE_MS * BYTES_PER_MS
        for event in desk.caller.received:
            assert offence(event.to_json()) is None

        desk.caller.tick(60)
        buffer = [e for e in desk.caller.received if isinstance(e, OutputAudioBufferStarted | OutputAudioBufferStopped)]
        assert [(e.type, e.response_id) for e in buffer[-2:]] == [
            ("output_audio_buffer.started", hold.response.id),
            ("output_audio_buffer.stopped", hold.response.id),
        ]
        assert PHRASE not in [item.text() for item in desk.call.history.items]
        assert "conversation.item.added" not in desk.caller.types()[desk.caller.received.index(hold) :]
        (voice,) = desk.voice.said
        assert voice[0] == PHRASE
        desk.come_back()
        await asyncio.sleep(1)
        assert PHRASE not in [item.text() for item in desk.models[-1].server.items]
        desk.call.hang_up(EndReason.API_HANGUP)

    virtual(scenario())


def test_it_is_said_once_an_outage_however_long_that_is() -> None:
    async def scenario() -> None:
        desk = Desk()
        await asyncio.sleep(0.1)
        desk.lose()
        await asyncio.sleep(9)
        assert len(desk.holds()) == 1
        desk.come_back()
        await asyncio.sleep(5)
        assert len(desk.models) == 2
        desk.lose()
        await asyncio.sleep(5)
        assert len(desk.holds()) == 2
        assert len(desk.voice.said) == 1, "the audio is kept"
        desk.call.hang_up(EndReason.API_HANGUP)

    virtual(scenario())


def test_a_short_outage_goes_without_it() -> None:
    async def scenario() -> None:
        desk = Desk()
        await asyncio.sleep(0.1)
        desk.lose()
        await asyncio.sleep(2.4)
        desk.come_back()
        await asyncio.sleep(5)
        assert desk.holds() == []
        desk.call.hang_up(EndReason.API_HANGUP)

    virtual(scenario())


def test_a_model_that_is_back_before_the_phrase_is_made_is_not_talked_over() -> None:
    async def scenario() -> None:
        desk = Desk(voice=Voice(takes_s=1.0))
        await asyncio.sleep(0.1)
        desk.lose()
        await asyncio.sleep(3)
        desk.come_back()
        await asyncio.sleep(5)
        assert desk.voice.said != []
        assert desk.holds() == []
        desk.call.hang_up(EndReason.API_HANGUP)

    virtual(scenario())


class Hearing(Caller):
    """Remembers whose audio each frame on the wire was."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def tick(self, frames: int = 1) -> None:
        for _ in range(frames):
            super().tick()
            if self.playout.audible is not None:
                self.heard.append(self.playout.audible)


def test_the_model_that_comes_back_waits_for_the_phrase_and_one_answer_for_the_other() -> None:
    async def scenario() -> None:
        caller = Hearing()
        desk = Desk([say("A long answer that is cut.", ms=2_000, pace=1.0)], caller=caller)
        desk.ask()
        await asyncio.sleep(1)
        desk.lose()
        await asyncio.sleep(2.7)
        (hold,) = desk.holds()
        desk.come_back()
        await asyncio.sleep(1)
        caller.tick(300)
        turns = [one for one, before in zip(caller.heard, [None, *caller.heard], strict=False) if one != before]
        assert len(turns) == len(set(turns)) == 3, "each is played in one piece"
        assert turns[1] == hold.response.id
        done = [e.response.status for e in caller.received if isinstance(e, ResponseDone)]
        assert done == ["failed", "completed", "completed"]
        desk.call.hang_up(EndReason.API_HANGUP)

    virtual(scenario())


def test_the_caller_can_silence_it() -> None:
    async def scenario() -> None:
        desk = Desk()
        await asyncio.sleep(0.1)
        desk.lose()
        await asyncio.sleep(2.7)
        desk.caller.tick(10)
        desk.call.on_caller_event(OutputAudioBufferClear())
        assert desk.caller.types()[-1] == "output_audio_buffer.cleared"
        frames = desk.caller.frames
        desk.caller.tick(50)
        assert desk.caller.frames == frames
        desk.call.hang_up(EndReason.API_HANGUP)

    virtual(scenario())


AGENT_WITHOUT = Agent(name="quiet", model="far", hold_phrase="")
AGENT_WITH = Agent(name="german", model="far", hold_phrase="Einen Moment, bitte.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"agent": AGENT_WITHOUT}, []),
        ({"agent": AGENT_WITH}, ["Einen Moment, bitte."]),
        ({"session": {"output_modalities": ["text"]}}, []),
        ({"session": {"type": "transcription"}}, []),
        ({"voice": Voice(error=BrainError("engine_unavailable", "gone"))}, []),
    ],
    ids=["an agent without", "an agent with its own", "text", "transcription", "no voice"],
)
def test_what_is_said_is_what_the_settings_say(options: dict[str, Any], said: list[str]) -> None:
    async def scenario() -> None:
        desk = Desk(**options)
        await asyncio.sleep(0.1)
        desk.lose()
        await asyncio.sleep(5)
        done = [e for e in desk.caller.received if isinstance(e, ResponseDone) and _is_hold(e)]
        texts = [
            item.content[0].transcript
            for e in done
            for item in e.response.output or ()
            if isinstance(item, MessageItem)
        ]
        assert texts == said
        assert desk.call.ended is None
        desk.call.hang_up(EndReason.API_HANGUP)

    virtual(scenario())


def test_nothing_is_said_to_nobody() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        desk = Desk(voice=Voice(takes_s=1.0))
        await asyncio.sleep(0.1)
        desk.lose()
        await asyncio.sleep(3)
        desk.call.hang_up(EndReason.API_HANGUP)
        await asyncio.sleep(5)
        assert desk.holds() == []
        assert len(asyncio.all_tasks(loop)) == 1

    virtual(scenario())


def test_a_hundred_calls_at_once_have_a_phrase_made_once_and_a_long_one_is_cut() -> None:
    async def scenario() -> None:
        voice = Voice(ms=60_000)
        announcer = Announcer(voice.speak, phrases=2, longest_s=2.0)
        made = await asyncio.gather(*(announcer.audio(PHRASE, "marin") for _ in range(100)))
        assert {len(pcm) for pcm in made} == {2_000 * BYTES_PER_MS}
        assert voice.said == [(PHRASE, "marin")]
        for other in ("a", "b"):
            await announcer.audio(other, "marin")
        await announcer.audio(PHRASE, "marin")
        assert len(voice.said) == 4, "only so many are kept"
        await announcer.close()

    virtual(scenario())


def test_a_phrase_that_takes_too_long_is_not_waited_for_and_tried_again_next_time() -> None:
    async def scenario() -> None:
        voice = Voice(takes_s=60)
        announcer = Announcer(voice.speak, timeout_s=5)
        began = asyncio.get_running_loop().time()
        assert await announcer.audio(PHRASE, "marin") == b""
        assert asyncio.get_running_loop().time() - began == pytest.approx(5)
        assert await announcer.audio(PHRASE, "marin") == b""
        assert len(voice.said) == 2
        await announcer.close()

    virtual(scenario())
