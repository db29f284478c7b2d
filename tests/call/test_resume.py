"""A caller who was lost comes back to the same conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.call.helpers import Caller, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.absence import CallEndedError
from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, Position, Transport
from perhop.call.manager import CallManager
from perhop.edges.handed_over import HandedOver
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Step, call, in_turn, say, wait
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ConversationItemCreate,
    ConversationItemTruncate,
    InputAudioBufferSpeechStarted,
    ResponseCreate,
    ServerEvent,
    SessionCreated,
)
from perhop.realtime.items import ContentPart, FunctionCallOutputItem, Item, MessageItem
from perhop.tools.runner import ToolRunner
from perhop.tools.tool import tool

WINDOW_S = 60.0


class Line:
    """A call whose caller may be lost, and every model session it has."""

    def __init__(self, *responses: list[Step], remote: bool = True, agent: Agent | None = None) -> None:
        loop = asyncio.get_running_loop()
        script = in_turn(*responses, then=[say("Yes?", ms=200)])
        self.models: list[ScriptedModel] = []

        def open_model() -> ScriptedModel:
            self.models.append(ScriptedModel(script, clock=loop.time, wall=loop.time))
            return self.models[-1]

        manager = CallManager(
            {"local": ModelKind(open_model, remote=remote)},
            ToolRunner(),
            resume_window_s=WINDOW_S,
            clock=loop.time,
            wall=loop.time,
            new_id=counting_ids(),
        )
        self.caller = Caller()
        self.call: Call = manager.start(self.caller, agent=agent, session={}, tenant="t")
        self.call.on_caller_ready()

    async def say(self, text: str) -> None:
        """The caller types something and gets an answer."""
        part = ContentPart(type="input_text", text=text)
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())
        await asyncio.sleep(0.5)

    def known(self) -> list[str]:
        """What the newest model session knows was said."""
        return [item.text() or type(item).__name__ for item in self.models[-1].server.items]


class OwnPlayer(Caller):
    """A caller over WebSocket, whose client plays by itself."""

    transport: Transport = "websocket"
    clocked = False

    def __init__(self) -> None:
        super().__init__()
        self.given = HandedOver()
        self.time = asyncio.get_running_loop().time

    def play(self, chunk: AudioChunk) -> None:
        self.given.add(chunk, self.time())

    def end_audio(self, response_id: str) -> None: ...

    def clear(self) -> str | None:
        return None

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None:
        self.given.stopped(self.time(), item_id, played_ms)

    def position(self, item_id: str) -> Position:
        return self.given.position(item_id, self.time())


def virtual(test: Coroutine[Any, Any, None]) -> None:
    run_virtual(test)


@pytest.mark.parametrize("remote", [True, False], ids=["remote", "built in"])
def test_the_conversation_goes_on_where_it_was(remote: bool) -> None:
    async def scenario() -> None:
        line = Line([say("Hello.", ms=200)], remote=remote)
        await line.say("my name is Ada")
        line.caller.tick(20)
        line.call.on_caller_closed(EndReason.CALLER_LOST)
        assert line.models[0].record.ended == "closed", "nobody pays for a session without a caller"
        assert line.call.waiting
        assert line.call.ended is None

        await asyncio.sleep(WINDOW_S - 1)
        back = Caller()
        line.call.resume(back)
        await line.say("are you there")
        assert line.known() == ["my name is Ada", "Hello.", "are you there", "Yes?"]
        assert [type(event) for event in back.received[:1]] == [SessionCreated]
        assert "response.done" in back.types()
        assert not line.call.waiting
        await asyncio.sleep(2 * WINDOW_S)
        assert line.call.ended is None, "the timer of the absence is off"

    virtual(scenario())


def test_who_does_not_come_back_was_lost() -> None:
    async def scenario() -> None:
        line = Line()
        line.call.on_caller_closed(EndReason.CALLER_LOST)
        await asyncio.sleep(WINDOW_S + 1)
        assert line.call.ended is EndReason.CALLER_LOST
        with pytest.raises(CallEndedError):
            line.call.resume(Caller())

    virtual(scenario())


def test_who_hangs_up_does_not_come_back() -> None:
    async def scenario() -> None:
        line = Line()
        line.call.on_caller_closed(EndReason.CALLER_HANGUP)
        assert line.call.ended is EndReason.CALLER_HANGUP

    virtual(scenario())


def test_what_was_not_heard_before_the_loss_is_not_remembered_as_said() -> None:
    async def scenario() -> None:
        line = Line([say("One two three four five six seven eight nine ten.", ms=2_450)])
        await line.say("count")
        line.caller.tick(50)  # of 122 frames
        line.call.on_caller_closed(EndReason.CALLER_LOST)
        line.call.resume(Caller())
        await asyncio.sleep(0.1)
        heard = line.known()[1]
        assert heard.startswith("One two")
        assert "ten" not in heard

    virtual(scenario())


@pytest.mark.parametrize("says_where", [True, False], ids=["truncates", "only stops"])
def test_what_a_client_interrupted_long_before_the_loss_is_remembered_as_it_was_heard(says_where: bool) -> None:
    async def scenario() -> None:
        story = "A very long story that goes on and on for one whole minute until the end."
        line = Line([say(story, ms=60_000)], [say("Sure, the answer is forty two.", ms=2_000)])
        line.call.resume(OwnPlayer())
        await line.say("tell me a story")
        await asyncio.sleep(2.5)
        told = line.call.history.items[1].id or ""
        if says_where:
            line.call.on_caller_event(ConversationItemTruncate(item_id=told, content_index=0, audio_end_ms=2_900))
        else:
            line.call.on_model_event(InputAudioBufferSpeechStarted(event_id="e", audio_start_ms=0, item_id="u"))
        await line.say("stop, what is the answer")
        await asyncio.sleep(20)  # it was heard long ago
        line.call.on_caller_closed(EndReason.CALLER_LOST)
        heard = [line.call.history.heard_ms(item.id or "") for item in line.call.history.items]
        assert heard == [None, 2_900 if says_where else 3_000, None, None]
        line.call.resume(OwnPlayer())
        await asyncio.sleep(1)
        assert line.known()[1] == "A", "of a story that was told for three seconds"
        assert line.known()[3] == "Sure, the answer is forty two."

    virtual(scenario())


def test_a_tool_that_ends_meanwhile_is_answered_to_who_comes_back() -> None:
    async def scenario() -> None:
        @tool(effect="none")
        async def look_up() -> str:
            """Looks something up."""
            await asyncio.sleep(5)
            return "found"

        agent = Agent(name="a", tools={"look_up": look_up})
        line = Line([call("look_up")], [wait(0.1), say("It is there.", ms=300)], agent=agent)
        await line.say("where is it")
        line.call.on_caller_closed(EndReason.CALLER_LOST)
        await asyncio.sleep(10)
        back = Caller()
        line.call.resume(back)
        await asyncio.sleep(1)
        outputs: list[Item] = [i for i in line.models[-1].server.items if isinstance(i, FunctionCallOutputItem)]
        assert len(outputs) == 1
        assert line.known()[-1] == "It is there."

    virtual(scenario())


def test_a_caller_may_change_over_without_having_been_missed() -> None:
    async def scenario() -> None:
        line = Line([say("Hello.", ms=200)])
        await line.say("hi")
        line.caller.tick(20)
        other = Caller()
        line.call.resume(other)
        await line.say("still me")
        assert line.caller.closed is EndReason.CALLER_LOST
        assert len(line.models) == 1, "the model never noticed"
        done: list[ServerEvent] = [event for event in other.received if event.type == "response.done"]
        assert len(done) == 1

    virtual(scenario())


def test_what_is_being_said_at_a_change_over_is_said_again_to_the_new_leg() -> None:
    async def scenario() -> None:
        long = say("One two three four five six seven eight nine ten.", ms=2_450, pace=1.0)
        line = Line([long], [say("Again: one two three.", ms=300)])
        await line.say("count")
        line.caller.tick(20)
        other = Caller()
        line.call.resume(other)
        await asyncio.sleep(1)
        assert line.caller.closed is EndReason.CALLER_LOST
        begun = [event.type for event in other.received if event.type.startswith("response.")]
        assert begun[0] == "response.created", "nothing of a response whose beginning this leg never saw"
        assert other.received[0].type == "session.created"
        assert line.known()[-1] == "Again: one two three."
        assert "ten" not in line.known()[1]

    virtual(scenario())


def test_who_takes_back_a_call_and_never_comes_may_try_again() -> None:
    async def scenario() -> None:
        line = Line()
        line.call.on_caller_closed(EndReason.CALLER_LOST)
        line.call.resume(Caller())
        line.call.on_caller_closed(EndReason.CALLER_NEVER_CONNECTED)
        assert line.call.waiting
        assert line.models[-1].record.ended == "closed"
        line.call.resume(Caller())
        assert not line.call.waiting

    virtual(scenario())
