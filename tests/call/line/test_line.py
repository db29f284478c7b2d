"""Failures that end a session for good, models that step in, and what callers are shown of it: nothing."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from typing import Any

from tests.call.helpers import Caller, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelSink
from perhop.call.line import LinePolicy
from perhop.call.manager import CallManager
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import close, in_turn, say
from perhop.realtime.events import (
    ConversationItemCreate,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ResponseCreate,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.items import ContentPart, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolRunner


class Refusing:
    """A model that cannot be had."""

    def __init__(self, *, fatal: bool, retry_after_s: float | None = None) -> None:
        self._fatal = fatal
        self._retry_after_s = retry_after_s

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        asyncio.get_running_loop().call_soon(
            lambda: sink.on_model_closed(
                EndReason.MODEL_FAILED, "refused", fatal=self._fatal, retry_after_s=self._retry_after_s
            )
        )

    def send(self, event: object) -> None: ...

    def append(self, pcm: bytes) -> None: ...

    def close(self) -> None: ...


class Desk:
    """A call with models a and b."""

    def __init__(self, first: Callable[[], Any], second: Callable[[], Any] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.opened: list[str] = []

        def opener(name: str, make: Callable[[], Any]) -> Callable[[], Any]:
            def open_model() -> Any:
                self.opened.append(name)
                return make()

            return open_model

        kinds = {"a": ModelKind(opener("a", first), name="a", remote=True)}
        if second is not None:
            kinds["b"] = ModelKind(opener("b", second), name="b", remote=True)
        manager = CallManager(
            kinds,
            ToolRunner(),
            policy=LinePolicy(rng=random.Random(1)),
            clock=loop.time,
            wall=loop.time,
            new_id=counting_ids(),
        )
        self.caller = Caller()
        agent = Agent(name="x", model="a", fallback_models=tuple(kinds)[1:])
        self.call: Call = manager.start(self.caller, agent=agent, session={}, tenant="t")
        self.call.on_caller_ready()

    def ask(self, text: str) -> None:
        part = ContentPart(type="input_text", text=text)
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())


def scripted(*responses: list[Any], made: list[ScriptedModel] | None = None) -> Callable[[], ScriptedModel]:
    script = in_turn(*responses, then=[say("Yes.", ms=100)])

    def make() -> ScriptedModel:
        loop = asyncio.get_running_loop()
        model = ScriptedModel(script, clock=loop.time, wall=loop.time)
        if made is not None:
            made.append(model)
        return model

    return make


def virtual(test: Coroutine[Any, Any, None]) -> None:
    run_virtual(test)


def test_a_refusal_for_good_is_tried_exactly_once_and_ends_the_call() -> None:
    async def scenario() -> None:
        desk = Desk(lambda: Refusing(fatal=True))
        await asyncio.sleep(60)
        assert desk.opened == ["a"]
        assert desk.call.ended is EndReason.MODEL_FAILED

    virtual(scenario())


def test_what_may_pass_is_tried_for_half_a_minute() -> None:
    async def scenario() -> None:
        desk = Desk(lambda: Refusing(fatal=False))
        await asyncio.sleep(25)
        assert desk.call.ended is None
        await asyncio.sleep(15)
        assert 8 <= len(desk.opened) <= 20
        assert desk.call.ended is EndReason.MODEL_FAILED

    virtual(scenario())


def test_the_next_model_steps_in_and_hears_what_was_said_meanwhile() -> None:
    async def scenario() -> None:
        made: list[ScriptedModel] = []
        desk = Desk(lambda: Refusing(fatal=False), scripted([say("Here.", ms=100)], made=made))
        desk.ask("anybody there")
        await asyncio.sleep(10)
        assert desk.opened == ["a"] * LinePolicy().tries + ["b"]
        assert [item.text() for item in made[0].server.items] == ["anybody there", "Here."]
        assert desk.call.model == "b"
        assert desk.caller.types().count("session.created") == 1

    virtual(scenario())


def test_a_model_is_left_alone_for_as_long_as_it_asks() -> None:
    async def scenario() -> None:
        tries: list[float] = []

        def refuse() -> Refusing:
            tries.append(asyncio.get_running_loop().time())
            return Refusing(fatal=False, retry_after_s=3.0)

        desk = Desk(refuse)
        await asyncio.sleep(25)
        assert desk.call.ended is None
        pauses = [after - before for before, after in itertools.pairwise(tries)]
        assert len(pauses) >= 5
        assert all(3.0 <= pause <= 3.76 for pause in pauses[:3]), "and not all at the same moment"
        assert len({round(pause, 3) for pause in pauses}) > 1
        assert all(3.0 <= pause <= 5.0 for pause in pauses), "longer only by the usual backoff"

    virtual(scenario())


def test_a_model_that_asks_for_an_hour_is_tried_while_there_is_patience() -> None:
    async def scenario() -> None:
        desk = Desk(lambda: Refusing(fatal=False, retry_after_s=3_600.0))
        await asyncio.sleep(29)
        assert len(desk.opened) == 1
        assert desk.call.ended is None
        await asyncio.sleep(5)
        assert len(desk.opened) == 2
        assert desk.call.ended is EndReason.MODEL_FAILED

    virtual(scenario())


def test_nobody_waits_for_a_model_that_asks_for_long_while_there_is_another() -> None:
    async def scenario() -> None:
        desk = Desk(lambda: Refusing(fatal=False, retry_after_s=20.0), scripted([say("Here.", ms=100)]))
        await asyncio.sleep(1)
        assert desk.opened == ["a", "b"]
        assert desk.call.model == "b"

    virtual(scenario())


def test_a_session_that_breaks_in_a_response_gives_the_answer_in_the_next() -> None:
    async def scenario() -> None:
        made: list[ScriptedModel] = []
        desk = Desk(scripted([say("Half an ans", ms=300), close(1011)], [say("The whole answer.", ms=300)], made=made))
        desk.ask("well")
        await asyncio.sleep(5)
        assert [item.text() for item in made[1].server.items][-1] == "The whole answer."
        assert desk.caller.types().count("response.created") == 2
        assert desk.caller.types().count("response.done") == 2
        assert "error" not in desk.caller.types()

    virtual(scenario())


def test_a_further_session_has_the_configuration_the_clients_made() -> None:
    async def scenario() -> None:
        made: list[ScriptedModel] = []
        desk = Desk(scripted([say("Hm.", ms=100), close(1006)], made=made))
        desk.call.on_caller_event(SessionUpdate(session={"type": "realtime", "instructions": "Be brief."}))
        desk.ask("well")
        await asyncio.sleep(5)
        assert made[1].server.config.instructions == "Be brief."
        created = next(event for event in desk.caller.received if isinstance(event, SessionCreated))
        desk.call.on_caller_event(SessionUpdate(session={"type": "realtime", "instructions": "Be long."}))
        await asyncio.sleep(0.1)
        updated = [event for event in desk.caller.received if isinstance(event, SessionUpdated)][-1]
        assert updated.session["id"] == created.session["id"], "to clients it is one session"
        assert updated.session["instructions"] == "Be long."

    virtual(scenario())


def test_items_of_an_earlier_session_can_be_cut_and_looked_at() -> None:
    async def scenario() -> None:
        made: list[ScriptedModel] = []
        words = "one two three four five six seven eight nine ten"
        desk = Desk(scripted([say(words, ms=2_450)], [close(1006)], [say("Yes.", ms=100)], made=made))
        desk.ask("count")
        await asyncio.sleep(0.5)
        spoken = next(item for item in desk.call.history.items if item.text() == words)
        desk.ask("and again")
        await asyncio.sleep(5)
        assert len(made) == 2
        cut = ConversationItemTruncate(item_id=spoken.id or "", content_index=0, audio_end_ms=1_000)
        desk.call.on_caller_event(cut)
        desk.call.on_caller_event(ConversationItemRetrieve(item_id=spoken.id or ""))
        await asyncio.sleep(0.1)
        assert any(isinstance(event, ConversationItemTruncated) for event in desk.caller.received)
        assert any(isinstance(event, ConversationItemRetrieved) for event in desk.caller.received)
        there = {item.id: item.text() for item in made[1].server.items}
        assert there[spoken.id] == "one two three four"
        order = [item.id for item in made[1].server.items]
        assert order == [item.id for item in desk.call.history.items], "in its old place"
        assert "error" not in desk.caller.types()

    virtual(scenario())


def test_transcription_that_nobody_asked_for_is_not_seen() -> None:
    async def scenario() -> None:
        made: list[ScriptedModel] = []
        desk = Desk(scripted(made=made))
        await asyncio.sleep(0.1)
        assert made[0].server.config.audio.input.transcription is not None
        loud = (8_000).to_bytes(2, "little") * 480
        for frame in [loud] * 50 + [bytes(960)] * 60:
            desk.call.on_caller_audio(frame)
        await asyncio.sleep(1)
        turn = next(item for item in desk.call.history.items if isinstance(item, MessageItem))
        assert "milliseconds" in turn.text(), "the call knows what was said"
        assert not any("transcription" in name for name in desk.caller.types())

    agentless = scenario()
    virtual(agentless)
