from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from perhop.tools.threads import Threads

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


class Gate:
    """A function that stands still until it is let through."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        self.entered.release()
        assert self.open.wait(30)
        return self.runs

    async def occupied(self) -> None:
        """Returns once somebody stands in the gate."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=30)


async def test_a_function_returns_or_raises_through() -> None:
    threads = Threads(1)
    assert await threads.run(lambda: 7) == 7
    with pytest.raises(KeyError):
        await threads.run(lambda: dict[str, int]()["missing"])
    assert threads.busy == 0


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_what_would_upset_the_event_loop_arrives_as_an_ordinary_error(error: BaseException) -> None:
    def function() -> None:
        raise error

    with pytest.raises(RuntimeError, match=f"raised {type(error).__name__}"):
        await Threads(1).run(function)


async def test_context_variables_reach_the_function() -> None:
    WHO.set("ann")
    assert await Threads(1).run(WHO.get) == "ann"


async def test_threads_are_daemons_so_that_a_hung_one_does_not_keep_the_process() -> None:
    assert await Threads(1).run(lambda: threading.current_thread().daemon)


async def test_no_more_than_the_limit_run_and_the_rest_wait_their_turn() -> None:
    threads, gate = Threads(2), Gate()
    tasks = [asyncio.create_task(threads.run(gate)) for _ in range(5)]
    await gate.occupied()
    await gate.occupied()
    assert (threads.busy, gate.runs) == (2, 2)
    gate.open.set()
    await asyncio.gather(*tasks)
    assert (threads.busy, gate.runs) == (0, 5)


async def test_cancelled_while_waiting_it_never_starts() -> None:
    threads, gate = Threads(1), Gate()
    first = asyncio.create_task(threads.run(gate))
    await gate.occupied()
    second = asyncio.create_task(threads.run(gate))
    await asyncio.sleep(0)
    second.cancel()
    gate.open.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert gate.runs == 1


async def test_a_hung_function_keeps_its_place_until_it_returns() -> None:
    threads, gate = Threads(1), Gate()
    hung = asyncio.create_task(threads.run(gate))
    await gate.occupied()
    hung.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hung
    assert threads.busy == 1
    waiting = asyncio.create_task(threads.run(lambda: "next"))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.open.set()
    assert await waiting == "next"
    assert threads.busy == 0


async def test_a_system_without_threads_left_costs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            await threads.run(lambda: 1)
    assert await threads.run(lambda: 1) == 1


def test_a_loop_that_closed_meanwhile_is_not_missed() -> None:
    gate = Gate()

    async def leave_it_running() -> None:
        task = asyncio.create_task(Threads(1).run(gate))
        await gate.occupied()
        task.cancel()

    asyncio.run(leave_it_running())
    worker = next(thread for thread in threading.enumerate() if thread.name == "perhop-tool")
    gate.open.set()
    worker.join(30)
    assert not worker.is_alive()
