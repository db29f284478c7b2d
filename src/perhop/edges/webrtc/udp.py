"""The UDP sockets behind one port number: one per local address, so that replies leave from where they were sought."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from perhop.errors import PerhopError
from perhop.media.ice import Address

if TYPE_CHECKING:
    from perhop.edges.webrtc.peer import Peer

__all__ = ["BindError", "UdpPort", "UdpSocket"]

MAX_DATAGRAM = 2048
SLICE = 0.002
"""s of datagrams taken per wake-up; then others have their turn."""

BUFFER_BYTES = 4 << 20
"""Asked of the kernel for both directions of each socket: half a second of 150 callers. Root gets it on Linux; others
get what ``net.core.rmem_max`` and ``wmem_max`` allow, commonly a twentieth."""

FORCED = {socket.SO_RCVBUF: 33, socket.SO_SNDBUF: 32} if sys.platform == "linux" else {}
"""SO_RCVBUFFORCE and SO_SNDBUFFORCE, which the socket module does not name."""

PORT_ATTEMPTS = 16

Handler = Callable[[bytes, Address, "UdpSocket"], None]


class BindError(PerhopError):
    """The UDP port cannot be opened."""


class UdpSocket:
    """One bound, non-blocking socket.

    Attributes:
        index: its place in the port.
        host: the address it is bound to.
        peers: who is known to send from which address.
        dropped: datagrams not sent because the kernel's buffer was full.
        failed: datagrams the kernel refused for another reason, and failed reads.
    """

    __slots__ = ("_handler", "_sendto", "_socket", "dropped", "failed", "host", "index", "peers")

    def __init__(self, bound: socket.socket, *, index: int) -> None:
        self._socket = bound
        self._sendto = bound.sendto
        self._handler: Handler | None = None
        self.index = index
        self.host: str = bound.getsockname()[0]
        self.peers: dict[Address, Peer] = {}
        self.dropped = 0
        self.failed = 0

    def send(self, data: bytes, address: Address) -> None:
        """Sends at once or not at all; a network that cannot take a datagram loses it, as networks do."""
        try:
            self._sendto(data, address)
        except BlockingIOError:
            self.dropped += 1
        except OSError:
            self.failed += 1

    def start(self, loop: asyncio.AbstractEventLoop, handler: Handler) -> None:
        """Calls ``handler(data, address, self)`` for every datagram from now on; it must not raise."""
        self._handler = handler
        loop.add_reader(self._socket.fileno(), self._readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        handler = self._handler
        receive = self._socket.recvfrom
        if handler is None:
            return
        until = monotonic() + SLICE
        while monotonic() < until:
            try:
                data, address = receive(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error of an earlier datagram; the next read goes on.
                self.failed += 1
                continue
            handler(data, address, self)


class UdpPort:
    """All sockets of one port number.

    Attributes:
        port: the number.
        sockets: at least one.
    """

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = [UdpSocket(bound, index=index) for index, bound in enumerate(sockets)]
        self.port: int = sockets[0].getsockname()[1]

    @classmethod
    def open(cls, hosts: Sequence[str], port: int) -> UdpPort:
        """Binds every address to the same port number; 0 finds one that is free at all of them.

        Addresses that are not there (any more, or not yet: IPv6 takes a second to settle) are left out.

        Raises:
            BindError: the port is taken at an address, or no address is there.
        """
        for _ in range(PORT_ATTEMPTS):
            try:
                return cls(_bind_all(hosts, port))
            except OSError as error:
                if port or error.errno != errno.EADDRINUSE:
                    raise BindError(
                        f"cannot open UDP port {port} at {', '.join(hosts)}: {error.strerror}; "
                        "choose another webrtc.host or webrtc.port"
                    ) from None
        raise BindError(f"found no UDP port that is free at all of {', '.join(hosts)}")

    def start(self, loop: asyncio.AbstractEventLoop, handler: Handler) -> None:
        """Reads every socket in this event loop."""
        for bound in self.sockets:
            bound.start(loop, handler)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Closes every socket; datagrams that still wait are lost."""
        for bound in self.sockets:
            bound.close(loop)


def _bind_all(hosts: Sequence[str], port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as undo:
        sockets: list[socket.socket] = []
        missing: OSError | None = None
        for host in hosts:
            try:
                bound = _bind(host, port)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                missing = error
                continue
            undo.callback(bound.close)
            sockets.append(bound)
            port = bound.getsockname()[1]
        if missing is not None and not sockets:
            raise missing
        undo.pop_all()
    return sockets


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            try:
                bound.setsockopt(socket.SOL_SOCKET, FORCED.get(option, option), BUFFER_BYTES)
            except PermissionError:
                bound.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
