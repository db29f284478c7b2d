"""A caller over WebRTC with a voice of its own, by aiortc."""

from __future__ import annotations

import asyncio
import fractions
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame
from openai import AsyncOpenAI

__all__ = ["Phone", "on_the_phone"]

RATE = 48_000

_FRAME = RATE // 50
_PATIENCE_S = 20.0
_LOUD = 1_000


class Microphone(MediaStreamTrack):
    """Silence, until something is said."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._spoken = np.empty(0, dtype=np.int16)
        self._sent = 0
        self._began = asyncio.get_running_loop().time()

    def say(self, pcm: bytes) -> None:
        """Speaks, behind what is being said already."""
        self._spoken = np.concatenate([self._spoken, np.frombuffer(pcm, dtype=np.int16)])

    async def recv(self) -> AudioFrame:
        """The next 20 ms, when they are due."""
        await asyncio.sleep(self._began + self._sent / RATE - asyncio.get_running_loop().time())
        samples = np.zeros(_FRAME, dtype=np.int16)
        spoken, self._spoken = self._spoken[:_FRAME], self._spoken[_FRAME:]
        samples[: len(spoken)] = spoken
        frame = AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, fractions.Fraction(1, RATE)
        self._sent += _FRAME
        return frame


class Phone:
    """One call."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.connection.addTrack(self.microphone)
        self.channel = self.connection.createDataChannel("oai-events")
        self.closed = asyncio.Event()
        self.heard = asyncio.Event()
        """Set once the agent is heard."""
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listening: asyncio.Task[None] | None = None
        self.connection.on("track", self._on_track)
        self.channel.on("message", lambda text: self._events.put_nowait(json.loads(text)))
        self.channel.on("close", lambda: self.closed.set())

    async def call(self, openai: AsyncOpenAI, **session: Any) -> str:
        """Calls, with a session of its own if any is given; the id of the call."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        more: Any = {"session": {"type": "realtime", "model": "gpt-realtime", **session}} if session else {}
        answer = await openai.realtime.calls.with_raw_response.create(sdp=offer, **more)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.parse().text, "answer"))
        return answer.headers["location"].rsplit("/", 1)[1]

    def send(self, **event: Any) -> None:
        """Sends an event."""
        self.channel.send(json.dumps(event))

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this type; errors are nobody's wish."""
        async with asyncio.timeout(_PATIENCE_S):
            while (event := await self._events.get())["type"] != kind:
                assert event["type"] != "error", event
        return event

    async def hang_up(self) -> None:
        """Ends the call from this side."""
        await self.connection.close()
        if self._listening is not None:
            await self._listening

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.create_task(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                if np.abs(frame.to_ndarray()).max() > _LOUD:
                    self.heard.set()
        except MediaStreamError:
            return


@asynccontextmanager
async def on_the_phone() -> AsyncIterator[Phone]:
    """A phone that is put down in the end."""
    phone = Phone()
    try:
        yield phone
    finally:
        await phone.hang_up()
