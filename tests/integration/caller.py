"""A caller in a process of its own, to be killed: ``python -m tests.integration.caller webrtc|websocket URL AGENT``.

It talks until it is stopped, and writes ``hears`` to stdout once the agent's audio reaches it.
"""

from __future__ import annotations

import asyncio
import base64
import fractions
import json
import sys

import aioice.ice
import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from av import AudioFrame
from websockets.asyncio.client import connect


class Microphone(MediaStreamTrack):
    """Hears noise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = 0
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(max(0.0, self._began + self._samples / 48_000 - asyncio.get_running_loop().time()))
        noise = np.random.default_rng(self._samples).integers(-3000, 3000, 960, np.int16)
        frame = AudioFrame.from_ndarray(noise.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._samples, fractions.Fraction(1, 48_000)
        self._samples += 960
        return frame


async def over_websocket(url: str, agent: str) -> None:
    chunk = base64.b64encode(bytes(960)).decode()
    async with connect(f"{url.replace('http', 'ws', 1)}/v1/realtime?agent={agent}") as socket:

        async def listen() -> None:
            async for message in socket:
                if json.loads(message)["type"] == "response.output_audio.delta":
                    say_so()

        listening = asyncio.create_task(listen())
        while not listening.done():
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": chunk}))
            await asyncio.sleep(0.02)


async def over_webrtc(url: str, agent: str) -> None:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(Microphone())
    connection.createDataChannel("oai-events")
    ended = asyncio.Event()

    @connection.on("track")
    async def hear(track: MediaStreamTrack) -> None:
        for _ in range(10):
            await track.recv()
        say_so()

    await connection.setLocalDescription(await connection.createOffer())
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post(
            f"/v1/realtime/calls?agent={agent}",
            content=connection.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
    await connection.setRemoteDescription(RTCSessionDescription(answer.raise_for_status().text, "answer"))
    await ended.wait()


def say_so() -> None:
    sys.stdout.write("hears\n")
    sys.stdout.flush()


if __name__ == "__main__":
    transport, address, name = sys.argv[1:]
    asyncio.run((over_webrtc if transport == "webrtc" else over_websocket)(address, name))
