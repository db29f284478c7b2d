"""Ends that the caller is prepared for: the agent hangs up, or a limit is reached. Nobody is cut off in a goodbye."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from bench.webrtc_caller import LightCaller
from tests.integration.gateway import Gateway, eventually, gateway
from tests.models.upstream import Upstream
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from perhop.models.steps import Script, Step, call, in_turn, say
from perhop.realtime.effects import StartResponse

# ruff: noqa: SIM117 - servers outside, callers inside

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

GOODBYE_MS, WARNING_MS = 1_500, 400
MS_A_FRAME = 20
BYTES_A_MS = 48


@dataclass
class Heard:
    """What a caller over a WebSocket got."""

    audio: bytearray = field(default_factory=bytearray)
    audio_at: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    close: tuple[int, str] | None = None
    ended_at: float = 0.0


async def hear(url: str) -> Heard:
    """A caller who says nothing, and listens to the end."""
    heard = Heard()
    async with connect(url) as socket, asyncio.timeout(30):
        try:
            async for message in socket:
                event = json.loads(message)
                if event["type"] == "response.output_audio.delta":
                    heard.audio += base64.b64decode(event["delta"])
                    heard.audio_at.append(time.monotonic())
                elif event["type"] == "error":
                    heard.errors.append(event["error"]["code"])
        except ConnectionClosed:
            pass
        heard.ended_at = time.monotonic()
        assert socket.protocol.close_rcvd is not None
        heard.close = socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason
    return heard


@asynccontextmanager
async def agent(folder: Path, script: Script, settings: str) -> AsyncIterator[Gateway]:
    """A gateway with this agent, whose model is scripted."""
    async with Upstream.scripted(script) as upstream:
        model = f'[models.far]\nurl = "{upstream.url}"\nkey = "sk-upstream"\n'
        own = '[[agents]]\nname = "a"\nmodel = "far"\ngreeting = "Good morning."\n'
        with gateway(folder, model + own + settings) as server:
            yield server


def hangs_up() -> Script:
    """Calls the tool in the place of a greeting, and says goodbye."""
    return in_turn([call("hang_up", {})], [say("Goodbye.", ms=GOODBYE_MS)])


def at_its_limit(request: StartResponse) -> list[Step]:
    """Says what it is told to say: a greeting, then the warning, then the goodbye."""
    if "nearly" in request.instructions:
        return [say("It is nearly over.", ms=WARNING_MS)]
    return [say("It is over.", ms=GOODBYE_MS)] if "over" in request.instructions else [say("Hm.", ms=100)]


HANG_UP = 'tools = ["builtin:hang_up"]\n'
LIMIT = """
[agents.budget]
call_s = 2
[warning]
at = 0.5
text = "nearly"
goodbye = "over"
"""


class Ear:
    """Counts the frames that a WebRTC caller hears."""

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, packet: bytes, at: float) -> None:
        self.frames += 1

    @property
    def ms(self) -> int:
        return self.frames * MS_A_FRAME


async def test_the_agent_hangs_up_on_a_websocket_caller_who_has_heard_its_goodbye(tmp_path: Path) -> None:
    async with agent(tmp_path, hangs_up(), HANG_UP) as server:
        heard = await hear(f"{server.ws}?agent=a")
        assert (heard.errors, heard.close) == ([], (1000, "tool_hangup"))
        assert len(heard.audio) == GOODBYE_MS * BYTES_A_MS
        assert heard.ended_at - heard.audio_at[0] >= GOODBYE_MS / 1000, "it had the time to play it"
        assert await server.ended(server.hooks[0]["data"]["call_id"]) == "tool_hangup"


async def test_the_agent_hangs_up_on_a_webrtc_caller_who_has_heard_its_goodbye(tmp_path: Path) -> None:
    ear = Ear()
    async with agent(tmp_path, hangs_up(), HANG_UP) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=10) as http, LightCaller(ear) as caller:
            await caller.call(http, agent="a")
            assert await eventually(caller.goodbye) == "tool_hangup"
            assert ear.ms >= GOODBYE_MS
            assert await server.ended(caller.call_id) == "tool_hangup"


async def test_at_a_limit_a_websocket_caller_is_warned_and_hears_the_goodbye(tmp_path: Path) -> None:
    async with agent(tmp_path, at_its_limit, LIMIT) as server:
        heard = await hear(f"{server.ws}?agent=a")
        assert (heard.errors, heard.close) == (["limit_reached"], (1001, "limit_reached"))
        assert len(heard.audio) == (100 + WARNING_MS + GOODBYE_MS) * BYTES_A_MS, "greeting, warning, goodbye"
        goodbye_at = heard.audio_at[-(GOODBYE_MS // 100)]
        assert heard.ended_at - goodbye_at >= GOODBYE_MS / 1000, "it had the time to play it"
        assert await server.ended(server.hooks[0]["data"]["call_id"]) == "limit_reached"


async def test_at_a_limit_a_webrtc_caller_is_warned_and_hears_the_goodbye(tmp_path: Path) -> None:
    ear = Ear()
    async with agent(tmp_path, at_its_limit, LIMIT) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=10) as http, LightCaller(ear) as caller:
            await caller.call(http, agent="a")
            assert await eventually(caller.goodbye, within_s=20) == "limit_reached"
            assert ear.ms >= 100 + WARNING_MS + GOODBYE_MS
            assert await server.ended(caller.call_id) == "limit_reached"
