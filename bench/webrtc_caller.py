"""A WebRTC caller over a real UDP socket, small enough for hundreds: ICE, DTLS, SRTP; no data channel."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import Self

import httpx
from bench.webrtc_client import OPUS, LightPeer

from perhop.media.opus import OpusEncoder
from perhop.media.rtcp import Goodbye, parse_compound
from perhop.media.rtp import pack_packet

__all__ = ["LightCaller"]

SILENCE = bytes(1920)
"""20 ms at 48 kHz, mono s16le."""

_TICK_S = 0.005

_STAMPS = 35
"""``SO_TIMESTAMPNS`` of Linux, which Python has no name for."""


class LightCaller:
    """One caller; use as an async context manager, then :meth:`call`.

    Args:
        hear: takes each RTP packet, and when it came: unix time, s, by the kernel, so that it does not matter when this
            process gets round to it. Without, packets gather in ``peer.received``.
    """

    def __init__(self, hear: Callable[[bytes, float], None] | None = None) -> None:
        self._hear = hear
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _STAMPS, 1)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self.peer = LightPeer(host="127.0.0.1", port=self._socket.getsockname()[1])
        self.call_id = ""
        self.secret = ""
        self._sequence = 0
        self._task: asyncio.Task[None] | None = None
        self._encoder = OpusEncoder(48_000)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._encoder.close()

    async def call(self, client: httpx.AsyncClient, agent: str = "echo") -> LightCaller:
        """Calls this agent and waits until media can flow."""
        return await self._enter(client, f"/v1/realtime/calls?agent={agent}", {})

    async def come_back(self, client: httpx.AsyncClient, lost: LightCaller) -> LightCaller:
        """Goes on with the call of another one, who was lost."""
        headers = {"Authorization": f"Bearer {lost.secret}"}
        return await self._enter(client, f"/api/calls/{lost.call_id}/resume", headers)

    def vanish(self) -> None:
        """Neither sends nor hears anything any more."""
        if self._task is not None:
            self._task.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)

    async def _enter(self, client: httpx.AsyncClient, address: str, headers: dict[str, str]) -> LightCaller:
        headers = {"Content-Type": "application/sdp", **headers}
        answer = await client.post(address, content=self.peer.offer, headers=headers)
        answer.raise_for_status()
        self.secret = answer.headers.get("perhop-resume", "")
        self.call_id = answer.headers["location"].rsplit("/", 1)[1]
        self.peer.accept(answer.text)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._read)
        self._task = loop.create_task(self._tick())
        async with asyncio.timeout(10):
            while not self.peer.connected:
                await asyncio.sleep(_TICK_S)
        return self

    async def talk(self, frames: int, pcm: bytes = SILENCE) -> None:
        """Sends this frame (20 ms at 48 kHz, mono s16le) so many times, 20 ms apart.

        Raises:
            ConnectionError: the other side ended the call.
        """
        due = asyncio.get_running_loop().time()
        for _ in range(frames):
            if not self.peer.connected:
                raise ConnectionResetError("the call is over")
            self._sequence += 1
            packet = pack_packet(
                OPUS,
                self._sequence,
                timestamp=self._sequence * 960,
                ssrc=1,
                payload=self._encoder.encode(pcm),
            )
            self._send(self.peer.protect(packet))
            due += 0.02
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))

    async def heard(self) -> None:
        """Returns once the agent's audio came."""
        async with asyncio.timeout(10):
            while not self.peer.received:
                await asyncio.sleep(_TICK_S)

    def hang_up(self) -> None:
        """Closes DTLS, as a browser does."""
        assert self.peer.dtls is not None
        self.peer.dtls.close()
        for datagram in self.peer.dtls.outgoing():
            self._send(datagram)

    def goodbye(self) -> str | None:
        """The reason of the BYE, once it came."""
        for report in self.peer.reports:
            for part in parse_compound(report):
                if isinstance(part, Goodbye):
                    return part.reason.decode()
        return None

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.peer.tick(loop.time())
            self._flush()
            await asyncio.sleep(_TICK_S)

    def _read(self) -> None:
        while True:
            try:
                datagram, notes, _, source = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                break
            self.peer.receive(datagram, source, asyncio.get_running_loop().time())
            if self._hear is not None and self.peer.received:
                came = _stamp(notes)
                for packet in self.peer.received:
                    self._hear(packet, came)
                self.peer.received.clear()
        self._flush()

    def _flush(self) -> None:
        for datagram in self.peer.outgoing():
            self._send(datagram)

    def _send(self, datagram: bytes) -> None:
        self._socket.sendto(datagram, self.peer.target)


def _stamp(notes: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in notes:
        if (level, kind) == (socket.SOL_SOCKET, _STAMPS):
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            return float(seconds + nanoseconds / 1e9)
    return time.time()
