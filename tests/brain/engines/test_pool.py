from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.brain.engines.listening import Heard, until

from perhop.brain.engines.pool import Backoff, EnginePool
from perhop.brain.engines.process import EngineCommand, Stream
from perhop.brain.engines.protocol import FrameError
from perhop.brain.providers import BrainError

ROOT = str(Path(__file__).parents[3])


def command(factory: str = "Echo", **changes: object) -> EngineCommand:
    settings = {"name": "test", "factory": f"tests.brain.engines.services:{factory}", "import_path": (ROOT,), **changes}
    return EngineCommand(**settings)  # type: ignore[arg-type]


@pytest.fixture
async def pool() -> AsyncIterator[EnginePool]:
    pool = EnginePool(command(max_streams=3, max_unread_bytes=1000), size=1)
    await pool.start()
    yield pool
    await pool.close()


def ask(pool: EnginePool, do: str = "echo") -> tuple[Stream, Heard]:
    heard = Heard()
    return pool.open({"do": do}, heard), heard


async def test_streams_of_one_process_do_not_mix(pool: EnginePool) -> None:
    (one, heard_one), (two, heard_two) = ask(pool), ask(pool)
    one.send(b"one")
    two.send(b"two")
    one.send(b"one")
    two.end()
    one.end()
    await asyncio.gather(heard_one.over, heard_two.over)
    assert (heard_one.data, heard_two.data) == (b"oneone", b"two")


async def test_a_refused_and_a_failed_request_leave_the_others_alone(pool: EnginePool) -> None:
    fine, heard = ask(pool)
    for do, code in (("refuse", "refused"), ("fail", "failed")):
        _, failed = ask(pool, do)
        with pytest.raises(BrainError) as raised:
            await failed.over
        assert raised.value.code == code
    fine.end()
    assert "pid" in await heard.over


async def test_one_stream_too_many_is_refused_and_room_is_made_by_an_end(pool: EnginePool) -> None:
    streams = [ask(pool) for _ in range(3)]
    with pytest.raises(BrainError) as raised:
        ask(pool)
    assert raised.value.code == "engine_overloaded"
    streams[0][0].end()
    await streams[0][1].over
    ask(pool)


async def test_a_cancelled_stream_makes_room_and_says_nothing_more(pool: EnginePool) -> None:
    cancelled, heard = ask(pool, "hold")
    cancelled.send(b"x" * 900)
    cancelled.cancel()
    cancelled.cancel()
    cancelled.end()
    assert cancelled.send(b"late") == 0
    later, answered = ask(pool)
    assert later.send(b"x" * 900) == 0  # what the cancelled one had on its way does not count any more
    later.end()
    await answered.over
    assert not heard.over.done()


async def test_input_beyond_the_bound_is_dropped_and_counted(pool: EnginePool) -> None:
    held, _ = ask(pool, "hold")
    assert held.send(b"x" * 600) == 0
    assert held.send(b"x" * 600) == 200
    assert held.send(b"x" * 10) == 10
    assert pool.status()[0].dropped_bytes == 210


async def test_worked_off_input_makes_room(pool: EnginePool) -> None:
    stream, heard = ask(pool)
    for count in range(1, 6):
        assert stream.send(b"x" * 1000) == 0
        await heard.has(b"x" * 1000 * count)


async def test_a_killed_process_fails_its_streams_at_once_and_the_next_one_works(pool: EnginePool) -> None:
    _, heard = ask(pool, "hold")
    before = pool.status()[0]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    with pytest.raises(BrainError) as raised:
        await heard.over
    assert raised.value.code == "engine_lost"
    await until(lambda: pool.ready and pool.status()[0].pid != before.pid)
    stream, again = ask(pool)
    stream.end()
    assert (await again.over)["pid"] == pool.status()[0].pid
    assert pool.status()[0].restarts == 1


async def test_a_crash_in_one_process_does_not_touch_the_other() -> None:
    pool = EnginePool(command(), size=2)
    await pool.start()
    try:
        crashing, crashed = ask(pool, "crash")
        other, fine = ask(pool)
        other.send(b"still")
        with pytest.raises(BrainError):
            await crashed.over
        other.send(b" here")
        other.end()
        await fine.over
        assert fine.data == b"still here"
        crashing.send(b"late")
        crashing.end()
    finally:
        await pool.close()


async def test_streams_go_to_the_process_with_the_fewest() -> None:
    pool = EnginePool(command(), size=2)
    await pool.start()
    try:
        asked = [ask(pool) for _ in range(4)]
        assert [status.streams for status in pool.status()] == [2, 2]
        for stream, _ in asked:
            stream.end()
        pids = [(await heard.over)["pid"] for _, heard in asked]
        assert sorted(map(pids.count, set(pids))) == [2, 2]
    finally:
        await pool.close()


async def test_a_process_that_hangs_is_killed_and_replaced() -> None:
    pool = EnginePool(command(hang_timeout_s=0.3))
    await pool.start()
    try:
        _, heard = ask(pool, "hang")
        with pytest.raises(BrainError) as raised:
            await heard.over
        assert raised.value.code == "engine_lost"
        await until(lambda: pool.ready)
    finally:
        await pool.close()


async def test_a_request_before_the_process_is_ready_waits_for_it(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    pool = EnginePool(command("Slow", options={"gate": str(gate)}))
    pool.begin()
    try:
        stream, heard = ask(pool)
        assert stream.send(b"early") == 0
        stream.end()
        assert not pool.ready
        gate.touch()
        await heard.over
        assert heard.data == b"early"
    finally:
        await pool.close()


async def test_a_service_that_cannot_start_is_an_error_without_its_message(capfd: pytest.CaptureFixture[str]) -> None:
    pool = EnginePool(command("Broken"))
    with pytest.raises(BrainError) as raised:
        await pool.start()
    assert raised.value.code == "engine_unavailable"
    assert not pool.running
    printed = capfd.readouterr().err
    assert "RuntimeError at services.py" in printed
    assert "secret" not in printed


async def test_closing_fails_what_is_open_and_leaves_no_process() -> None:
    pool = EnginePool(command(), size=2)
    await pool.start()
    _, heard = ask(pool, "hold")
    pids = [status.pid for status in pool.status()]
    await pool.close()
    with pytest.raises(BrainError, match="ended"):
        await heard.over
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(BrainError) as raised:
        ask(pool)
    assert raised.value.code == "engine_lost"
    await pool.close()


async def test_closing_right_after_the_start_leaves_no_process() -> None:
    pool = EnginePool(command())
    pool.begin()
    pid = pool.status()[0].pid
    assert pid is not None
    _, heard = ask(pool)
    await pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(BrainError):
        await heard.over


async def test_a_hanging_process_does_not_keep_close_waiting_for_ever() -> None:
    pool = EnginePool(command())
    await pool.start()
    ask(pool, "hang")
    async with asyncio.timeout(5):
        await pool.close()


async def test_signals_for_the_whole_group_do_not_end_an_engine(pool: EnginePool) -> None:
    pid = pool.status()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    stream, heard = ask(pool)
    stream.end()
    assert (await heard.over)["pid"] == pid


def test_no_engine_outlives_a_server_that_was_killed() -> None:
    program = """
import asyncio, sys
from tests.brain.engines.test_pool import EnginePool, ask, command
async def main():
    pool = EnginePool(command())
    await pool.start()
    ask(pool, "hang")
    print(pool.status()[0].pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    descriptor = os.pidfd_open(pid)
    server.kill()
    server.wait()
    gone, _, _ = select.select([descriptor], [], [], 10)
    assert gone
    os.close(descriptor)


async def test_a_request_that_is_too_long_is_refused(pool: EnginePool) -> None:
    with pytest.raises(FrameError):
        pool.open({"text": "x" * (2 << 20)}, Heard())
    assert pool.status()[0].streams == 0


def test_restarts_come_at_once_then_ever_later_and_at_once_again_after_health() -> None:
    backoff = Backoff()
    assert [backoff.after(0.1) for _ in range(8)] == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert backoff.after(60) == 0
    assert backoff.after(1) == 0.1
