"""A caller over real WebRTC and a controller beside it, each with a stock client: aiortc and the official one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.api.conftest import Serve
from tests.api.helpers import World, build_world
from tests.models.brain import ForeseeableBrain

from perhop.config import WebRTCSettings
from perhop.edges.webrtc import WebRTCEdge

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world whose callers really come over UDP, and whose agent speaks for five seconds."""
    world = build_world(local=ForeseeableBrain(voice_ms=5_000).model)
    edge = await WebRTCEdge.open(WebRTCSettings(host="127.0.0.1", port=0))
    world.services.webrtc = edge
    yield world
    await edge.close()


class Page:
    """A browser, as it were."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTransceiver("audio", direction="recvonly")
        self.channel = self.connection.createDataChannel("oai-events")
        self.got: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.channel.on("message", lambda text: self.got.put_nowait(_EVENTS.validate_json(text)))
        self.channel.on("close", lambda: self.closed.set())

    async def call(self, openai: AsyncOpenAI) -> str:
        """Calls; the id of the call."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        answer = await openai.realtime.calls.with_raw_response.create(sdp=self.connection.localDescription.sdp)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.parse().text, "answer"))
        return answer.headers["location"].rsplit("/", 1)[1]

    def say(self, **event: Any) -> None:
        self.channel.send(json.dumps(event))

    async def until(self, kind: str) -> Any:
        async with asyncio.timeout(15):
            while (event := await self.got.get()).type != kind:
                assert event.type != "error", event
        return event


async def until(sideband: Any, kind: str) -> Any:
    async with asyncio.timeout(15):
        while (event := _EVENTS.validate_json(await sideband.recv_bytes())).type != kind:
            assert event.type != "error", event
    return event


@pytest.mark.integration
async def test_page_and_server_share_a_call(serve: Serve, world: World) -> None:
    server = await serve(world)
    page = Page()
    async with AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1", max_retries=0) as openai:
        call_id = await page.call(openai)
        created = await page.until("session.created")
        async with openai.realtime.connect(call_id=call_id) as sideband:
            joined = await until(sideband, "session.created")
            assert joined.session == created.session

            await sideband.session.update(session={"type": "realtime", "instructions": "Sing."})
            assert (await page.until("session.updated")).session.instructions == "Sing."
            page.say(type="session.update", session={"type": "realtime", "max_output_tokens": 500})
            await until(sideband, "session.updated")
            assert (await until(sideband, "session.updated")).session.max_output_tokens == 500

            content: Any = [{"type": "input_text", "text": "sing"}]
            await sideband.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            await sideband.response.create()
            for heard in (
                await page.until("output_audio_buffer.started"),
                await until(sideband, "output_audio_buffer.started"),
            ):
                assert heard.response_id
            await sideband.output_audio_buffer.clear()
            cleared = await page.until("output_audio_buffer.cleared")
            assert cleared == await until(sideband, "output_audio_buffer.cleared")
            await page.until("conversation.item.truncated")

            await openai.realtime.calls.hangup(call_id)
            async for _ in sideband:
                pass
    async with asyncio.timeout(5):
        await page.closed.wait()
    assert world.services.calls.live() == []
    await page.connection.close()
