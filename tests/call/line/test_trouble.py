"""Troubles that meet: sessions that break while the caller is away or speaks, and ones that break ever again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs
from tests.call.helpers import Caller, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, HopStats, ModelSink
from perhop.call.line import LinePolicy
from perhop.call.manager import CallManager
from perhop.call.observer import CallObserver
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import Script, Step, call, close, emit, error, in_turn, say, wait
from perhop.realtime.effects import BrainInput, StartResponse
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ResponseCreate,
    ResponseDone,
    ServerEvent,
    SessionUpdate,
)
from perhop.realtime.items import ContentPart, FunctionCallOutputItem, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolRunner
from perhop.tools.tool import Tool, tool

LOUD = (8_000).to_bytes(2, "little") * 480


class Fragile(ScriptedModel):
    """A session that may be refused, or break."""

    broken = False
    lasts_s: float | None = None
    deaf = False
    hearing = True

    def heard(self, pcm: bytes) -> Sequence[BrainInput]:
        return super().heard(pcm) if self.hearing else ()

    def send(self, event: ClientEvent) -> None:
        if not self.deaf:
            super().send(event)

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        self._of_test = sink
        if self.broken:
            asyncio.get_running_loop().call_soon(self.kill)
            return
        super().start(sink, session)
        if self.lasts_s is not None:
            asyncio.get_running_loop().call_later(self.lasts_s, self.kill)

    def kill(self) -> None:
        if self.record.ended is None:
            self.close()
            self._of_test.on_model_closed(EndReason.MODEL_FAILED, "socket lost", fatal=False)


class Desk:
    """A call, and every model session it has."""

    def __init__(
        self,
        *responses: list[Step],
        remote: bool = True,
        tools: dict[str, Tool] | None = None,
        caller: Caller | None = None,
        cap_s: float | None = None,
        gap_audio_s: float = 60.0,
        observer: CallObserver | None = None,
        ahead_s: float = 0.0,
        script: Script | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        script = script or in_turn(*responses, then=[say("Yes?", ms=200)])
        self.models: list[Fragile] = []
        self.broken = False
        self.hearing = True
        self.lasts_s: float | None = None

        def open_model() -> Fragile:
            model = Fragile(script, clock=loop.time, wall=loop.time, session_cap_s=cap_s)
            model.broken, model.lasts_s, model.hearing = self.broken, self.lasts_s, self.hearing
            self.models.append(model)
            assert len(self.models) < 1000
            return model

        manager = CallManager(
            {"a": ModelKind(open_model, name="a", remote=remote)},
            ToolRunner(),
            resume_window_s=60.0,
            policy=LinePolicy(rng=random.Random(1), gap_audio_s=gap_audio_s),
            observer=observer,
            clock=loop.time,
            wall=lambda: loop.time() + ahead_s,
            new_id=counting_ids(),
        )
        self.caller = caller or Caller()
        agent = Agent(name="x", model="a", tools=tools or {})
        self.call: Call = manager.start(self.caller, agent=agent, session={}, tenant="t")
        self.call.on_caller_ready()

    def ask(self, text: str) -> None:
        part = ContentPart(type="input_text", text=text)
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())

    @property
    def open(self) -> int:
        return sum(model.record.ended is None for model in self.models)


def test_a_lost_session_is_not_opened_again_while_nobody_is_there() -> None:
    async def scenario() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.broken = True
        desk.models[0].kill()
        await asyncio.sleep(0.01)
        assert len(desk.models) > 1, "it was tried, and is to be tried again"
        desk.call.on_caller_closed(EndReason.CALLER_LOST)
        desk.broken = False
        await asyncio.sleep(20)
        assert desk.open == 0
        desk.call.resume(Caller())
        await asyncio.sleep(20)
        assert desk.open == 1
        assert desk.call.model_sessions == 1

    run_virtual(scenario())


def test_sessions_that_begin_and_break_at_once_are_not_tried_for_ever() -> None:
    async def scenario() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.lasts_s = 0.01
        desk.models[0].kill()
        await asyncio.sleep(60)
        assert desk.call.ended is EndReason.MODEL_FAILED
        assert len(desk.models) <= 30, "ever more patiently"

    run_virtual(scenario())


@pytest.mark.parametrize("remote", [True, False], ids=["remote", "built in"])
def test_who_comes_back_finds_the_session_as_it_was_left(remote: bool) -> None:
    async def scenario() -> None:
        desk = Desk(remote=remote)
        desk.call.on_caller_event(SessionUpdate(session={"type": "realtime", "instructions": "Be brief."}))
        desk.ask("hello")
        await asyncio.sleep(1)
        desk.caller.tick(20)
        desk.call.on_caller_closed(EndReason.CALLER_LOST)
        back = Caller()
        desk.call.resume(back)
        await asyncio.sleep(1)
        assert desk.models[-1].server.config.instructions == "Be brief."
        told = [event for event in desk.models[-1].record.events if isinstance(event, ConversationItemCreate)]
        assert len(told) == 2, "what was said and answered, once"
        assert "error" not in back.types()

    run_virtual(scenario())


@pytest.mark.parametrize("remote", [True, False], ids=["remote", "built in"])
def test_who_was_lost_while_speaking_is_not_waited_for_to_fall_silent(remote: bool) -> None:
    async def scenario() -> None:
        @tool(effect="none")
        async def look_up() -> str:
            """Looks something up."""
            await asyncio.sleep(5)
            return "found"

        desk = Desk([call("look_up")], [say("It is there.", ms=300)], remote=remote, tools={"look_up": look_up})
        desk.ask("where is it")
        await asyncio.sleep(1)
        for _ in range(50):
            desk.call.on_caller_audio(LOUD)
        assert "input_audio_buffer.speech_started" in desk.caller.types()
        desk.call.on_caller_closed(EndReason.CALLER_LOST)
        await asyncio.sleep(10)
        desk.call.resume(Caller())
        await asyncio.sleep(5)
        last = desk.call.history.items[-2:]
        assert isinstance(last[0], FunctionCallOutputItem)
        assert isinstance(last[1], MessageItem)
        assert last[1].text() == "It is there."

    run_virtual(scenario())


def statuses(desk: Desk) -> list[str | None]:
    return [event.response.status for event in desk.caller.received if isinstance(event, ResponseDone)]


def test_a_takeover_whose_time_has_come_waits_until_the_response_is_given_and_not_until_it_is_played() -> None:
    async def scenario() -> None:
        desk = Desk([say("A story.", ms=18_000, pace=4.0)], cap_s=10.0)
        await asyncio.sleep(4.0)
        desk.ask("tell me")
        await asyncio.sleep(4.0)
        assert (desk.open, desk.call.snapshot().epoch) == (2, 0), "its time came half a second ago"
        await asyncio.sleep(0.6)
        assert statuses(desk) == ["completed"]
        assert desk.call.snapshot().epoch == 1
        assert desk.caller.playout.queued_ms == 18_000, "nothing of it was played yet, and nothing is dropped"

    run_virtual(scenario())


def test_a_response_that_is_given_until_the_end_of_its_session_is_cut_off_and_asked_for_again() -> None:
    async def scenario() -> None:
        desk = Desk([say("A long story.", ms=60_000, pace=4.0)], cap_s=10.0)
        await asyncio.sleep(4.0)
        desk.ask("tell me")
        await asyncio.sleep(5.4)
        assert desk.call.snapshot().epoch == 0
        await asyncio.sleep(0.6)
        assert desk.call.snapshot().epoch == 1
        assert statuses(desk) == ["failed", "completed"], "it was answered again"
        assert desk.models[0].record.ended == "closed", "by the call, and not by its cap"
        assert desk.caller.playout.queued_ms > 10_000, "what was received plays on meanwhile"

    run_virtual(scenario())


@pytest.mark.parametrize("ready", [True, False], ids=["in the takeover", "in the gap"])
def test_a_call_that_ends_in_the_middle_of_a_takeover_leaves_no_session(ready: bool) -> None:
    class Impatient(Caller):
        """Hangs up as soon as an answer is cut off."""

        def send(self, event: ServerEvent) -> None:
            super().send(event)
            if isinstance(event, ResponseDone) and event.response.status == "failed":
                assert isinstance(self.sink, Call)
                self.sink.hang_up(EndReason.CALLER_HANGUP)

    async def scenario() -> None:
        desk = Desk([say("A very long story.", ms=30_000, pace=1.0)], caller=Impatient(), cap_s=10.0)
        desk.ask("tell me")
        if ready:
            await asyncio.sleep(20)
            assert len(desk.models) == 2, "it was prepared, and the takeover was forced"
        else:
            await asyncio.sleep(1)
            desk.models[0].kill()
            await asyncio.sleep(20)
        assert desk.call.ended is EndReason.CALLER_HANGUP
        assert desk.open == 0
        assert desk.call.model_sessions == 0

    run_virtual(scenario())


def test_audio_beyond_the_limit_is_not_lost_in_silence() -> None:
    class Told(CallObserver):
        """Remembers what was lost."""

        def __init__(self) -> None:
            self.lost: list[float] = []

        def audio_lost(self, call: Call, *, seconds: float) -> None:
            self.lost.append(seconds)

    async def scenario() -> None:
        told = Told()
        desk = Desk(gap_audio_s=2.0, observer=told)
        await asyncio.sleep(1)
        desk.broken = True
        desk.models[0].kill()
        with capture_logs() as logs:
            for _ in range(250):
                desk.call.on_caller_audio(LOUD)
                await asyncio.sleep(0.02)
            assert told.lost == []
            desk.broken = False
            await asyncio.sleep(5)
        [lost] = told.lost
        assert 2.9 <= lost <= 3.1, "five seconds were said, two are kept"
        assert sum(len(audio) for audio in desk.models[-1].record.committed.values()) == 0
        assert desk.models[-1].record.appended == 2 * 48_000
        assert [line["ms"] for line in logs if "audio lost" in line["event"]] == [round(lost * 1000)]
        assert desk.call.ended is None

    run_virtual(scenario())


def test_twenty_errors_in_a_row_and_the_conversation_goes_on() -> None:
    async def scenario() -> None:
        desk = Desk([*[error("server_error")] * 20, say("Where were we?", ms=200)])
        desk.ask("hello")
        await asyncio.sleep(1)
        assert desk.caller.types().count("error") == 20, "they are passed on"
        desk.ask("still there")
        await asyncio.sleep(1)
        assert [item.text() for item in desk.call.history.items][1::2] == ["Where were we?", "Yes?"]
        assert len(desk.models) == 1
        assert desk.call.ended is None

    run_virtual(scenario())


@pytest.mark.parametrize("why", ["lost", "renewed", "mute"])
def test_what_a_cut_off_answer_used_is_counted(why: str) -> None:
    """Its model charges for it; who breaks the connection in mid-answer must not talk for nothing."""

    async def scenario() -> None:
        desk = Desk([wait(5), say("long", ms=200)], cap_s=60.0 if why == "renewed" else None)
        await asyncio.sleep(1 if why != "renewed" else 56)
        desk.ask("a question of some length")
        await asyncio.sleep(1)
        assert desk.call.spending.used.tokens == 0
        if why == "mute":
            desk.models[0].deaf = True
        if why == "renewed":
            await asyncio.sleep(3)
        else:
            desk.call.on_caller_closed(EndReason.CALLER_LOST)
        await asyncio.sleep(1.5)
        assert (desk.call.spending.used.tokens > 0) == (why != "mute")
        assert desk.models[0].record.ended is not None, "and the session is closed, answered or not"
        assert desk.call.ended is None

    run_virtual(scenario())


def test_hops_are_counted_on_from_leg_to_leg() -> None:
    """A counter that goes back looks like a restart, after which all of it is new."""

    class Counted(Caller):
        def __init__(self, packets: int) -> None:
            super().__init__()
            self.packets = packets

        def stats(self) -> HopStats:
            return HopStats(packets_received=self.packets, gaps=1, rtt_ms=20.0)

    async def scenario() -> None:
        desk = Desk(caller=Counted(1000))
        await asyncio.sleep(1)
        assert desk.call.snapshot().hop.packets_received == 1000
        desk.call.on_caller_closed(EndReason.CALLER_LOST)
        away = desk.call.snapshot().hop
        assert (away.packets_received, away.gaps, away.rtt_ms) == (1000, 1, 20.0)
        desk.call.resume(Counted(3))
        desk.call.resume(Counted(5))
        desk.call.hang_up(EndReason.API_HANGUP)
        hop = desk.call.snapshot().hop
        assert (hop.packets_received, hop.gaps, hop.remote_packets_lost) == (1008, 3, None)

    run_virtual(scenario())


@pytest.mark.parametrize(("ahead_s", "most"), [(4_000.0, 1), (59.9, 40)], ids=["expired", "about to"])
def test_clocks_that_differ_do_not_make_sessions_follow_one_another_without_a_pause(ahead_s: float, most: int) -> None:
    async def scenario() -> None:
        desk = Desk(cap_s=60.0, ahead_s=ahead_s)
        await asyncio.sleep(10)
        assert len(desk.models) <= most
        desk.ask("still there?")
        await asyncio.sleep(5)
        assert desk.caller.types().count("response.done") == 1

    run_virtual(scenario())


def test_speech_that_is_not_found_again_is_not_waited_for() -> None:
    async def scenario() -> None:
        desk = Desk(cap_s=60.0)
        await asyncio.sleep(1)
        for _ in range(30):
            desk.call.on_caller_audio(LOUD)
            await asyncio.sleep(0.02)
        assert desk.caller.types()[-1] == "input_audio_buffer.speech_started"
        desk.hearing = False
        desk.models[0].kill()
        for _ in range(1_500):
            desk.call.on_caller_audio(bytes(960))
            await asyncio.sleep(0.02)
        assert desk.caller.types()[-1] == "input_audio_buffer.cleared"
        await asyncio.sleep(10)
        assert desk.call.snapshot().epoch == 2, "it was renewed at a quiet moment"

    run_virtual(scenario())


def test_a_call_of_a_function_is_known_once_the_response_has_it() -> None:
    """Some servers say ``response.output_item.done`` first, upon which the tool runs."""
    ran: list[str] = []

    @tool(effect="none")
    async def look_up() -> str:
        """Looks."""
        ran.append("once")
        await asyncio.sleep(1)
        return "found"

    async def scenario() -> None:
        made: dict[str, object] = {"id": "item_F", "type": "function_call", "call_id": "call_F", "name": "look_up"}
        begun, done = ({**made, "status": status, "arguments": "{}"} for status in ("in_progress", "completed"))

        def script(request: StartResponse) -> list[Step]:
            if ran:
                return [say("There.", ms=100)]
            at: dict[str, object] = {"response_id": request.response_id, "output_index": 0}
            return [
                emit("response.output_item.added", **at, item=begun),
                emit("conversation.item.added", item=begun),
                emit("response.output_item.done", **at, item=done),
                close(1006),
            ]

        desk = Desk(script=script, tools={"look_up": look_up})
        await asyncio.sleep(1)
        desk.ask("where?")
        await asyncio.sleep(10)
        assert ran == ["once"]
        kinds = [item.type for item in desk.models[-1].server.items]
        assert kinds == ["message", "function_call", "function_call_output", "message"]

    run_virtual(scenario())
