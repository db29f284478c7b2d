"""Processes are begun again when they end, and ended in good order together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from tests.bus.servers import NatsServer, needs_nats

from perhop.tools.bus import NatsBus, discover
from perhop.workers.hosting import REFERENCE
from perhop.workers.supervisor import Backoff, Change, Program, Supervisor

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("programs.py")


def program(behaviour: str) -> Program:
    return Program(behaviour, (sys.executable, str(PROGRAM), behaviour))


class Watched:
    """A supervisor whose changes can be waited for."""

    def __init__(self, *behaviours: str, grace_s: float = 5.0) -> None:
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.supervisor = Supervisor(
            [program(one) for one in behaviours],
            tell=self.changes.put_nowait,
            grace_s=grace_s,
            backoff=lambda: Backoff(first_s=0.01, most_s=0.05, lasted_s=30),
        )
        self.running = asyncio.create_task(self.supervisor.run())

    async def until(self, state: str) -> Change:
        async with asyncio.timeout(20):
            while (change := await self.changes.get()).state != state:
                pass
        return change

    async def stop(self) -> None:
        self.supervisor.stop()
        await asyncio.wait_for(self.running, 20)


def test_waits_grow_until_something_lasted() -> None:
    backoff = Backoff(first_s=1, most_s=5, lasted_s=30)
    assert [backoff.after(0.1) for _ in range(4)] == [1, 2, 4, 5]
    assert [backoff.after(31), backoff.after(0.1)] == [1, 2]


async def test_a_process_that_is_killed_is_begun_again() -> None:
    watched = Watched("orderly")
    first = await watched.until("ready")
    assert first.port == 4711
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    ended = await watched.until("ended")
    assert (ended.code, ended.again_s) == (-9, 0.01)
    second = await watched.until("ready")
    assert second.pid != first.pid
    await watched.stop()
    assert (await watched.until("stopped")).code == 0


async def test_one_that_never_gets_ready_is_tried_less_and_less_often() -> None:
    watched = Watched("broken")
    waits = [(await watched.until("ended")).again_s for _ in range(5)]
    assert waits == [0.01, 0.02, 0.04, 0.05, 0.05]
    await watched.stop()


async def test_one_that_does_not_end_is_killed() -> None:
    watched = Watched("stubborn", grace_s=0.1)
    await watched.until("ready")
    await watched.stop()
    assert (await watched.until("killed")).code == -9


async def test_one_that_breaks_does_not_disturb_the_others() -> None:
    watched = Watched("orderly", "brief")
    ready = await watched.until("ended")
    assert ready.name == "brief"
    await watched.until("ended")
    await watched.stop()
    left = [watched.changes.get_nowait() for _ in range(watched.changes.qsize())]
    assert [one.code for one in left if one.name == "orderly" and one.state in ("ended", "stopped")] == [0]


async def lines_until(
    stream: asyncio.StreamReader, seen: list[str], pattern: str, times: int = 1
) -> list[re.Match[str]]:
    """Reads until so many lines match."""
    found: list[re.Match[str]] = []
    async with asyncio.timeout(60):
        while len(found) < times:
            line = (await stream.readline()).decode()
            if not line:
                raise AssertionError("".join(seen))
            seen.append(line)
            if match := re.search(pattern, line):
                found.append(match)
    return found


@needs_nats
@pytest.mark.integration
async def test_all_six_serve_over_nats_and_one_that_is_killed_comes_back(
    nats_server: NatsServer, postgres_url: str, tmp_path: Path
) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "perhop", "workers", "up"),
        cwd=tmp_path,
        env={
            **inherited,
            "PERHOP_BUS__URL": nats_server.url,
            "PERHOP_STORE__URL": postgres_url,
            "PERHOP_STORE__POOL": "2",
            "PERHOP_LOG__LEVEL": "warning",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    seen: list[str] = []
    try:
        ready = await lines_until(process.stderr, seen, r"^(\w+) +ready +pid (\d+)", len(REFERENCE))
        assert {one[1] for one in ready} == set(REFERENCE)
        bus = await NatsBus.open(nats_server.settings(), wait_s=5)
        try:
            assert {offer.worker for offer in await discover(bus)} == set(REFERENCE)
        finally:
            await bus.close()
        os.kill(int(ready[0][2]), signal.SIGKILL)
        await lines_until(process.stderr, seen, rf"^{ready[0][1]} +ended +exit code -9")
        await lines_until(process.stderr, seen, rf"^{ready[0][1]} +ready")
        process.terminate()
        await lines_until(process.stderr, seen, r"^\w+ +stopped +exit code 0", len(REFERENCE))
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)
