"""An HTTP transport that connects only to addresses it has checked, and reads only as much as it was told to.

The host's name is resolved once, every address is checked, and the connection is opened to one of those that passed,
so a name that resolves differently a moment later (DNS rebinding) changes nothing. TLS still verifies the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import httpcore2
import httpx2

from perhop.tools.guard.addresses import Address, Reach
from perhop.tools.guard.errors import (
    OutgoingTimeoutError,
    RefusedAddressError,
    RefusedUrlError,
    ResponseRefusedError,
    ResponseTooLargeError,
)

__all__ = ["GuardedTransport", "OutgoingLimits", "Resolve", "check_url", "resolve"]

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""(host, port) → its addresses in order of preference. Raises OSError when there is no such host."""

_MAX_ADDRESSES = 4
"""Addresses of one host that a connection is tried to."""

_ERRORS: dict[type[Exception], type[httpx2.TransportError]] = {
    getattr(httpcore2, name): getattr(httpx2, name)
    for name in (
        "ConnectError",
        "ConnectTimeout",
        "LocalProtocolError",
        "PoolTimeout",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "UnsupportedProtocol",
        "WriteError",
        "WriteTimeout",
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingLimits:
    """Bounds of one request.

    Attributes:
        connect_s: name resolution and connection, TLS included.
        read_s: silence between two pieces of an answer.
        total_s: from the request to the end of the answer, redirects included; None for streams that stay open.
        max_bytes: the body of one answer.
        max_redirects: redirects followed by :meth:`~perhop.tools.guard.client.Guard.request`.
        max_connections: open at once.
    """

    connect_s: float = 5.0
    read_s: float = 30.0
    total_s: float | None = 60.0
    max_bytes: int = 8 * 1024 * 1024
    max_redirects: int = 3
    max_connections: int = 100


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Asks the system's resolver.

    Raises:
        OSError: there is no such host.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found if isinstance(sockaddr[0], str)))


def check_url(url: httpx2.URL) -> None:
    """Refuses a URL by its form.

    Raises:
        RefusedUrlError: it is not http(s), has no host or holds credentials.
    """
    if url.scheme not in ("http", "https"):
        raise RefusedUrlError(f"Only http and https addresses can be asked, not {url.scheme or 'relative'!r} ones.")
    if not url.host:
        raise RefusedUrlError("The address names no host.")
    if url.userinfo:
        raise RefusedUrlError(f"The address of {url.host} holds credentials; they belong into a header.")


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Carries requests of any ``httpx2.AsyncClient``; environment, proxies and cookies play no part in it.

    Errors of our own are :class:`~perhop.tools.guard.errors.OutgoingError`, those of the network ``httpx2``'s.

    Args:
        reach: what may be connected to.
        resolve: looks names up; tests inject their own.
        ssl_context: for https; costs tens of milliseconds to make, so share it.
    """

    def __init__(
        self,
        reach: Reach,
        *,
        limits: OutgoingLimits,
        resolve: Resolve = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=limits.max_connections,
            keepalive_expiry=15.0,
            network_backend=_CheckedNetwork(reach, resolve, limits.connect_s),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends one request; its answer is bounded in time and size while it is read.

        Raises:
            OutgoingError: it is refused, or no answer begins in time.
            httpx2.TransportError: the network failed.
        """
        check_url(request.url)
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        deadline = None if self._limits.total_s is None else _now() + self._limits.total_s
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _httpx_errors():
            async with _until(deadline, request.url.host):
                answer = await self._pool.handle_async_request(sent)
        headers = httpx2.Headers(answer.headers)
        assert isinstance(answer.stream, AsyncIterable)
        body = _BoundedBody(answer.stream, request.url.host, limit=self._limits.max_bytes, deadline=deadline)
        try:
            self._check_answer(request, headers)
        except ResponseRefusedError:
            await body.aclose()
            raise
        return httpx2.Response(status_code=answer.status, headers=headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()

    @staticmethod
    def _check_answer(request: httpx2.Request, headers: httpx2.Headers) -> None:
        """A compressed body could be a thousand times longer than what the limit sees; nobody asked for one."""
        if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise ResponseRefusedError(f"{request.url.host} sent a compressed answer that was not asked for.")


class _CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections to checked addresses only."""

    def __init__(self, reach: Reach, resolve: Resolve, connect_s: float) -> None:
        self._reach = reach
        self._resolve = resolve
        self._connect_s = connect_s
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        limit = self._connect_s if timeout is None else min(timeout, self._connect_s)
        deadline = _now() + limit
        addresses = await self._checked(host, port, limit)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = max(0.001, (deadline - _now()) / left)
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout=share, local_address=local_address, socket_options=socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
        raise AssertionError("a checked host has at least one address")

    async def _checked(self, host: str, port: int, limit_s: float) -> Sequence[Address]:
        try:
            async with asyncio.timeout(limit_s):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"the name {host} was not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError(f"the name {host} is not known") from None
        allowed = [address for address in found if self._reach.allows(host, address)]
        if not allowed:
            raise RefusedAddressError(
                f"{host} has no public address. To reach private ones, list the host in outgoing.hosts or its "
                "network in outgoing.networks."
            )
        return allowed[:_MAX_ADDRESSES]

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the interface's
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        raise RefusedAddressError("Unix sockets are not reached.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _BoundedBody(httpx2.AsyncByteStream):
    """A body that ends in an error when it is too long or takes too long."""

    def __init__(self, stream: AsyncIterable[bytes], host: str, *, limit: int, deadline: float | None) -> None:
        self._stream = stream
        self._host = host
        self._limit = limit
        self._deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        pieces = aiter(self._stream)
        while True:
            with _httpx_errors():
                async with _until(self._deadline, self._host):
                    try:
                        piece = await anext(pieces)
                    except StopAsyncIteration:
                        return
            left -= len(piece)
            if left < 0:
                raise ResponseTooLargeError(f"{self._host} sent more than the {self._limit} bytes that are accepted.")
            yield piece

    async def aclose(self) -> None:
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def _until(deadline: float | None, host: str) -> AsyncIterator[None]:
    """Gives the block until this moment of the loop's clock."""
    try:
        async with asyncio.timeout_at(deadline) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise OutgoingTimeoutError(f"{host} did not answer completely in time.") from None


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """What ``httpcore2`` raises, as ``httpx2`` calls it."""
    try:
        yield
    except tuple(_ERRORS) as error:
        raise _ERRORS[type(error)](str(error)) from error
