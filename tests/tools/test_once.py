"""Every effect at most once: what is recorded when, who may try again, and what twins hear."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.virtual_time import run_virtual

from perhop.tools.base import Tool, ToolContext
from perhop.tools.effects.ledger import EffectRecord, EffectsDownError, EffectState, MemoryLedger
from perhop.tools.errors import ResultTooLargeError, ToolError, ToolUnavailableError
from perhop.tools.result import ToolResult
from perhop.tools.retry import Backoff
from perhop.tools.runner import RunnerLimits, ToolRunner
from perhop.tools.tool import tool

BACKOFF = Backoff(first_s=1.0, most_s=4.0, patience_s=5.0, chance=lambda: 1.0)


def context(number: int = 1, call: str = "rtc_1") -> ToolContext:
    return ToolContext(call_id=call, agent="desk", tenant="acme", function_call_id=f"call_{number}")


class Ledger(MemoryLedger):
    """Remembers in which order things happened."""

    def __init__(self, log: list[str], *, down: bool = False) -> None:
        super().__init__()
        self.log = log
        self.down = down
        self.records: list[EffectRecord] = []

    async def begin(self, record: EffectRecord) -> EffectState | None:
        await asyncio.sleep(0.001)
        if self.down:
            raise EffectsDownError("no database")
        self.records.append(record)
        self.log.append("recorded")
        return await super().begin(record)

    def end(self, key: str, state: EffectState, code: str | None = None) -> None:
        self.log.append(state)
        super().end(key, state, code)


class Desk:
    """A tool that does as the test says, and a runner for it."""

    def __init__(self, *acts: Callable[[], Awaitable[object]], down: bool = False, **options: Any) -> None:
        self.log: list[str] = []
        self.acts = list(acts)
        self.ledger = Ledger(self.log, down=down)
        self.unknown: list[str] = []
        self.runner = ToolRunner(
            effects=self.ledger, unknown=self.unknown.append, backoff=BACKOFF, wall=lambda: 1_000.0
        )

        async def book(day: int, who: ToolContext) -> object:
            self.log.append("sent")
            act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
            return await act()

        self.tool: Tool = tool(**options)(book)

    async def run(self, day: int = 1, *, number: int = 1, call: str = "rtc_1") -> ToolResult:
        result = await self.runner.run(self.tool, json.dumps({"day": day}), context(number, call))
        await asyncio.sleep(0)
        return result


def does(result: object, after_s: float = 0.0) -> Callable[[], Awaitable[object]]:
    async def act() -> object:
        await asyncio.sleep(after_s)
        if isinstance(result, Exception):
            raise result
        return result

    return act


def scenario(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(main())


LOST = ToolUnavailableError("No answer.")
UNSENT = ToolUnavailableError("Not reached.", sent=False)


def lost() -> Exception:
    return ToolUnavailableError("No answer.")


def unsent(**options: Any) -> Exception:
    return ToolUnavailableError("Not reached.", sent=False, **options)


@pytest.mark.parametrize(
    ("act", "state"),
    [
        (does({"ref": 1}), "done"),
        (does(ToolError("Taken.")), "refused"),
        (does(lost()), "unknown"),
        (does(unsent()), "refused"),
        (does(ZeroDivisionError()), "unknown"),
        (does(1, after_s=100), "unknown"),
    ],
)
def test_an_effect_is_recorded_before_it_is_sent_and_its_outcome_after(act: Any, state: str) -> None:
    async def main() -> None:
        desk = Desk(act)
        await desk.run()
        assert (desk.log[0], desk.log[1], desk.log[-1]) == ("recorded", "sent", state)
        assert desk.log.count("recorded") == 1
        assert desk.unknown == (["book"] if state == "unknown" else []), "is counted"
        [record] = desk.ledger.records
        assert record.key == context().idempotency_key
        assert record.deadline > 1_000.0 + desk.tool.timeout_s
        assert record.arguments is None, "it cannot be asked again, so nobody needs them"

    scenario(main)


def test_a_tool_without_effect_is_not_recorded() -> None:
    async def main() -> None:
        desk = Desk(does(1), effect="none")
        await desk.run()
        assert desk.log == ["sent"]

    scenario(main)


def test_what_cannot_be_recorded_is_not_done() -> None:
    async def main() -> None:
        desk = Desk(does(1), down=True)
        result = await desk.run()
        assert result.code == "unavailable"
        assert desk.log == []

    scenario(main)


def test_wrong_arguments_are_not_recorded() -> None:
    async def main() -> None:
        desk = Desk(does(1))
        assert (await desk.runner.run(desk.tool, '{"day":"x"}', context())).code == "invalid_arguments"
        assert desk.log == []

    scenario(main)


def test_the_same_function_call_again_gets_the_same_answer() -> None:
    async def main() -> None:
        desk = Desk(does({"ref": 1}), does({"ref": 2}))
        assert await desk.run() == await desk.run() == ToolResult('{"ref":1}')
        assert desk.log.count("sent") == 1

    scenario(main)


def test_the_same_function_call_while_it_runs_waits_for_it() -> None:
    async def main() -> None:
        desk = Desk(does({"ref": 1}, after_s=2))
        first, again = await asyncio.gather(desk.run(), desk.run())
        assert first == again == ToolResult('{"ref":1}')
        assert desk.log.count("sent") == 1

    scenario(main)


def test_a_call_that_means_the_same_gets_its_twins_result_while_that_is_pending() -> None:
    async def main() -> None:
        desk = Desk(does({"ref": 1}, after_s=2), does({"ref": 2}))
        results = await asyncio.gather(desk.run(number=1), desk.run(number=2))
        assert results == [ToolResult('{"ref":1}')] * 2
        assert await desk.run(number=2) == ToolResult('{"ref":1}'), "it is remembered under its own id too"
        assert desk.log.count("sent") == 1
        assert await desk.run(number=3) == ToolResult('{"ref":2}'), "later it is another wish"

    scenario(main)


def test_other_arguments_and_other_calls_are_no_twins() -> None:
    async def main() -> None:
        desk = Desk(does(1, after_s=2))
        await asyncio.gather(desk.run(1, number=1), desk.run(2, number=2), desk.run(1, number=3, call="rtc_2"))
        assert desk.log.count("sent") == 3

    scenario(main)


def test_one_id_for_two_different_calls_is_refused() -> None:
    async def main() -> None:
        desk = Desk(does(1))
        await desk.run(1)
        result = await desk.run(2)
        assert result.code == "duplicate_call"
        assert desk.log.count("sent") == 1

    scenario(main)


@pytest.mark.parametrize("function_call_id", ["", "x" * 201, "a\x00b", "a\nb", "\ud800"])
def test_an_effect_without_a_name_of_its_own_is_not_sent(function_call_id: str) -> None:
    async def main() -> None:
        desk = Desk(does(1))
        result = await desk.runner.run(desk.tool, '{"day":1}', replace(context(), function_call_id=function_call_id))
        assert result.code == "tool_failed"
        assert desk.log == []

    scenario(main)


def test_one_of_two_twins_that_hangs_up_takes_nothing_from_the_other() -> None:
    async def main() -> None:
        desk = Desk(does({"ref": 1}, after_s=2))
        first, second = asyncio.create_task(desk.run(number=1)), asyncio.create_task(desk.run(number=2))
        await asyncio.sleep(1)
        first.cancel()
        assert await second == ToolResult('{"ref":1}')

    scenario(main)


@pytest.mark.parametrize(
    ("options", "errors", "tries", "waited"),
    [
        ({"effect": "none"}, [lost(), lost(), None], 3, 3.0),
        ({"idempotent": True}, [lost(), lost(), None], 3, 3.0),
        ({"idempotent": True}, [lost()], 3, 3.0),
        ({}, [lost(), None], 1, 0.0),
        ({}, [unsent(), unsent(), None], 3, 3.0),
        ({}, [unsent(), lost(), None], 2, 1.0),
        ({"idempotent": True}, [unsent(retry_after_s=4.0), None], 2, 4.0),
        ({"idempotent": True}, [unsent(retry_after_s=60.0), None], 1, 0.0),
        ({"idempotent": True}, [ToolError("No."), None], 1, 0.0),
        ({"idempotent": True}, [ValueError("bug"), None], 1, 0.0),
    ],
)
def test_who_may_try_again_and_when(
    options: dict[str, Any], errors: list[Exception | None], tries: int, waited: float
) -> None:
    async def main() -> None:
        desk = Desk(*(does(error or "ok") for error in errors), **options)
        began = asyncio.get_running_loop().time()
        result = await desk.run()
        assert desk.log.count("sent") == tries
        assert asyncio.get_running_loop().time() - began == pytest.approx(waited, abs=0.05)
        assert result.ok == (tries == len(errors) and errors[-1] is None)
        assert desk.log.count("recorded") <= 1, "all tries are one effect"

    scenario(main)


def test_a_try_may_have_a_limit_of_its_own() -> None:
    async def main() -> None:
        desk = Desk(does(1, after_s=60), does("ok"), idempotent=True, timeout_s=10)
        desk.tool = replace(desk.tool, attempt_s=3.0)
        began = asyncio.get_running_loop().time()
        assert (await desk.run()).ok
        assert asyncio.get_running_loop().time() - began == pytest.approx(4.0, abs=0.05)

    scenario(main)


def test_tries_stay_within_the_tools_time() -> None:
    async def main() -> None:
        desk = Desk(does(lost()), effect="none", timeout_s=0.5)
        assert (await desk.run()).code == "timeout"

    scenario(main)


def test_an_idempotent_effect_in_doubt_stays_open_with_its_arguments() -> None:
    async def main() -> None:
        desk = Desk(does(lost()), idempotent=True)
        assert (await desk.run()).code == "unknown_outcome"
        assert "unknown" not in desk.log
        [record] = desk.ledger.records
        assert record.arguments == '{"day": 1}'
        assert record.context.control is None

    scenario(main)


@pytest.mark.parametrize(
    ("act", "state"),
    [
        (does("ok"), EffectState.DONE),
        (does(ResultTooLargeError("Ask for less.")), EffectState.DONE),
        (does(ToolError("No.")), EffectState.REFUSED),
        (does(lost()), None),
        (does(1, after_s=60), None),
        (does(ValueError()), EffectState.UNKNOWN),
    ],
)
def test_after_a_restart_it_is_asked_again_with_the_same_key(act: Any, state: EffectState | None) -> None:
    async def main() -> None:
        desk = Desk(act, idempotent=True)
        record = EffectRecord(context=context(), tool="book", deadline=1.0, arguments='{"day": 1}')
        assert await desk.runner.settle_later(desk.tool, record) is state
        assert desk.log == ["sent"]

    scenario(main)


def test_after_a_restart_one_that_is_not_idempotent_is_unknown_and_not_sent() -> None:
    async def main() -> None:
        desk = Desk(does("ok"))
        record = EffectRecord(context=context(), tool="book", deadline=1.0, arguments='{"day": 1}')
        assert await desk.runner.settle_later(desk.tool, record) is EffectState.UNKNOWN
        assert desk.log == []

    scenario(main)


@pytest.mark.parametrize(
    ("known", "options", "code", "sent"),
    [
        ("done", {}, None, 0),
        ("refused", {}, "tool_failed", 0),
        ("pending", {}, "unknown_outcome", 0),
        ("unknown", {}, "unknown_outcome", 0),
        ("pending", {"idempotent": True}, None, 1),
        ("done", {"idempotent": True}, None, 0),
    ],
)
def test_what_an_earlier_process_recorded_is_not_done_again(
    known: Literal["done"], options: dict[str, Any], code: str | None, sent: int
) -> None:
    async def main() -> None:
        desk = Desk(does("ok"), **options)
        await MemoryLedger.begin(desk.ledger, EffectRecord(context=context(), tool="book", deadline=1.0))
        MemoryLedger.end(desk.ledger, context().idempotency_key, EffectState(known))
        assert (await desk.run()).code == code
        assert desk.log.count("sent") == sent

    scenario(main)


def test_hanging_up_leaves_an_effect_that_was_sent_unknown() -> None:
    async def main() -> None:
        desk = Desk(does(1, after_s=5))
        run = asyncio.create_task(desk.run())
        await asyncio.sleep(1)
        run.cancel()
        await asyncio.wait([run])
        await asyncio.sleep(0.1)
        assert desk.log[-1] == "unknown"

    scenario(main)


def test_a_tool_runs_no_more_often_at_once_than_it_may() -> None:
    async def main() -> None:
        desk = Desk(does(1, after_s=1), effect="none", max_concurrent=2)
        runs = [asyncio.create_task(desk.run(n, number=n, call=f"rtc_{n}")) for n in range(5)]
        await asyncio.sleep(0.5)
        assert desk.log.count("sent") == 2
        other = Desk(does(1), effect="none")
        assert (await desk.runner.run(other.tool, '{"day":1}', context(9, "rtc_9"))).ok, "others are not held up"
        assert all(result.ok for result in await asyncio.gather(*runs))

    scenario(main)


def test_waiting_for_a_place_is_not_sending() -> None:
    async def main() -> None:
        desk = Desk(does(1, after_s=5), timeout_s=3, max_concurrent=1)
        first, second = asyncio.create_task(desk.run(1, number=1)), asyncio.create_task(desk.run(2, number=2))
        result = await second
        assert result.code == "timeout"
        assert "You may try again" in result.output
        assert "do not repeat it" in (await first).output
        assert desk.log.count("sent") == 1

    scenario(main)


@given(st.text(), st.text(), st.text(), st.text(), st.text(), st.text())
def test_no_two_effects_share_a_key(a: str, b: str, c: str, d: str, e: str, f: str) -> None:
    one = ToolContext(tenant=a, call_id=b, function_call_id=c, agent="x")
    two = ToolContext(tenant=d, call_id=e, function_call_id=f, agent="y")
    assert (one.idempotency_key == two.idempotency_key) == ((a, b, c) == (d, e, f))
    assert len(one.idempotency_key) == 64


@given(tries=st.integers(1, 30), chance=st.floats(0, 1), asked=st.none() | st.floats(0, 100))
def test_waits_grow_and_end(tries: int, chance: float, asked: float | None) -> None:
    wait_s = Backoff(chance=lambda: chance).wait_s(tries, asked_s=asked)
    if asked is not None and asked > 5:
        assert wait_s is None
    else:
        assert wait_s is not None
        assert (asked or 0.1) <= wait_s <= max(2.0, asked or 0)


async def test_forgotten_answers_are_not_given_again_by_memory_but_by_the_ledger() -> None:
    desk = Desk(does("ok"))
    desk.runner._twins._capacity = 2
    for number in range(5):
        await desk.run(number, number=number)
    result = await desk.run(0, number=0)
    assert result.ok
    assert "not done again" in result.output
    assert desk.log.count("sent") == 5


async def test_a_call_cannot_pile_up_effects() -> None:
    desk = Desk(does(1, after_s=0.01))
    desk.runner = ToolRunner(limits=RunnerLimits(per_call=1, pending_per_call=2), effects=desk.ledger)
    codes = [r.code for r in await asyncio.gather(*(desk.run(n, number=n) for n in range(4)))]
    assert codes.count("busy") == 2
    assert desk.log.count("recorded") == 2
