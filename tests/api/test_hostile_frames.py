"""Frames that no honest client sends, over a bare TCP connection: each ends its own connection and nothing else."""

from __future__ import annotations

import asyncio
import json
import struct
import time

import pytest
from tests.api.conftest import Serve
from tests.api.helpers import World, build_world
from tests.api.raw_socket import BINARY, CLOSE, CONT, PING, TEXT, RawSocket, frame, raw_socket

from perhop.call.call import Call
from perhop.cli import protocols
from perhop.cli.server import PerhopServer
from perhop.config import LimitSettings, Settings

GREETING = b'{"type":"input_audio_buffer.clear"}'


def port(server: PerhopServer) -> int:
    return int(server.url.rpartition(":")[2])


async def only_call(world: World) -> Call:
    (call,) = world.services.calls.live()
    return call


async def ended(call: Call) -> str:
    """Why the call ended, once it has."""
    async with asyncio.timeout(5):
        while call.ended is None:  # noqa: ASYNC110 - the server's own loop, on the other end of a socket
            await asyncio.sleep(0)
    return call.ended.value


async def outcome(serve: Serve, *data: bytes, settings: Settings | None = None) -> tuple[int | None, str]:
    """What becomes of a connection that sends this: the server's close code, and why its call ended.

    A second connection lives through it all.
    """
    world = build_world(settings)
    server = await serve(world)
    async with raw_socket(port(server)) as other, raw_socket(port(server)) as hostile:
        await other.event("session.created")
        await hostile.event("session.created")
        _, call = world.services.calls.live()
        for piece in data:
            await hostile.write(piece)
        code = await hostile.closed()
        reason = await ended(call)
        await other.write(frame(TEXT, GREETING))
        await other.event("input_audio_buffer.cleared")
        assert len(world.services.calls.live()) == 1
    return code, reason


BROKEN = {
    "text that is not UTF-8": (frame(TEXT, b'{"type":"\xff\xfe"}'), 1007),
    "a mask other than the announced one": (frame(TEXT, GREETING, scramble=True), 1007),
    "no mask": (frame(TEXT, GREETING, masked=False), 1002),
    "reserved bits": (frame(TEXT, GREETING, rsv=0b100), 1002),
    "an opcode that is not defined": (frame(0x3, GREETING), 1002),
    "a control opcode that is not defined": (frame(0xB), 1002),
    "a control frame that is too long": (frame(PING, bytes(126)), 1002),
    "a control frame in pieces": (frame(PING, b"", fin=False), 1002),
    "a continuation of nothing": (frame(CONT, GREETING), 1002),
    "a message inside another": (frame(TEXT, b"{", fin=False) + frame(TEXT, GREETING), 1002),
    "a close code that must not be sent": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "a close code out of range": (frame(CLOSE, struct.pack("!H", 99)), 1002),
    "a close frame with half a code": (frame(CLOSE, b"\x03"), 1002),
    "a close reason that is not UTF-8": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    "a length far over the limit": (struct.pack("!BBQ", 0x81, 0xFF, 1 << 40), 1009),
    "a length beyond the format": (struct.pack("!BBQ", 0x81, 0xFF, 1 << 63), 1009),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_breaks_the_protocol_ends_its_connection(serve: Serve, data: bytes, code: int) -> None:
    assert await outcome(serve, data) == (code, "caller_abuse")


async def test_a_message_over_the_limit_ends_it_whatever_its_frames(serve: Serve) -> None:
    settings = Settings(limits=LimitSettings(max_message_bytes=65_536))
    piece = bytes(65_536)
    first, more = frame(BINARY, piece, fin=False), frame(CONT, piece, fin=False)
    assert await outcome(serve, first, *[more] * 20, settings=settings) == (1009, "caller_abuse")


@pytest.mark.parametrize("piece", [b"", b"x"], ids=["empty", "tiny"])
async def test_a_message_that_never_ends_is_not_waited_for(serve: Serve, piece: bytes) -> None:
    more = frame(CONT, piece, fin=False) * 1000
    assert await outcome(serve, frame(TEXT, b"{", fin=False), *[more] * 20) == (1008, "caller_abuse")


async def test_a_message_may_come_in_many_pieces(serve: Serve) -> None:
    server = await serve(build_world())
    async with raw_socket(port(server)) as client:
        await client.event("session.created")
        await client.write(frame(TEXT, GREETING[:1], fin=False))
        await client.write(b"".join(frame(CONT, bytes([byte]), fin=False) for byte in GREETING[1:]))
        await client.write(frame(PING, b"between") + frame(CONT))
        await client.event("input_audio_buffer.cleared")


async def test_a_flood_of_pings_ends_it(serve: Serve) -> None:
    assert await outcome(serve, *[frame(PING, b"are you there?") * 1000] * 5) == (1008, "caller_abuse")


async def test_a_client_that_stops_in_the_middle_of_a_frame_is_not_kept(serve: Serve) -> None:
    """Slow loris: the frame is announced, and one byte of it comes now and then, but no answer to any ping."""
    world = build_world(Settings(limits=LimitSettings(ping_s=0.2, resume_window_s=0)))
    server = await serve(world)
    async with raw_socket(port(server)) as client:
        await client.event("session.created")
        call = await only_call(world)
        await client.write(frame(TEXT, bytes(1000))[:100])
        trickle = asyncio.create_task(_trickle(client))
        assert await client.closed() == 1011
        trickle.cancel()
        assert await ended(call) == "caller_lost"


async def _trickle(client: RawSocket) -> None:
    while True:
        await client.write(b"x")
        await asyncio.sleep(0.02)


async def test_a_client_that_reads_nothing_is_closed_at_the_limit_of_its_queue(serve: Serve) -> None:
    world = build_world(Settings(limits=LimitSettings(send_queue_bytes=1 << 20, resume_window_s=0)))
    server = await serve(world)
    audio = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 400_000}).encode()
    async with raw_socket(port(server), "/v1/realtime?agent=echo") as client:
        call = await only_call(world)
        for _ in range(60):
            await client.write(frame(TEXT, audio))
            if call.ended is not None:
                break
        assert await ended(call) == "caller_lost"


async def test_every_message_of_a_burst_is_answered(serve: Serve) -> None:
    """A single read of the socket holds thousands of them."""
    server = await serve(build_world())
    async with raw_socket(port(server)) as client:
        await client.event("session.created")
        await client.write(frame(TEXT, b"{}") * 3_000)
        for _ in range(3_000):
            assert (await client.event("error"))["error"]["code"] == "invalid_event"


class TestHandshake:
    """Before there is a WebSocket."""

    async def test_a_request_that_never_ends_is_not_waited_for(self, serve: Serve) -> None:
        server = await serve(build_world(Settings(limits=LimitSettings(request_s=0.3))))
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        began = time.monotonic()
        writer.write(b"GET /v1/realtime HTTP/1.1\r\n")
        async with asyncio.timeout(5):
            while not reader.at_eof():
                writer.write(b"X-Slow: loris\r\n")
                await asyncio.sleep(0.02)
                if await _hung_up(reader):
                    break
        assert 0.2 < time.monotonic() - began < 3
        writer.close()

    async def test_a_body_that_never_ends_is_not_waited_for(self, serve: Serve) -> None:
        server = await serve(build_world(Settings(limits=LimitSettings(request_s=0.3))))
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        head = f"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: 127.0.0.1:{port(server)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()

    async def test_a_head_that_never_ends_is_not_kept(self, serve: Serve) -> None:
        server = await serve(build_world())
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        writer.write(b"GET /v1/realtime HTTP/1.1\r\nX-Long: " + b"x" * (protocols.MAX_HEAD_BYTES + 1))
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()

    async def test_a_connection_that_says_nothing_is_not_kept(self, serve: Serve) -> None:
        server = await serve(build_world(Settings(limits=LimitSettings(request_s=0.2))))
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()

    async def test_a_second_request_of_a_connection_has_its_own_time(self, serve: Serve) -> None:
        server = await serve(build_world(Settings(limits=LimitSettings(request_s=0.4))))
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        for _ in range(3):
            writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port(server)}\r\n\r\n".encode())
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                assert json.loads(await reader.readuntil(b"}"))
            await asyncio.sleep(0.25)
        writer.close()


async def _hung_up(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.001):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
