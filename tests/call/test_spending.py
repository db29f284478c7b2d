"""A call is kept within its budget: warned in time, ended with a goodbye. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.call.helpers import Caller, PuppetModel, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.budget import BudgetExceededError, Budgets
from perhop.call.call import Call
from perhop.call.legs import EndReason
from perhop.call.manager import CallManager, ModelKind
from perhop.call.observer import CallObserver, Usage
from perhop.call.prices import PriceTable
from perhop.call.voice import PLAYER_LAG_S
from perhop.config.budget import BudgetSettings, PriceSettings, WarningSettings
from perhop.realtime.effects import StartResponse
from perhop.realtime.events import ErrorEvent, ResponseCreate
from perhop.tools.runner import ToolRunner

WARNING = WarningSettings(at=0.8, text='Nearly "over".', goodbye="Over.", grace_s=10)


class Till(CallObserver):
    """Remembers what was used."""

    def __init__(self) -> None:
        self.usages: list[Usage] = []

    def used(self, call: Call, usage: Usage) -> None:
        self.usages.append(usage)


class Counter:
    """A call across a counter: a caller, a model that speaks for a second, and a budget."""

    def __init__(
        self,
        answer: Callable[[PuppetModel, StartResponse], None] | None = None,
        *,
        warning: WarningSettings = WARNING,
        session: dict[str, Any] | None = None,
        clocked: bool = True,
        **limits: Any,
    ) -> None:
        self.clock = asyncio.get_running_loop().time
        self.caller = Caller()
        self.caller.clocked = clocked
        self.till = Till()
        self.said: list[str] = []
        self.model = PuppetModel(answer or self._answer, clock=self.clock, new_id=counting_ids())
        self.manager = CallManager(
            {"local": ModelKind(lambda: self.model, extensions=True)},
            ToolRunner(),
            observer=self.till,
            budgets=Budgets(BudgetSettings.model_validate(limits), warn_at=0.8, clock=self.clock, wall=self.clock),
            prices=PriceTable({"local": PriceSettings(text_in=10, text_out=10, audio_out=10)}),
            warning=warning,
            clock=self.clock,
        )
        self.call = self.manager.start(self.caller, agent=None, session=session or {}, tenant="t", key="k")
        self.call.on_caller_ready()

    def _answer(self, model: PuppetModel, asked: StartResponse) -> None:
        self.said.append(asked.instructions)
        model.say(asked.response_id, 1000)

    def errors(self) -> list[str | None]:
        return [event.error.code for event in self.caller.received if isinstance(event, ErrorEvent)]

    async def play(self, seconds: float) -> None:
        """So much time passes, in which the caller hears what is there."""
        for _ in range(round(seconds * 50)):
            await asyncio.sleep(0.02)
            if self.call.ended is None:
                self.caller.tick()


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


@virtual
async def test_time_that_is_nearly_up_is_said_once_and_then_a_goodbye_is_heard_to_its_end() -> None:
    at = Counter(call_s=60)
    await at.play(47.9)
    assert at.said == []
    await at.play(0.2)
    assert [text for text in at.said if "Nearly 'over'." in text] == at.said
    await at.play(11.8)
    assert len(at.said) == 1
    await at.play(0.2)
    assert at.said[1].endswith('"Over."')
    assert at.call.ended is None
    await at.play(0.8)
    assert at.call.ended is None
    await at.play(0.3)
    assert at.call.ended is EndReason.LIMIT_REACHED
    assert at.errors() == ["limit_reached"]
    assert at.caller.frames == 100


@virtual
async def test_a_goodbye_waits_for_what_is_being_said() -> None:
    at = Counter(call_s=60)
    await at.play(59.5)
    at.caller.frames = 0
    at.call.on_caller_event(ResponseCreate())
    await at.play(2.0)
    assert at.call.ended is None
    await at.play(0.2)
    assert at.call.ended is EndReason.LIMIT_REACHED
    assert at.caller.frames == 100


@virtual
async def test_tokens_run_out() -> None:
    at = Counter(call_tokens=60)
    at.call.on_caller_event(ResponseCreate())
    await at.play(3)
    assert at.call.spending.used.tokens >= 20
    while at.call.ended is None:
        at.call.on_caller_event(ResponseCreate())
        await at.play(5)
    assert at.call.ended is EndReason.LIMIT_REACHED
    assert any('Over."' in text for text in at.said)
    assert "budget.call_tokens" in next(e.error.message for e in at.caller.received if isinstance(e, ErrorEvent))


@virtual
async def test_money_runs_out() -> None:
    at = Counter(call_cost="0.0003")
    for _ in range(5):
        if at.call.ended is None:
            at.call.on_caller_event(ResponseCreate())
            await at.play(5)
    assert at.call.ended is EndReason.LIMIT_REACHED
    assert at.call.spending.used.cost >= BudgetSettings(call_cost="0.0003").call_cost  # type: ignore[arg-type,operator]


@virtual
async def test_a_model_that_never_says_goodbye_is_not_waited_for() -> None:
    at = Counter(lambda *_: None, call_s=60)
    await at.play(69.9)
    assert at.call.ended is None
    await at.play(0.2)
    assert at.call.ended is EndReason.LIMIT_REACHED


@virtual
async def test_a_caller_who_talks_over_the_goodbye_is_let_go() -> None:
    at = Counter(call_s=60)
    await at.play(60.2)
    for _ in range(12):
        at.model.voice(0.95)
    await at.play(10)
    assert at.call.ended is EndReason.LIMIT_REACHED


@virtual
async def test_nobody_who_hears_nothing_is_told_anything() -> None:
    at = Counter(warning=WarningSettings(text="", goodbye=""), call_s=60)
    await at.play(59.9)
    assert at.call.ended is None
    await at.play(0.2)
    assert at.call.ended is EndReason.LIMIT_REACHED
    assert at.said == []


@virtual
async def test_a_session_that_only_transcribes_just_ends() -> None:
    at = Counter(session={"type": "transcription"}, call_s=60)
    await at.play(60.1)
    assert at.call.ended is EndReason.LIMIT_REACHED
    assert at.errors() == ["limit_reached"]


@virtual
async def test_a_caller_who_plays_by_himself_is_given_the_time_to() -> None:
    at = Counter(clocked=False, call_s=60)
    await at.play(60.9 + PLAYER_LAG_S)
    assert at.call.ended is None
    await at.play(0.3)
    assert at.call.ended is EndReason.LIMIT_REACHED


@virtual
async def test_a_call_that_ends_before_leaves_nothing_behind() -> None:
    at = Counter(call_s=60, calls=1)
    with pytest.raises(BudgetExceededError, match=r"budget.calls is 1"):
        at.manager.start(Caller(), agent=None, session={}, tenant="t")
    at.call.hang_up(EndReason.CALLER_HANGUP)
    await asyncio.sleep(100)
    assert at.call.ended is EndReason.CALLER_HANGUP
    assert at.errors() == []
    at.manager.start(Caller(), agent=None, session={}, tenant="t")


@virtual
async def test_an_agent_has_limits_of_its_own() -> None:
    at = Counter()
    agent = Agent("busy", budget=BudgetSettings(calls=0))
    with pytest.raises(BudgetExceededError, match=r"agents.busy.budget.calls is 0"):
        at.manager.start(Caller(), agent=agent, session={}, tenant="t")
    assert len(at.manager.live()) == 1


@virtual
async def test_what_is_used_is_told_as_it_is_used() -> None:
    at = Counter()
    at.call.on_caller_event(ResponseCreate())
    await at.play(2)
    [usage] = at.till.usages
    assert usage.model == "local"
    assert usage.tokens["output_audio"] == 20
    assert usage.cost == pytest.approx(sum(usage.tokens.values()) * 10 / 1e6)
