"""What tools mean for a call: silence that is filled, a goodbye that is heard, another agent that takes over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.call.helpers import Caller, PuppetModel, counting_ids
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent, UnknownAgentError
from perhop.call.call import Call
from perhop.call.legs import EndReason
from perhop.call.manager import CallManager, ModelKind
from perhop.call.voice import PLAYER_LAG_S
from perhop.config.budget import BudgetSettings
from perhop.errors import PerhopError
from perhop.realtime.effects import StartResponse
from perhop.realtime.events import ConversationItemAdded, ResponseCreate, ResponseDone, SessionUpdated
from perhop.realtime.items import FunctionCallOutputItem
from perhop.tools.base import Tool
from perhop.tools.kinds.builtin import builtin
from perhop.tools.runner import ToolRunner
from perhop.tools.tool import tool

FRAME_S = 0.02


def slow(seconds: float, **options: Any) -> Tool:
    @tool(effect="none", timeout_s=60, **options)
    async def look_up() -> str:
        """Takes its time."""
        await asyncio.sleep(seconds)
        return "found"

    return look_up


class Scene:
    """A call on virtual time whose caller hears in real time, and a model that follows a script.

    Args:
        script: what the model does, response by response: a function's name to call, or ms to speak.
    """

    def __init__(
        self, *script: str | int, agent: Agent, others: tuple[Agent, ...] = (), caller: Caller | None = None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.script = list(script)
        self.fillers: list[float] = []
        self.answers: list[StartResponse] = []
        self.models: list[PuppetModel] = []
        self.caller = caller or Caller()
        self.ids = counting_ids()
        known = {one.name: one for one in (agent, *others)}

        def find(tenant: str, name: str) -> Agent:
            if name not in known:
                raise UnknownAgentError(name)
            return known[name]

        manager = CallManager(
            {"local": ModelKind(self._open, extensions=True)},
            ToolRunner(),
            find_agent=find,
            clock=self.loop.time,
            new_id=self.ids,
        )
        self.call: Call = manager.start(self.caller, agent=agent, session={}, tenant="t")
        self.call.on_caller_ready()
        self.began = self.loop.time()
        self._hearing = self.loop.create_task(self._hear())

    def ask(self) -> None:
        """The caller wants something."""
        self.call.on_caller_event(ResponseCreate())

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def outputs(self) -> list[Any]:
        """What tools answered."""
        added = [event.item for event in self.caller.received if isinstance(event, ConversationItemAdded)]
        return [json.loads(item.output) for item in added if isinstance(item, FunctionCallOutputItem)]

    def close(self) -> None:
        self._hearing.cancel()
        self.call.hang_up(EndReason.CALLER_HANGUP)

    def _open(self) -> PuppetModel:
        model = PuppetModel(self._answer, clock=self.loop.time, new_id=self.ids)
        self.models.append(model)
        return model

    async def _hear(self) -> None:
        while True:
            await asyncio.sleep(FRAME_S)
            self.caller.tick()

    def _answer(self, model: PuppetModel, request: StartResponse) -> None:
        if request.instructions.startswith("Say this"):
            self.fillers.append(self.loop.time() - self.began)
            model.say(request.response_id, 400)
            return
        self.answers.append(request)
        act = self.script.pop(0) if self.script else 0
        if isinstance(act, int):
            model.say(request.response_id, act)
        else:
            name, _, arguments = act.partition(" ")
            model.call_function(request.response_id, name, arguments or "{}")


def desk(*tools: Tool, **fields: Any) -> Agent:
    fields = {"filler_after_s": 2.0, "fillers": ("One moment.",), **fields}
    return Agent("desk", tools={one.name: one for one in tools}, **fields)


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    run_virtual(main())


def test_a_silence_is_filled_once_and_then_the_answer_comes() -> None:
    async def scenario() -> None:
        scene = Scene("look_up", 500, agent=desk(slow(10)))
        scene.ask()
        await scene.wait(9)
        assert scene.fillers == [pytest.approx(2.0, abs=0.05)], "and never a second one in a row"
        await scene.wait(3)
        assert len(scene.answers) == 2
        assert scene.outputs() == ["found"]
        scene.close()

    play(scenario)


def test_a_quick_tool_needs_no_filler() -> None:
    async def scenario() -> None:
        scene = Scene("look_up", 500, agent=desk(slow(1.9)))
        scene.ask()
        await scene.wait(6)
        assert scene.fillers == []
        assert len(scene.answers) == 2
        scene.close()

    play(scenario)


def test_a_result_that_comes_during_the_filler_is_answered_after_it() -> None:
    async def scenario() -> None:
        scene = Scene("look_up", 500, agent=desk(slow(2.05)))
        scene.ask()
        await scene.wait(4)
        assert len(scene.fillers) == 1
        assert len(scene.answers) == 2, "the filler does not count as the answer"
        scene.close()

    play(scenario)


def test_tools_one_after_the_other_are_not_each_filled() -> None:
    async def scenario() -> None:
        scene = Scene("look_up", "look_up", 500, "look_up", 500, agent=desk(slow(3)))
        scene.ask()
        await scene.wait(8)
        assert len(scene.fillers) == 1, "nobody spoke in between"
        scene.ask()
        await scene.wait(5)
        assert len(scene.fillers) == 2, "after an answer there may be another"
        scene.close()

    play(scenario)


def test_while_the_agent_still_speaks_there_is_no_silence() -> None:
    async def scenario() -> None:
        scene = Scene(4_000, "look_up", 500, agent=desk(slow(10)))
        scene.ask()
        await scene.wait(0.1)
        scene.ask()
        await scene.wait(9)
        assert scene.fillers == [pytest.approx(4.2, abs=0.3)], "it is heard when the agent has finished"
        scene.close()

    play(scenario)


def test_a_tool_may_have_words_and_patience_of_its_own() -> None:
    async def scenario() -> None:
        own = slow(10, filler_after_s=0.5, fillers=["Let me see."])
        scene = Scene("look_up", 500, agent=desk(own, filler_after_s=None))
        scene.ask()
        await scene.wait(3)
        assert scene.fillers == [pytest.approx(0.5, abs=0.05)]
        scene.close()

    play(scenario)


def test_who_fills_nothing_is_silent() -> None:
    async def scenario() -> None:
        scene = Scene("look_up", 500, agent=desk(slow(10), filler_after_s=None))
        scene.ask()
        await scene.wait(9)
        assert scene.fillers == []
        scene.close()

    play(scenario)


def test_the_call_ends_when_the_goodbye_was_played() -> None:
    async def scenario() -> None:
        scene = Scene("hang_up", 1_000, agent=desk(builtin("hang_up")))
        scene.ask()
        await scene.wait(0.9)
        assert scene.call.ended is None, "the goodbye is being heard"
        await scene.wait(0.3)
        assert scene.call.ended is EndReason.TOOL_HANGUP
        assert scene.caller.frames == 50
        scene.close()

    play(scenario)


def test_a_caller_who_plays_by_himself_gets_the_time_the_goodbye_takes() -> None:
    async def scenario() -> None:
        caller = Caller()
        caller.clocked = False
        scene = Scene("hang_up", 1_000, agent=desk(builtin("hang_up")), caller=caller)
        scene.ask()
        await scene.wait(0.9 + PLAYER_LAG_S)
        assert scene.call.ended is None
        await scene.wait(0.3)
        assert scene.call.ended is EndReason.TOOL_HANGUP
        scene.close()

    play(scenario)


def test_a_caller_who_talks_over_the_goodbye_is_heard() -> None:
    async def scenario() -> None:
        scene = Scene("hang_up", agent=desk(builtin("hang_up")))
        talking: list[str] = []

        def goodbye(model: PuppetModel, request: StartResponse) -> None:
            talking.append(request.response_id)
            model.say(request.response_id, 2_000, done=False)

        scene.ask()
        scene.models[0]._answer = goodbye
        await scene.wait(0.5)
        assert talking
        for _ in range(12):
            scene.models[0].voice(0.95)
        await scene.wait(30)
        assert any(isinstance(e, ResponseDone) and e.response.status == "cancelled" for e in scene.caller.received)
        assert scene.call.ended is None
        scene.close()

    play(scenario)


def test_a_model_that_says_nothing_more_is_not_waited_for() -> None:
    async def scenario() -> None:
        scene = Scene("hang_up", 0, agent=desk(builtin("hang_up")))
        scene.ask()
        await scene.wait(1)
        assert scene.call.ended is EndReason.TOOL_HANGUP
        scene.close()

    play(scenario)


def test_what_the_agent_still_does_before_its_goodbye_is_waited_for() -> None:
    async def scenario() -> None:
        scene = Scene("hang_up", "look_up", 1_000, agent=desk(builtin("hang_up"), slow(1)))
        scene.ask()
        await scene.wait(1.5)
        assert scene.call.ended is None
        await scene.wait(1)
        assert scene.call.ended is EndReason.TOOL_HANGUP
        assert "found" in scene.outputs()
        scene.close()

    play(scenario)


BILLING = Agent("billing", fixed={"instructions": "You are billing."}, tools={"look_up": slow(0.1)})
TO_BILLING = 'hand_off {"to":"billing"}'


def test_another_agent_takes_over_with_its_instructions_and_tools() -> None:
    async def scenario() -> None:
        scene = Scene(
            TO_BILLING,
            "look_up",
            500,
            agent=desk(builtin("hand_off", agents=["billing"]), fixed={"instructions": "You are the desk."}),
            others=(BILLING,),
        )
        scene.ask()
        await scene.wait(2)
        assert scene.call.agent is BILLING
        assert scene.answers[0].instructions == "You are the desk."
        assert [request.instructions for request in scene.answers[1:]] == ["You are billing."] * 2
        assert [one["name"] for one in scene.answers[1].tools] == ["look_up"]
        assert scene.outputs()[1] == "found", "its tools are run"
        assert len(scene.models) == 1, "with the same voice the session goes on"
        shown = [event.session for event in scene.caller.received if isinstance(event, SessionUpdated)][-1]
        assert shown["instructions"] == "You are billing."
        assert len(scene.answers[1].context) == 2, "the call of the tool and its output are not forgotten"
        scene.close()

    play(scenario)


def test_an_agent_that_takes_over_fills_silences_in_its_own_way() -> None:
    async def scenario() -> None:
        quiet = Agent("billing", tools={"look_up": slow(10)})
        scene = Scene(TO_BILLING, "look_up", 500, agent=desk(builtin("hand_off", agents=["billing"])), others=(quiet,))
        scene.ask()
        await scene.wait(15)
        assert "found" in scene.outputs()
        assert scene.fillers == [], "the phrases of the one before it are gone with it"
        scene.close()

    play(scenario)


def test_an_agent_that_takes_over_says_its_greeting() -> None:
    async def scenario() -> None:
        other = Agent("billing", fixed={"instructions": "You are billing."}, greeting="Billing, good morning.")
        scene = Scene(TO_BILLING, 500, agent=desk(builtin("hand_off", agents=["billing"])), others=(other,))
        scene.ask()
        await scene.wait(2)
        assert [request.instructions for request in scene.answers[1:]] == [
            'Greet the caller with: "Billing, good morning."'
        ]
        scene.close()

    play(scenario)


def test_an_agent_with_another_voice_goes_on_in_a_session_of_its_own_with_the_history() -> None:
    async def scenario() -> None:
        other = Agent("billing", fixed={"instructions": "You are billing.", "audio": {"output": {"voice": "en-us+f3"}}})
        scene = Scene(300, TO_BILLING, 500, agent=desk(builtin("hand_off", agents=["billing"])), others=(other,))
        scene.ask()
        await scene.wait(1)
        scene.ask()
        await scene.wait(2)
        assert len(scene.models) == 2
        assert scene.call.ended is None
        assert scene.answers[-1].instructions == "You are billing."
        kinds = [item.type for item in scene.answers[-1].context]
        assert kinds == ["message", "function_call", "function_call_output"]
        scene.close()

    play(scenario)


def test_the_limits_of_the_agent_that_takes_over_end_the_call() -> None:
    async def scenario() -> None:
        brief = Agent("billing", budget=BudgetSettings(call_s=20))
        scene = Scene(TO_BILLING, 500, agent=desk(builtin("hand_off", agents=["billing"])), others=(brief,))
        await scene.wait(60)
        scene.ask()
        await scene.wait(15)
        assert scene.call.ended is None
        await scene.wait(15)
        assert scene.call.ended is EndReason.LIMIT_REACHED
        scene.close()

    play(scenario)


def test_an_agent_with_no_room_takes_no_call_over_and_the_model_is_told() -> None:
    async def scenario() -> None:
        full = Agent("billing", budget=BudgetSettings(calls=0))
        scene = Scene(TO_BILLING, 500, agent=desk(builtin("hand_off", agents=["billing"])), others=(full,))
        scene.ask()
        await scene.wait(1)
        assert scene.outputs()[0]["error"]["message"] == "There is no agent billing here at the moment."
        scene.close()

    play(scenario)


def test_an_agent_that_is_not_there_takes_nothing_over() -> None:
    async def scenario() -> None:
        scene = Scene('hand_off {"to":"ghost"}', 500, agent=desk(builtin("hand_off", agents=["ghost"])))
        scene.ask()
        await scene.wait(1)
        assert scene.outputs()[0]["error"]["message"] == "There is no agent ghost here at the moment."
        assert scene.call.agent is not None
        assert scene.call.agent.name == "desk"
        scene.close()

    play(scenario)


class Phone(Caller):
    """A caller on a telephone line."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.refuses = refuses
        self.did: list[str] = []

    async def transfer(self, target: str) -> None:
        if self.refuses:
            raise PerhopError("the other side is busy")
        self.did.append(target)

    async def send_dtmf(self, digits: str) -> None:
        self.did.append(digits)


TELEPHONE = (builtin("transfer", targets={"sales": "tel:+14155550100"}), builtin("send_dtmf"))


@pytest.mark.parametrize("asked", ['transfer {"to":"sales"}', 'send_dtmf {"digits":"1#"}'])
def test_an_edge_that_cannot_says_so(asked: str) -> None:
    async def scenario() -> None:
        scene = Scene(asked, 500, agent=desk(*TELEPHONE))
        scene.ask()
        await scene.wait(1)
        assert "telephone line" in scene.outputs()[0]["error"]["message"]
        scene.close()

    play(scenario)


def test_an_edge_that_can_does() -> None:
    async def scenario() -> None:
        phone = Phone()
        scene = Scene('send_dtmf {"digits":"1#"}', 'transfer {"to":"sales"}', 500, agent=desk(*TELEPHONE), caller=phone)
        scene.ask()
        await scene.wait(1)
        assert phone.did == ["1#", "tel:+14155550100"]
        scene.close()

    play(scenario)


def test_a_transfer_that_fails_leaves_the_caller_with_the_agent() -> None:
    async def scenario() -> None:
        scene = Scene('transfer {"to":"sales"}', 500, agent=desk(*TELEPHONE), caller=Phone(refuses=True))
        scene.ask()
        await scene.wait(1)
        assert "the other side is busy" in scene.outputs()[0]["error"]["message"]
        assert scene.call.ended is None
        scene.close()

    play(scenario)
