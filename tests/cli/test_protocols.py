"""uvicorn's WebSocket with our bounds, on a transport without a network."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.api.raw_socket import CONT, PING, TEXT, frame
from tests.virtual_time import run_virtual
from uvicorn import Config
from uvicorn.server import ServerState

from perhop.cli.protocols import CONTROL_BURST, MAX_FRAGMENTS, BoundedWebSocket

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Transport:
    """Remembers what was written, and whether it may be read."""

    def __init__(self) -> None:
        self.written = b""
        self.paused = False
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name in ("sockname", "peername") else None


class Open:
    """A connection whose application reads when the test says so."""

    def __init__(self) -> None:
        self.may_read = asyncio.Semaphore(0)
        self.took: list[str] = []
        self.code: int | None = None
        config = Config(self.app, interface="asgi3", ws_ping_interval=None, log_config=None, lifespan="off")
        self.transport = Transport()
        self.protocol = BoundedWebSocket(config, ServerState(), {})
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await self.may_read.acquire()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.code = message["code"]
                return
            self.took.append(message["text"])

    async def read(self, count: int) -> None:
        """Lets the application take this many messages."""
        for _ in range(count):
            self.may_read.release()
        await asyncio.sleep(0.01)

    def say(self, data: bytes) -> None:
        self.protocol.data_received(data)


async def opened() -> Open:
    connection = Open()
    connection.say(HANDSHAKE)
    await asyncio.sleep(0.01)
    assert connection.transport.written.startswith(b"HTTP/1.1 101")
    connection.transport.written = b""
    return connection


def test_a_read_full_of_tiny_messages_is_parsed_only_as_fast_as_they_are_taken() -> None:
    async def main() -> None:
        connection = await opened()
        count = 20_000
        connection.say(b"".join(frame(TEXT, b"%05d" % n) for n in range(count)))
        most = connection.protocol.queue.qsize()
        assert 0 < most < 1_000
        assert connection.transport.paused
        for _ in range(count // 100):
            await connection.read(100)
            most = max(most, connection.protocol.queue.qsize())
        assert most < 1_000
        assert connection.took == [f"{n:05}" for n in range(count)]
        assert not connection.transport.paused

    run_virtual(main())


def test_bytes_that_come_while_others_are_held_keep_their_place() -> None:
    async def main() -> None:
        connection = await opened()
        data = b"".join(frame(TEXT, b"%05d" % n) for n in range(3_000))
        connection.say(data[:20_001])
        connection.say(data[20_001:])
        await connection.read(3_000)
        assert connection.took == [f"{n:05}" for n in range(3_000)]

    run_virtual(main())


def test_a_large_message_passes_however_it_is_cut() -> None:
    async def main() -> None:
        connection = await opened()
        large = frame(TEXT, b"a" * 1_000_000)
        for start in range(0, len(large), 65_536):
            connection.say(large[start : start + 65_536])
        await connection.read(1)
        assert connection.took == ["a" * 1_000_000]

    run_virtual(main())


def test_answers_to_pings_do_not_pile_up_for_one_that_does_not_read() -> None:
    async def main() -> None:
        connection = await opened()
        connection.protocol.pause_writing()
        connection.say(frame(PING, b"x" * 100) * 50)
        assert connection.transport.written == b""
        connection.protocol.resume_writing()
        connection.say(frame(PING, b"hello"))
        assert connection.transport.written == b"\x8a\x05hello"

    run_virtual(main())


def test_a_flood_of_pings_is_the_end() -> None:
    async def main() -> None:
        connection = await opened()
        connection.say(frame(PING) * CONTROL_BURST)
        assert not connection.transport.closed
        connection.say(frame(PING) * 10 + frame(TEXT, b"too late"))
        assert connection.transport.closed
        await connection.read(2)
        assert (connection.took, connection.code) == ([], 1008)

    run_virtual(main())


def test_pings_once_a_second_go_on_for_ever() -> None:
    async def main() -> None:
        connection = await opened()
        for _ in range(2 * CONTROL_BURST):
            connection.say(frame(PING))
            await asyncio.sleep(1)
        assert not connection.transport.closed

    run_virtual(main())


def test_fragments_are_counted_for_each_message() -> None:
    async def main() -> None:
        connection = await opened()
        most = frame(TEXT, b"a", fin=False) + frame(CONT, fin=False) * (MAX_FRAGMENTS - 2) + frame(CONT)
        connection.say(most)
        await connection.read(1)
        connection.say(most)
        await connection.read(1)
        assert connection.took == ["a", "a"]
        connection.say(frame(TEXT, b"a", fin=False) + frame(CONT, fin=False) * MAX_FRAGMENTS)
        await connection.read(1)
        assert connection.code == 1008

    run_virtual(main())


class Pinged(Open):
    """A connection that is pinged every three seconds."""

    interval = 3.0

    def __init__(self) -> None:
        super().__init__()
        self.protocol.ping_interval = self.protocol.ping_timeout = self.interval
        self.protocol.start_keepalive()


async def pinged() -> Pinged:
    connection = Pinged()
    connection.say(HANDSHAKE)
    await asyncio.sleep(0.01)
    return connection


def test_a_client_that_is_gone_without_a_word_is_noticed_within_three_pings() -> None:
    async def main() -> None:
        connection = await pinged()
        for _ in range(40):
            connection.say(frame(TEXT, bytes(1_000)))
            await connection.read(1)
            await asyncio.sleep(0.25)
        assert not connection.transport.closed
        await asyncio.sleep(3 * Pinged.interval)
        assert connection.transport.closed

    run_virtual(main())


def test_a_client_that_answers_no_ping_lives_as_long_as_it_sends() -> None:
    async def main() -> None:
        connection = await pinged()
        for number in range(60):
            connection.say(frame(TEXT, b"%01000d" % number))
            await connection.read(1)
            await asyncio.sleep(1)
        assert not connection.transport.closed
        assert len(connection.took) == 60

    run_virtual(main())


def test_what_is_not_read_here_is_not_held_against_the_client() -> None:
    async def main() -> None:
        connection = await pinged()
        connection.say(b"".join(frame(TEXT, b"%05d" % n) for n in range(3_000)))
        assert connection.transport.paused
        await asyncio.sleep(60)
        await connection.read(3_000)
        assert len(connection.took) == 3_000
        assert not connection.transport.closed

    run_virtual(main())
