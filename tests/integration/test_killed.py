"""A caller that is gone without a word leaves no model session behind for longer than ten seconds."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.gateway import Gateway, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

ROOT = Path(__file__).parents[2]
WITHIN_S = 10.0


@dataclass
class Talking:
    """A caller in a process of its own, in a call with the model far away."""

    process: asyncio.subprocess.Process
    call_id: str


@asynccontextmanager
async def talking(server: Gateway, transport: str) -> AsyncIterator[Talking]:
    """Starts one and waits until it hears the agent."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.caller", transport, server.url, "far"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(40):
            assert await child.stdout.readline() == b"hears\n"
        (call,) = [call for call in server.live() if call["transport"] == transport]
        yield Talking(child, call["id"])
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_callers_are_killed(server: Gateway, upstream: Gateway) -> None:
    async with talking(server, "websocket") as one, talking(server, "webrtc") as other:
        assert len(upstream.live()) == 2
        began = time.monotonic()
        one.process.kill()
        other.process.kill()
        await eventually(lambda: upstream.live() == [], within_s=WITHIN_S + 5)
        assert time.monotonic() - began < WITHIN_S
        assert server.figure("perhop_model_legs_live", model="far") == 0
    # They might have come back; once that time is over, so are the calls.
    for caller in (one, other):
        assert await server.ended(caller.call_id) == "caller_lost"


async def test_a_websocket_caller_falls_silent_and_its_connection_stays_open(
    server: Gateway, upstream: Gateway
) -> None:
    async with talking(server, "websocket") as caller:
        began = time.monotonic()
        caller.process.send_signal(signal.SIGSTOP)  # as if its machine, or the network, were gone
        await eventually(lambda: upstream.live() == [], within_s=WITHIN_S + 5)
        assert time.monotonic() - began < WITHIN_S
        assert await server.ended(caller.call_id) == "caller_lost"
