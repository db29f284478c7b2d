"""Direct calls against a scripted model: what is supervised, what happens while nobody listens, and how they end."""

from __future__ import annotations

import asyncio
import random

import pytest
from structlog.testing import capture_logs
from tests.call.direct.far import DirectCall
from tests.call.helpers import Follower
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.direct.guard import MAX_RESTORES
from perhop.call.legs import EndReason
from perhop.call.line import LinePolicy
from perhop.errors import PerhopError
from perhop.models.steps import call, in_turn, say, wait
from perhop.realtime.events import InputAudioBufferAppend, ResponseCreate, ResponseCreated, SessionUpdate
from perhop.realtime.items import FunctionCallOutputItem
from perhop.tools.tool import tool

RAN: list[str] = []


@tool(effect="none")
async def look_up(name: str) -> str:
    """Looks somebody up, in two seconds.

    Args:
        name: whom.
    """
    RAN.append(name)
    await asyncio.sleep(2)
    return f"{name} is in."


DESK = Agent(
    name="desk",
    model="far",
    route="direct",
    fixed={"instructions": "Be brief."},
    tools={"look_up": look_up},
    filler_after_s=None,
)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


def outputs(desk: DirectCall) -> list[str]:
    return [item.output for item in desk.far.model.server.items if isinstance(item, FunctionCallOutputItem)]


def test_the_caller_is_answered_once_the_call_can_be_heard() -> None:
    async def scenario() -> None:
        desk = DirectCall(in_turn([say("Hello.")]))
        desk.far.refusals = [True, False]
        await desk.answered()
        assert desk.far.attached == 1
        assert desk.far.model.record.session is not None
        assert desk.far.model.record.session.instructions == "Be brief."

    run_virtual(scenario())


def test_a_call_that_cannot_be_heard_is_none() -> None:
    async def scenario() -> None:
        desk = DirectCall(in_turn([say("Hello.")]))
        desk.far.refuses = True
        with pytest.raises(PerhopError):
            await desk.line.answer()
        assert desk.call.ended is EndReason.MODEL_FAILED
        assert desk.far.hung_up == ["rtc_far"]

    run_virtual(scenario())


@pytest.mark.parametrize("refusals", [[], [False, True]], ids=["the first attempt", "a further one"])
def test_a_sideband_that_hangs_is_waited_for_no_longer_than_one_that_is_refused(refusals: list[bool]) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        desk = DirectCall(in_turn([say("Hello.")]))
        desk.far.refusals, desk.far.hangs = refusals, not refusals
        loop.call_later(0.1, setattr, desk.far, "hangs", True)
        began = loop.time()
        with pytest.raises(PerhopError):
            await desk.line.answer()
        assert loop.time() - began == pytest.approx(8.05)  # the answer to the offer took 0.05
        assert desk.call.ended is EndReason.MODEL_FAILED
        assert desk.far.hung_up == ["rtc_far"]

    run_virtual(scenario())


def test_the_time_to_be_heard_does_not_count_once_it_was() -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([say("Hello.")])).answered()
        desk.far.hangs = True
        desk.far.cut()
        await asyncio.sleep(10)
        assert desk.call.ended is None
        desk.call.hang_up(EndReason.API_HANGUP)

    run_virtual(scenario())


def test_a_refused_offer_is_told_and_ends_the_call() -> None:
    async def scenario() -> None:
        desk = DirectCall(in_turn([say("Hello.")]))
        desk.far.refuses_offers = PerhopError("no")
        with pytest.raises(PerhopError, match="no"):
            await desk.line.answer()
        assert desk.call.ended is EndReason.MODEL_FAILED
        assert desk.far.hung_up == []

    run_virtual(scenario())


def test_a_fault_of_ours_leaves_nobody_waiting() -> None:
    async def scenario() -> None:
        desk = DirectCall(in_turn([say("Hello.")]))
        desk.far.refuses_offers = KeyError("a fault")
        with pytest.raises(PerhopError):
            await desk.line.answer()
        assert desk.call.ended is EndReason.MODEL_FAILED

    run_virtual(scenario())


def test_a_call_that_is_ended_before_the_model_has_answered_is_ended_at_the_model() -> None:
    async def scenario() -> None:
        desk = DirectCall(in_turn([say("Hello.")]))
        desk.call.hang_up(EndReason.API_HANGUP)
        with pytest.raises(PerhopError):
            await desk.line.answer()
        await asyncio.sleep(1)
        assert desk.far.hung_up == ["rtc_far"]

    run_virtual(scenario())


def test_tools_run_here_and_their_output_is_answered() -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([call("look_up", {"name": "Ada"})], [say("She is.")]), agent=DESK).answered()
        desk.far.ask("is Ada in")
        await asyncio.sleep(5)
        assert desk.far.said() == ["is Ada in", "function_call", "function_call_output", "She is."]
        assert desk.call.snapshot().tool_calls == 1
        assert desk.call.snapshot().responses == 2

    run_virtual(scenario())


def test_no_audio_goes_up_and_nothing_is_cut_from_here() -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([say("A long story.", ms=9_000)])).answered()
        desk.call.on_controller_audio(bytes(960))
        desk.call.on_controller_event(Follower(), InputAudioBufferAppend(audio="AAAA"))
        desk.far.ask("tell me")
        await asyncio.sleep(1)
        desk.call.on_controller_audio(bytes(960))
        assert desk.far.model.record.appended == 0
        assert desk.far.sent == []

    run_virtual(scenario())


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3, 1.0, 2.5, 4.0])
@pytest.mark.parametrize("away", [0.0, 0.5, 3.0, 10.0])
def test_a_tool_runs_once_and_is_answered_once_whenever_the_sideband_breaks(moment: float, away: float) -> None:
    async def scenario() -> None:
        script = in_turn([wait(0.2), call("look_up", {"name": "Ada"})], [say("She is.")], then=[say("Again.")])
        desk = await DirectCall(script, agent=DESK).answered()
        desk.far.ask("is Ada in")
        await asyncio.sleep(moment)
        desk.far.refuses = True
        desk.far.cut()
        await asyncio.sleep(away)
        desk.far.refuses = False
        await asyncio.sleep(20)
        assert RAN == ["Ada"]
        assert outputs(desk) == ['"Ada is in."']
        assert desk.far.said() == ["is Ada in", "function_call", "function_call_output", "She is."]
        assert desk.call.ended is None

    run_virtual(scenario())


def test_many_breaks_at_any_moment(count: int) -> None:
    async def scenario(seed: int) -> None:
        rng = random.Random(seed)
        RAN.clear()
        turns = [step for n in range(4) for step in ([call("look_up", {"name": f"n{n}"})], [say(f"Answer {n}.")])]
        desk = await DirectCall(in_turn(*turns, then=[say("Too much.")]), agent=DESK).answered()

        async def breaks() -> None:
            while True:
                await asyncio.sleep(rng.uniform(0.1, 3.0))
                desk.far.cut()

        breaking = asyncio.get_running_loop().create_task(breaks())
        for n in range(4):
            desk.far.ask(f"question {n}")
            await asyncio.sleep(12)
        breaking.cancel()
        assert [f"n{n}" for n in range(4)] == RAN
        assert [text for text in desk.far.said() if text.startswith("Answer")] == [f"Answer {n}." for n in range(4)]
        assert "Too much." not in desk.far.said()

    for seed in range(count):
        run_virtual(scenario(seed))


def test_what_the_caller_changed_while_nobody_listened_is_put_back() -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([say("Hello.")])).answered()
        desk.far.refuses = True
        desk.far.cut()
        desk.far.caller(SessionUpdate(session={"type": "realtime", "instructions": "Tell jokes."}))
        desk.far.refuses = False
        await asyncio.sleep(2)
        assert desk.far.session["instructions"] == "Be brief."

    run_virtual(scenario())


def test_a_caller_who_keeps_changing_what_is_fixed_is_hung_up_on() -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([say("Hello.")])).answered()
        for n in range(MAX_RESTORES + 1):
            desk.far.caller(SessionUpdate(session={"type": "realtime", "instructions": f"Joke {n}."}))
            await asyncio.sleep(0.1)
        assert desk.call.ended is EndReason.CALLER_ABUSE
        assert desk.far.hung_up == ["rtc_far"]

    run_virtual(scenario())


def test_a_call_nobody_can_hear_for_long_is_ended_at_the_model() -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([say("Hello.")])).answered()
        desk.far.refuses = True
        desk.far.cut()
        await asyncio.sleep(20)
        assert desk.call.ended is None
        await asyncio.sleep(20)
        assert desk.call.ended is EndReason.MODEL_FAILED
        assert desk.far.hung_up == ["rtc_far"]

    run_virtual(scenario())


def test_the_policy_says_how_long_a_sideband_is_tried() -> None:
    async def scenario() -> None:
        policy = LinePolicy(give_up_s=3.0, rng=random.Random(1))
        desk = await DirectCall(in_turn([say("Hello.")]), policy=policy).answered()
        desk.far.refuses = True
        desk.far.cut()
        await asyncio.sleep(4)
        assert desk.call.ended is EndReason.MODEL_FAILED

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ("close 1000 caller_hangup", EndReason.CALLER_HANGUP),
        ("close 1000 caller_lost", EndReason.CALLER_LOST),
        ("close 1000 session_expired", EndReason.MODEL_CLOSED),
        ("close 1000", EndReason.MODEL_CLOSED),
    ],
)
def test_the_end_at_the_model_ends_the_call(detail: str, reason: EndReason) -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([say("Hello.")])).answered()
        desk.far.refusals = [True]
        desk.far.sidebands[0].lose(EndReason.MODEL_CLOSED, detail, fatal=False)
        await asyncio.sleep(1)
        assert desk.call.ended is reason

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("detail", "warned"),
    [("close 1000 caller_hangup", False), ("close 1000", False), ("connection lost", True), ("close 1011", True)],
)
def test_only_a_sideband_that_should_not_have_gone_is_warned_of(detail: str, warned: bool) -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([say("Hello.")])).answered()
        desk.far.refusals = [True]
        with capture_logs() as logs:
            desk.far.sidebands[0].lose(EndReason.MODEL_CLOSED, detail, fatal=False)
        told = [entry for entry in logs if entry["event"] == "sideband lost" and entry["log_level"] == "warning"]
        assert bool(told) is warned

    run_virtual(scenario())


def test_followers_hear_how_a_response_ended_that_was_not_heard_to_its_end() -> None:
    async def scenario() -> None:
        desk = await DirectCall(in_turn([wait(1.0), say("A short story.")])).answered()
        follower = Follower()
        desk.call.attach(follower)
        desk.far.ask("tell me")
        await asyncio.sleep(0.5)
        desk.far.refuses = True
        desk.far.cut()
        await asyncio.sleep(3)
        desk.far.refuses = False
        await asyncio.sleep(3)
        types = [event.type for event in follower.received]
        assert types.count("response.created") == types.count("response.done") == 1
        assert [item.text() for item in desk.call.history.items] == ["tell me", "A short story."]

    run_virtual(scenario())


def test_a_greeting_is_for_callers_who_do_not_speak_first() -> None:
    async def scenario() -> None:
        agent = Agent(name="desk", model="far", route="direct", greeting="Welcome.")
        desk = await DirectCall(in_turn([say("Welcome.")]), agent=agent).answered()
        await asyncio.sleep(5)
        assert sum(isinstance(event, ResponseCreate) for event in desk.far.sent) == 1
        desk.leg.report(jitter_buffer_ms=None)
        desk.far.cut()
        await asyncio.sleep(5)
        assert sum(isinstance(event, ResponseCreated) for event in desk.far.heard) == 1

    run_virtual(scenario())
