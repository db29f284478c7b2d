"""A caller killed with ``kill -9`` leaves nothing behind, and a data channel that stops does not stop the audio."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest
from tests.integration.gateway import Gateway, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

ROOT = Path(__file__).parents[2]
WITHIN_S = 10.0


async def killed(server: Gateway, transport: str) -> tuple[str, float]:
    """Has a caller talk to the model far away and kills it; returns the id of its call, and when it was killed."""
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
        calls = await eventually(lambda: [call for call in server.live() if call["transport"] == transport])
        assert len(calls) == 1
    finally:
        child.kill()
        await child.wait()
    return calls[0]["id"], time.monotonic()


async def test_the_call_and_its_model_session_are_closed_within_ten_seconds(server: Gateway, upstream: Gateway) -> None:
    assert upstream.live() == []
    victims = await asyncio.gather(killed(server, "websocket"), killed(server, "webrtc"))
    first = min(at for _, at in victims)
    await eventually(lambda: upstream.live() == [], within_s=WITHIN_S + 5)
    assert time.monotonic() - first < WITHIN_S
    assert server.figure("perhop_model_legs_live", model="far") == 0
    # They might have come back; once that time is over, so are the calls.
    for call, _ in victims:
        assert await server.ended(call) == "caller_lost"
