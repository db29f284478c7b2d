"""A WebSocket client that does what no library lets one do: it writes whatever bytes the test wants."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BINARY", "CLOSE", "CONT", "PING", "TEXT", "RawSocket", "frame", "raw_socket"]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_MASK = b"\x12\x34\x56\x78"


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True, scramble: bool = False
) -> bytes:
    """One frame of RFC 6455, section 5.2.

    Args:
        rsv: the three reserved bits.
        masked: whether the mask bit is set, and the payload masked.
        scramble: announce a mask that the payload was not masked with.
    """
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    repeated = (_MASK * (size // 4 + 1))[:size]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big") if size else 0
    return head + (b"\xa5\xa5\xa5\xa5" if scramble else _MASK) + body.to_bytes(size, "big")


@dataclass
class RawSocket:
    """The client's end of a TCP connection that was upgraded."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    events: list[dict[str, Any]] = field(default_factory=list)

    async def write(self, data: bytes) -> None:
        """Sends these bytes; a server that hung up does not matter here."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            return

    async def say(self, **event: Any) -> None:
        """Sends a proper event."""
        await self.write(frame(TEXT, json.dumps(event).encode()))

    async def read(self) -> tuple[int, bytes]:
        """The next frame of the server: opcode and payload.

        Raises:
            IncompleteReadError, ConnectionError: the server hung up.
        """
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0xF, await self.reader.readexactly(size)

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of this type."""
        async with asyncio.timeout(5):
            while True:
                opcode, payload = await self.read()
                if opcode == TEXT and (found := json.loads(payload))["type"] == kind:
                    return dict(found)

    async def closed(self) -> int | None:
        """Reads to the end; returns the code of the server's close frame, None when it hung up without one."""
        code = None
        async with asyncio.timeout(5):
            while True:
                try:
                    opcode, payload = await self.read()
                except (asyncio.IncompleteReadError, ConnectionError):
                    return code
                if opcode == CLOSE:
                    code = struct.unpack("!H", payload[:2])[0] if payload else 1005


@asynccontextmanager
async def raw_socket(port: int, path: str = "/v1/realtime") -> AsyncIterator[RawSocket]:
    """Connects and upgrades."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(bytes(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    try:
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()
