"""HTTP servers that answer as a test tells them, on loopback, under any name the test's resolver gives them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from perhop.tools.guard import Address, Guard, OutgoingLimits, Reach

NAMES = frozenset({"one.example", "two.example"})
"""Names that may resolve to loopback."""


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class HttpServer:
    """Remembers every request and connection."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0

    def url(self, host: str = "one.example", path: str = "/", *, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@asynccontextmanager
async def http_server(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """Serves until the block ends."""
    server = HttpServer()
    open_connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        open_connections[writer] = asyncio.current_task()
        try:
            while head := await _head(reader):
                request, *lines = head.split("\r\n")
                method, target, _ = request.split(" ")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                seen = Seen(method, target, headers, body)
                server.seen.append(seen)
                await answer(seen, writer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in open_connections:
            writer.transport.abort()
        await asyncio.gather(*(task for task in open_connections.values() if task is not None))


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
    except asyncio.IncompleteReadError:
        return ""


def says(body: bytes = b"ok", *, status: str = "200 OK", headers: Sequence[str] = ()) -> Answer:
    """Always the same answer."""

    async def answer(_: Seen, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return answer


def redirects(location: Callable[[Seen], str], *, status: int = 302) -> Answer:
    """Sends ``/`` somewhere else and answers everything else."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target == "/":
            await says(b"", status=f"{status} Moved", headers=[f"Location: {location(seen)}"])(seen, writer)
        else:
            await says(b"arrived")(seen, writer)

    return answer


async def loopback(host: str, port: int) -> Sequence[Address]:
    """Every name is this machine; numbers are themselves."""
    try:
        return [ip_address(host)]
    except ValueError:
        return [ip_address("127.0.0.1")]


def guard(limits: OutgoingLimits | None = None, *, ssl_context: ssl.SSLContext | None = None) -> Guard:
    """A guard that may reach the names of the tests and nothing else on this machine."""
    context = ssl_context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return Guard(Reach.of(hosts=NAMES), limits=limits, resolve=loopback, ssl_context=context)
