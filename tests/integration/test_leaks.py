"""What a call took it gives back: file descriptors, tasks, threads, legs and memory after many short calls."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import pytest
from bench.webrtc_caller import LightCaller
from tests.integration.gateway import Gateway, eventually, gateway
from websockets.asyncio.client import connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

WARM_UP = 100
CALLS = 300
MEASURED = 200
AT_ONCE = 10
POOL = min(32, (os.cpu_count() or 1) + 4)
MAX_GROWTH = 20_000
"""Bytes of resident memory a call."""


@dataclass(frozen=True)
class Footprint:
    """What a server holds."""

    files: int
    threads: int
    tasks: int
    peers: int
    model_legs: int
    calls: int

    def beyond(self, other: Footprint) -> dict[str, tuple[int, int]]:
        """What there is more of, before and now."""
        before, now = asdict(other), asdict(self)
        # asyncio's own pool of threads, which looks up names, grows to its limit when it first needs to.
        before["threads"] += POOL
        return {name: (before[name], now[name]) for name in now if now[name] > before[name]}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, upstream: Gateway) -> Iterator[Gateway]:
    """A gateway whose agents are the echo and a model far away."""
    settings = f"""
[models.far]
url = "{upstream.url}/v1"
[[agents]]
name = "far"
model = "far"
"""
    with gateway(tmp_path_factory.mktemp("busy"), settings) as server:
        yield server


def footprint(server: Gateway) -> Footprint:
    process = Path(f"/proc/{server.process.pid}")
    return Footprint(
        files=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        tasks=int(server.figure("perhop_tasks")),
        peers=int(server.figure("perhop_webrtc_peers_live")),
        model_legs=int(server.figure("perhop_model_legs_live", model="far")),
        calls=len(server.live()),
    )


async def at_rest(server: Gateway) -> Footprint:
    """What it holds once nothing changes any more: kept-alive connections of HTTP clients end after five seconds."""
    seen = [footprint(server)]
    async with asyncio.timeout(30):
        while len(seen) < 8 or len(set(seen[-8:])) > 1:
            await asyncio.sleep(0.25)
            seen.append(await asyncio.to_thread(footprint, server))
    return seen[-1]


def resident(server: Gateway) -> int:
    """Bytes of memory it has now."""
    status = Path(f"/proc/{server.process.pid}/status").read_text("utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


async def speak(server: Gateway, agent: str) -> None:
    """A call over WebSocket: a text, its answer, good-bye."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    async with connect(f"{server.ws}?agent={agent}") as socket:
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await socket.send(json.dumps({"type": "response.create"}))
        while json.loads(await socket.recv())["type"] != "response.done":
            pass


async def talk(server: Gateway, http: httpx.AsyncClient) -> None:
    """A call over WebRTC: some audio there and back, good-bye."""
    async with LightCaller() as caller:
        await caller.call(http)
        await caller.talk(5)
        await caller.heard()
        caller.hang_up()


async def make_calls(server: Gateway, count: int) -> None:
    """So many calls, a few at once: a third each over WebRTC, over WebSocket, and to the model far away."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, http: httpx.AsyncClient) -> None:
        async with turn, asyncio.timeout(30):
            match number % 3:
                case 0:
                    await talk(server, http)
                case 1:
                    await speak(server, "echo")
                case _:
                    await speak(server, "far")

    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        await asyncio.gather(*(one(number, http) for number in range(count)))
    await eventually(lambda: not server.live() and not server.figure("perhop_webrtc_peers_live"))


async def test_three_hundred_calls_leave_nothing_behind(busy: Gateway) -> None:
    # Speech engines that still start have files and threads of their own.
    await eventually(lambda: httpx.get(f"{busy.url}/readyz").status_code == 200, within_s=60)
    await make_calls(busy, WARM_UP)
    before = await at_rest(busy)
    await make_calls(busy, CALLS - MEASURED)
    began = resident(busy)
    await make_calls(busy, MEASURED)
    grown = resident(busy) - began
    assert (await at_rest(busy)).beyond(before) == {}
    assert grown / MEASURED <= MAX_GROWTH, f"{grown / MEASURED:.0f} bytes a call"
