from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.virtual_time import run_virtual

from perhop.tools.base import Tool, ToolContext
from perhop.tools.errors import ToolError
from perhop.tools.runner import RunnerLimits, ToolResult, ToolRunner
from perhop.tools.tool import tool

CANARY = "510-555-0199"


_numbers = itertools.count(1)


def context(call_id: str = "rtc_1", function_call_id: str | None = None) -> ToolContext:
    function_call_id = function_call_id or f"call_{next(_numbers)}"
    return ToolContext(call_id=call_id, agent="oneroof", tenant="default", function_call_id=function_call_id)


def error_of(result: ToolResult) -> dict[str, Any]:
    assert not result.ok
    error: dict[str, Any] = json.loads(result.output)["error"]
    assert error["code"] == result.code
    assert error["message"]
    return error


class Doing:
    """What tools did, and the means to hold them up."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.go = asyncio.Event()

    def tool(self, act: Callable[[], Awaitable[object]], **options: Any) -> Tool:
        async def work() -> object:
            self.log.append("began")
            try:
                value = await act()
            except asyncio.CancelledError:
                self.log.append("cancelled")
                raise
            self.log.append("ended")
            return value

        return tool(**options)(work)


async def forever() -> None:
    await asyncio.Event().wait()


async def turns(count: int = 5) -> None:
    """Lets what is ready happen."""
    for _ in range(count):
        await asyncio.sleep(0)


@tool(effect="none")
def add(a: int, b: int = 1) -> dict[str, int]:
    return {"sum": a + b}


@tool
async def add_later(a: int, who: ToolContext) -> dict[str, object]:
    return {"sum": a, "call": who.call_id}


async def test_sync_and_async_functions_give_json() -> None:
    runner = ToolRunner()
    assert await runner.run(add, '{"a": 2}', context()) == ToolResult('{"sum":3}')
    assert await runner.run(add_later, '{"a": 2}', context()) == ToolResult('{"sum":2,"call":"rtc_1"}')
    await turns()
    assert runner.running == 0


async def test_wrong_arguments_run_nothing_and_name_the_field() -> None:
    error = error_of(await ToolRunner().run(add, '{"a": "2"}', context()))
    assert (error["code"], error["fields"]) == ("invalid_arguments", {"a": "Input should be a valid integer"})


@tool
def refuse() -> None:
    raise ToolError("That time is taken. Ten in the morning is free.")


@tool
def fail() -> None:
    raise ValueError(f"no listing for {CANARY}")


@tool
async def leave() -> None:
    raise SystemExit(1)


@tool
async def give_up() -> None:
    raise asyncio.CancelledError


@tool
def odd() -> object:
    return object()


@tool
def large() -> str:
    return CANARY * 10_000


async def test_a_tool_error_is_for_the_model_to_read() -> None:
    error = error_of(await ToolRunner().run(refuse, "", context()))
    assert error == {"code": "tool_failed", "message": "That time is taken. Ten in the morning is free."}


@pytest.mark.parametrize("broken", [fail, leave, odd])
async def test_any_other_exception_shows_a_reference_and_is_logged_without_its_message(broken: Tool) -> None:
    runner = ToolRunner(new_reference=lambda: "abc123")
    with capture_logs() as logs:
        error = error_of(await runner.run(broken, "{}", context("rtc_1", "call_1")))
    assert error["code"] == "tool_failed"
    assert error["reference"] == "abc123"
    assert "abc123" in error["message"]
    (entry,) = [entry for entry in logs if entry["event"] == "tool broke"]
    assert (entry["log_level"], entry["reference"], entry["tool"]) == ("error", "abc123", broken.name)
    assert entry["function_call_id"] == "call_1"
    assert_nowhere(CANARY, logs, error)


async def test_the_log_says_where_it_broke() -> None:
    with capture_logs() as logs:
        await ToolRunner().run(fail, "{}", context())
    assert logs[0]["error"] == "ValueError"
    assert logs[0]["at"][-1].startswith("test_runner.py:")
    assert logs[0]["at"][-1].endswith(" fail")


async def test_a_validator_that_breaks_is_the_tools_failure_too() -> None:
    class Breaking(type(add)):  # type: ignore[misc]
        def validate(self, arguments: dict[str, Any]) -> dict[str, Any]:
            raise ZeroDivisionError(CANARY)

    breaking = Breaking(**{field.name: getattr(add, field.name) for field in dataclasses.fields(add)})
    with capture_logs() as logs:
        error = error_of(await ToolRunner().run(breaking, "{}", context()))
    assert error["code"] == "tool_failed"
    assert_nowhere(CANARY, logs, error)


async def test_a_tool_that_cancels_itself_is_cancelled() -> None:
    assert error_of(await ToolRunner().run(give_up, "{}", context()))["code"] == "cancelled"


async def test_a_result_that_is_too_large_is_not_passed_on() -> None:
    error = error_of(await ToolRunner().run(large, "{}", context()))
    assert error["code"] == "result_too_large"
    assert "120002 bytes, the limit is 65536" in error["message"]
    assert_nowhere(CANARY, error)


@pytest.mark.parametrize(("effect", "hint"), [("none", "You may try again"), ("once", "do not repeat it")])
def test_a_tool_that_takes_too_long_is_cancelled(effect: str, hint: str) -> None:
    async def main() -> None:
        doing, runner, loop = Doing(), ToolRunner(), asyncio.get_running_loop()
        slow = doing.tool(forever, effect=effect, timeout_s=3)
        began = loop.time()
        error = error_of(await runner.run(slow, "{}", context()))
        assert loop.time() == pytest.approx(began + 3)
        assert error["code"] == "timeout"
        assert "within 3 s" in error["message"]
        assert hint in error["message"]
        await turns()
        assert doing.log == ["began", "cancelled"]
        assert runner.running == 0

    run_virtual(main())


def test_a_tool_that_resists_cancellation_is_not_waited_for() -> None:
    async def main() -> None:
        runner, release = ToolRunner(), asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        slow = tool(timeout_s=1)(stubborn)
        assert error_of(await runner.run(slow, "{}", context()))["code"] == "timeout"
        assert runner.running == 1, "it still holds its place"
        release.set()
        await turns()
        assert runner.running == 0

    run_virtual(main())


async def test_a_sync_function_that_hangs_is_left_behind_in_its_thread() -> None:
    runner = ToolRunner(limits=RunnerLimits(threads=1))
    release = threading.Event()

    @tool(timeout_s=0.01)
    def hang() -> None:
        release.wait(30)

    assert error_of(await runner.run(hang, "{}", context()))["code"] == "timeout"
    assert error_of(await runner.run(tool(timeout_s=0.01)(wait_for_nothing), "{}", context()))["code"] == "timeout"
    assert (await runner.run(add_later, '{"a": 1}', context())).ok, "async tools need no thread"
    release.set()
    assert (await runner.run(add, '{"a": 1}', context())).ok


def wait_for_nothing() -> None: ...


def test_hanging_up_cancels_the_tool() -> None:
    async def main() -> None:
        doing, runner = Doing(), ToolRunner()
        task = asyncio.create_task(runner.run(doing.tool(forever), "{}", context()))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns()
        assert doing.log == ["began", "cancelled"]
        assert runner.running == 0

    run_virtual(main())


def test_hanging_up_before_it_began_runs_nothing() -> None:
    async def main() -> None:
        doing, runner = Doing(), ToolRunner()
        task = asyncio.create_task(runner.run(doing.tool(forever), "{}", context()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await turns()
        assert "ended" not in doing.log
        assert runner.running == 0

    run_virtual(main())


def test_a_tool_that_must_finish_goes_on_after_the_hang_up() -> None:
    async def main() -> None:
        doing, runner = Doing(), ToolRunner()
        task = asyncio.create_task(runner.run(doing.tool(doing.go.wait, finish_on_hangup=True), "{}", context()))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runner.running == 1
        doing.go.set()
        await turns()
        assert doing.log == ["began", "ended"]
        assert runner.running == 0

    run_virtual(main())


def test_even_a_tool_that_must_finish_has_its_timeout() -> None:
    async def main() -> None:
        doing, runner = Doing(), ToolRunner()
        task = asyncio.create_task(runner.run(doing.tool(forever, finish_on_hangup=True, timeout_s=5), "{}", context()))
        await turns()
        task.cancel()
        await asyncio.sleep(6)
        assert doing.log == ["began", "cancelled"]
        assert runner.running == 0

    run_virtual(main())


def test_tools_of_a_call_run_side_by_side_up_to_a_limit() -> None:
    async def main() -> None:
        doing = Doing()
        runner = ToolRunner(limits=RunnerLimits(per_call=2, pending_per_call=3))
        waiting = doing.tool(doing.go.wait, timeout_s=60, effect="none")
        tasks = [asyncio.create_task(runner.run(waiting, "{}", context())) for _ in range(3)]
        await turns()
        assert doing.log == ["began", "began"]
        assert error_of(await runner.run(waiting, "{}", context()))["code"] == "busy"
        other = asyncio.create_task(runner.run(waiting, "{}", context("rtc_2")))
        await turns()
        assert len(doing.log) == 3, "another call is not held up"
        doing.go.set()
        results = await asyncio.gather(*tasks, other)
        assert [result.ok for result in results] == [True] * 4

    run_virtual(main())


def test_the_process_has_a_limit_and_waiting_counts_towards_the_timeout() -> None:
    async def main() -> None:
        doing, loop = Doing(), asyncio.get_running_loop()
        runner = ToolRunner(limits=RunnerLimits(running=1))
        first = asyncio.create_task(runner.run(doing.tool(forever, timeout_s=100), "{}", context("rtc_1")))
        await turns()
        began = loop.time()
        assert error_of(await runner.run(doing.tool(forever, timeout_s=2), "{}", context("rtc_2")))["code"] == "timeout"
        assert loop.time() == pytest.approx(began + 2)
        assert doing.log == ["began"], "the second never ran"
        first.cancel()
        await turns()
        assert (await runner.run(add_later, '{"a": 1}', context("rtc_3"))).ok

    run_virtual(main())


def test_closing_cancels_what_runs_and_waits_for_what_must_finish() -> None:
    async def main() -> None:
        quick, must, never, runner, loop = Doing(), Doing(), Doing(), ToolRunner(), asyncio.get_running_loop()
        tasks = [
            asyncio.create_task(runner.run(given, "{}", context(f"rtc_{n}")))
            for n, given in enumerate(
                [
                    quick.tool(forever, timeout_s=60),
                    must.tool(lambda: asyncio.sleep(1), finish_on_hangup=True, timeout_s=60),
                    never.tool(forever, finish_on_hangup=True, timeout_s=60),
                ]
            )
        ]
        await turns()
        began = loop.time()
        await runner.close(grace_s=4)
        assert loop.time() == pytest.approx(began + 4)
        assert [result.code for result in await asyncio.gather(*tasks)] == ["cancelled", None, "cancelled"]
        assert (quick.log, must.log, never.log) == (["began", "cancelled"], ["began", "ended"], ["began", "cancelled"])
        assert runner.running == 0
        await runner.close()

    run_virtual(main())


def assert_nowhere(secret: str, *places: MutableMapping[str, Any] | list[MutableMapping[str, Any]]) -> None:
    for place in places:
        assert secret not in repr(place)
