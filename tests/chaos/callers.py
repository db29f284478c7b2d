"""Callers who go on talking for as long as the test lasts, and notice what becomes of their calls."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from bench.webrtc_caller import LightCaller
from tests.chaos.model import SPEECH_MS
from websockets.asyncio.client import ClientConnection, connect

from perhop.media.rtp import read_header

__all__ = ["Caller", "Speaker", "Talker", "Turn", "Writer"]

LOUD_FRAMES = 8
QUIET_S = 0.1
"""After an answer, before the next turn."""

FRAME_S = 0.02
_TIME = np.arange(960) / 48_000
TONE = (9_000 * np.sin(2 * np.pi * 400 * _TIME)).astype("<i2").tobytes()
"""20 ms at 48 kHz that the model takes for speech."""

TONE_24 = TONE[: len(TONE) // 2]
"""20 ms at 24 kHz, of half the pitch."""

ANSWER_FRAMES = SPEECH_MS // 20
"""At least: a sender goes on with silence for a moment."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn that was answered: when the caller began, and when the answer was over. Times as ``time.monotonic``."""

    began: float
    ended: float


class Caller(ABC):
    """One call.

    Attributes:
        call_id: set by whoever placed the call.
        turns: those that were answered, in order.
        said: how often the agent said something, where the caller is told so in words.
    """

    def __init__(self) -> None:
        self.call_id = ""
        self.said: int | None = None
        self.turns: list[Turn] = []
        self.stopping = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.call_id}, {len(self.turns)} turns)"

    def answered_since(self, moment: float) -> bool:
        """Whether a turn that began after this moment was answered."""
        return bool(self.turns) and self.turns[-1].began >= moment

    async def talk(self) -> None:
        """Turn after turn until ``stopping``.

        Raises:
            Exception: the call is over, or something in it went wrong.
        """
        while not self.stopping:
            began = time.monotonic()
            await self.turn()
            self.turns.append(Turn(began, time.monotonic()))

    @abstractmethod
    async def hang_up(self) -> None:
        """Ends the call."""

    @abstractmethod
    async def turn(self) -> None:
        """Speaks, and waits for the answer to the end."""


class Speaker(Caller):
    """Talks over WebRTC without a pause, at times silence.

    Attributes:
        gaps: when a packet within an answer came late, and how long after the one before, s.
        sent: likewise of its own packets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[tuple[float, float]] = []
        self.light = LightCaller(self._hear)
        self._packets = 0
        self._heard = 0
        self._last = 0.0
        self._offset = time.monotonic() - time.time()

    async def call(self, http: httpx.AsyncClient, agent: str) -> None:
        """Places the call; the light caller is a context of whoever does."""
        await self.light.call(http, agent)
        self.call_id = self.light.call_id

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {self._packets - self._heard} packets)"

    async def hang_up(self) -> None:
        self.light.hang_up()

    async def turn(self) -> None:
        self._heard = self._packets
        await self.light.talk(LOUD_FRAMES, TONE)
        while self._packets - self._heard < ANSWER_FRAMES or time.monotonic() < self._last + self._offset + QUIET_S:
            await self.light.talk(1)

    def _hear(self, packet: bytes, came: float) -> None:
        self._packets += 1
        marker = read_header(packet)[4]
        if not marker and came - self._last > 1.5 * FRAME_S:
            self.gaps.append((came + self._offset, came - self._last))
        self._last = came


class _OverSocket(Caller):
    """A call over WebSocket."""

    def __init__(self) -> None:
        super().__init__()
        self.said = 0
        self._socket: ClientConnection | None = None

    async def call(self, address: str) -> None:
        """Places the call."""
        self._socket = await connect(address, max_size=None)
        assert json.loads(await self._socket.recv())["type"] == "session.created"

    async def hang_up(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def _send(self, **event: Any) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(event))

    async def _answer(self) -> int:
        """Returns once the agent has said something; how much audio that was, in ms."""
        assert self._socket is not None
        received = 0
        while True:
            event = json.loads(await self._socket.recv())
            kind = event["type"]
            if kind == "error":
                raise RuntimeError(event["error"]["message"])
            if kind == "response.output_audio.delta":
                received += len(event["delta"]) * 3 // 4
            elif kind in ("response.output_audio_transcript.done", "response.output_text.done"):
                self.said += 1
            elif kind == "response.done":
                response = event["response"]
                if response["status"] != "completed":
                    raise RuntimeError(f"a response ended {response['status']}")
                if any(item["type"] == "message" for item in response["output"]):
                    return received // 48


class Talker(_OverSocket):
    """Talks over WebSocket without a pause, at times silence."""

    def __init__(self) -> None:
        super().__init__()
        self._loud = 0

    async def talk(self) -> None:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._speak())
            await super().talk()
            sending.cancel()

    async def turn(self) -> None:
        self._loud = LOUD_FRAMES
        received = await self._answer()
        if received != SPEECH_MS:
            raise RuntimeError(f"{received} ms of {SPEECH_MS} ms arrived")
        await asyncio.sleep(SPEECH_MS / 1000 + QUIET_S)

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        loud, quiet = (base64.b64encode(pcm).decode() for pcm in (TONE_24, bytes(960)))
        while True:
            await self._send(type="input_audio_buffer.append", audio=loud if self._loud else quiet)
            self._loud = max(0, self._loud - 1)
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))


class Writer(_OverSocket):
    """Writes instead of talking, and hardly waits: what keeps the tools busy."""

    PAUSE_S = 0.1

    async def turn(self) -> None:
        content = [{"type": "input_text", "text": "And another one, please."}]
        await self._send(type="conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await self._send(type="response.create")
        await self._answer()
        await asyncio.sleep(self.PAUSE_S)
