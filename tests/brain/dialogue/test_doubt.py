"""An effect that may have been had is not offered again: another function call would be another effect."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.brain.dialogue.agents import function
from tests.brain.dialogue.talk import Talk

from perhop.tools.base import ToolContext
from perhop.tools.effects.ledger import EffectState
from perhop.tools.errors import ToolUnavailableError
from perhop.tools.result import ErrorCode, ToolResult
from perhop.tools.runs import CANCELLED, Run, earlier, timed_out, unavailable
from perhop.tools.tool import tool

DEPOSIT = function(
    "pay_deposit",
    {"amount": {"type": "integer"}},
    effect="once",
    title="pay the deposit",
    samples=["pay the deposit", "pay the deposit of {amount}"],
)
BALANCE = function("balance", {}, effect="none", title="look up the balance", samples=["what is my balance"])


@tool(effect="once")
async def pay_deposit(amount: int) -> str:
    """Pays.

    Args:
        amount: in dollars.
    """
    return str(amount)


def run(*, sent: bool = True) -> Run:
    """A call as the tool runner has it."""
    context = ToolContext(call_id="rtc_1", agent="desk", tenant="acme", function_call_id="call_1")
    outcome: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
    return Run(tool=pay_deposit, arguments={}, values={}, context=context, outcome=outcome, sent=sent)


def in_doubt() -> list[str]:
    """What the runner answers when nobody knows."""
    broke = ToolResult.failure(ErrorCode.TOOL_FAILED, "The tool failed. Do not try again.", reference="ab12")
    results = [unavailable(run(), ToolUnavailableError("It failed (HTTP 500).")), timed_out(run())]
    return [result.output for result in (*results, earlier(EffectState.UNKNOWN), CANCELLED, broke)]


def failing(output: str) -> Talk:
    """A caller whose deposit gets this answer."""
    return Talk([DEPOSIT, BALANCE], lambda name, _: output if name == "pay_deposit" else json.dumps({"balance": 5}))


@pytest.mark.parametrize("again", ["yes", "okay", "yes please", "try again", "again", "i want to pay the deposit"])
async def test_what_may_have_been_done_is_not_begun_again(again: str) -> None:
    for output in in_doubt():
        talk = failing(output)
        await talk.say("pay the deposit of 100")
        heard = await talk.say("yes")
        assert "can't tell whether it went through" in heard, output
        assert "somebody has to check" in heard
        assert "try again" not in heard
        await talk.say(again)
        assert len(talk.calls) == 1, "a second function call has a second id, so nothing behind it can tell"


async def test_the_same_request_made_anew_is_read_back_with_a_warning() -> None:
    talk = failing(in_doubt()[0])
    await talk.say("pay the deposit of 100")
    await talk.say("yes")
    await talk.say("start over")
    heard = await talk.say("pay the deposit of 100")
    assert "may be done twice" in heard
    assert heard.endswith("Is that right?")
    assert "twice" not in await talk.say("no make it 90")
    assert len(talk.calls) == 1


async def test_what_was_never_begun_can_be_tried_again() -> None:
    results = [timed_out(run(sent=False)), unavailable(run(), ToolUnavailableError("It is away.", sent=False))]
    for result in results:
        talk = failing(result.output)
        await talk.say("pay the deposit of 100")
        assert "try again" in await talk.say("yes")
        await talk.say("try again")
        assert len(talk.calls) == 2


async def test_do_not_try_again_does_not_try_again() -> None:
    talk = failing(ToolResult.failure(ErrorCode.BUSY, "Too many.").output)
    await talk.say("pay the deposit of 100")
    await talk.say("yes")
    await talk.say("please don't try that again")
    assert len(talk.calls) == 1


async def test_an_effect_whose_answer_is_too_long_was_had() -> None:
    talk = failing(ToolResult.of("x" * 100, max_bytes=10).output)
    await talk.say("pay the deposit of 100")
    assert "That was done" in await talk.say("yes")
    await talk.say("yes")
    assert len(talk.calls) == 1


async def test_what_was_set_aside_goes_on_after_an_effect_in_doubt() -> None:
    message: dict[str, Any] = {
        "day": {"type": "string", "format": "date"},
        "time": {"type": "string", "format": "time"},
    }
    viewing = function("book_viewing", message, effect="once", title="book a viewing", samples=["book a viewing"])
    talk = Talk([DEPOSIT, viewing], lambda *_: in_doubt()[0])
    await talk.say("book a viewing on friday")
    await talk.say("pay the deposit of 100")
    assert (await talk.say("yes")).endswith("At what time?")
    assert [name for name, _ in talk.calls] == ["pay_deposit"]
