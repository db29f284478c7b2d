"""Another model takes over, whatever the session was for: clients are told, and what it uses has its own price."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from tests.call.helpers import Caller, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.call import Call
from perhop.call.kinds import ModelKind
from perhop.call.legs import EndReason, ModelSink
from perhop.call.manager import CallManager
from perhop.call.observer import CallObserver, Usage
from perhop.call.prices import PriceTable
from perhop.config.budget import PriceSettings
from perhop.models.scripted import ScriptedModel
from perhop.models.steps import in_turn, say
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ConversationItemCreate,
    ResponseCreate,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from perhop.realtime.items import ContentPart, MessageItem
from perhop.realtime.session import SessionConfig
from perhop.tools.runner import ToolRunner


class Named(ScriptedModel):
    """A session that shows a name of its own, whatever it was asked for."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(in_turn(then=[say("Yes?", ms=200)]), **options)
        self.name = name
        self.refused = False

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        self._of_test = sink
        if self.refused:
            asyncio.get_running_loop().call_soon(self._refuse)
        else:
            super().start(_Renaming(sink, self.name), session)

    def lose(self) -> None:
        self.close()
        self._of_test.on_model_closed(EndReason.MODEL_FAILED, "socket lost", fatal=False)

    def _refuse(self) -> None:
        self._of_test.on_model_closed(EndReason.MODEL_FAILED, "http 401", fatal=True)


class _Renaming:
    def __init__(self, sink: ModelSink, name: str) -> None:
        self._sink = sink
        self._name = name

    def on_model_event(self, event: ServerEvent) -> None:
        if isinstance(event, SessionCreated | SessionUpdated):
            event = event.model_copy(update={"session": {**event.session, "model": self._name}})
        self._sink.on_model_event(event)

    def on_model_audio(self, chunk: AudioChunk) -> None:
        self._sink.on_model_audio(chunk)

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None:
        self._sink.on_model_closed(reason, detail, fatal=fatal)


class Notes(CallObserver):
    def __init__(self) -> None:
        self.happened: list[tuple[str, str]] = []
        self.open: dict[str, int] = {}
        self.costs: list[float | None] = []

    def session_opened(self, call: Call, model: str) -> None:
        self.open[model] = self.open.get(model, 0) + 1

    def session_closed(self, call: Call, model: str) -> None:
        self.open[model] -= 1

    def failed_over(self, call: Call, model: str) -> None:
        self.happened.append(("failed over", model))

    def resumed(self, call: Call, *, seconds: float) -> None:
        self.happened.append(("resumed", call.model))

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:
        self.happened.append(("renewed", call.model))

    def used(self, call: Call, usage: Usage) -> None:
        self.costs.append(usage.cost)


class Desk:
    """A call at model ``a``, with ``b`` to fall back on."""

    def __init__(self, *, cap_s: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.notes = Notes()
        self.models: list[Named] = []
        self.cheap_is_gone = False

        def open_model(name: str) -> Named:
            model = Named(name, clock=loop.time, wall=loop.time)
            model.refused = name == "cheap" and self.cheap_is_gone
            self.models.append(model)
            return model

        per_million = {"cheap": 1, "dear": 1000}
        self._manager = CallManager(
            {
                "a": ModelKind(lambda: open_model("cheap"), name="a", remote=True, session_cap_s=cap_s),
                "b": ModelKind(lambda: open_model("dear"), name="b", remote=True),
            },
            ToolRunner(),
            observer=self.notes,
            resume_window_s=60,
            prices=PriceTable(
                {
                    name: PriceSettings.model_validate(
                        dict.fromkeys(("text_in", "text_out", "audio_in", "audio_out"), price)
                    )
                    for name, price in per_million.items()
                }
            ),
            clock=loop.time,
            wall=loop.time,
            new_id=counting_ids(),
        )
        self.caller = Caller()
        agent = Agent(name="x", model="a", fallback_models=("b",))
        self.call = self._manager.start(self.caller, agent=agent, session={}, tenant="t")
        self.call.on_caller_ready()

    async def ask(self) -> None:
        part = ContentPart(type="input_text", text="hello")
        self.call.on_caller_event(ConversationItemCreate(item=MessageItem(role="user", content=[part])))
        self.call.on_caller_event(ResponseCreate())
        await asyncio.sleep(1)
        self.caller.tick(20)


@pytest.mark.parametrize("why", ["resumed", "renewed", "reconnected"])
def test_its_use_has_its_own_price_and_clients_see_it(why: Literal["resumed", "renewed", "reconnected"]) -> None:
    async def scenario() -> None:
        desk = Desk(cap_s=100 if why == "renewed" else None)
        await asyncio.sleep(1)
        await desk.ask()
        desk.cheap_is_gone = True
        match why:
            case "resumed":
                desk.call.on_caller_closed(EndReason.CALLER_LOST)
                desk.caller = Caller()
                desk.call.resume(desk.caller)
            case "reconnected":
                desk.models[0].lose()
            case "renewed":
                await asyncio.sleep(100)
        await asyncio.sleep(5)
        await desk.ask()
        assert desk.call.model == "b"
        before, after = desk.notes.costs
        assert before is not None
        assert after is not None
        assert after > 100 * before
        shown = [event for event in desk.caller.received if isinstance(event, SessionCreated | SessionUpdated)]
        assert shown[-1].session["model"] == "dear"
        assert ("failed over", "b") in desk.notes.happened
        assert why == "reconnected" or (why, "b") in desk.notes.happened
        desk.call.hang_up(EndReason.API_HANGUP)
        assert desk.notes.open == {"a": 0, "b": 0}, "who left was the one that had come"

    run_virtual(scenario())


def test_a_call_keeps_the_number_and_the_model_of_its_last_session() -> None:
    async def scenario() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        assert desk.call.snapshot().epoch == 0
        desk.models[0].lose()
        await asyncio.sleep(5)
        desk.call.hang_up(EndReason.API_HANGUP)
        over = desk.call.snapshot()
        assert (over.epoch, over.model) == (1, "a")

    run_virtual(scenario())
