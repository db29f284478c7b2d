"""The WebRTC edge: one UDP port, offers answered, every datagram brought to its caller."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from perhop.call.legs import EndReason
from perhop.config import WebRTCSettings
from perhop.edges.webrtc.addresses import choose_addresses
from perhop.edges.webrtc.deadlines import Deadlines
from perhop.edges.webrtc.leg import LegContext, WebRTCLeg
from perhop.edges.webrtc.pacer import Pacer
from perhop.edges.webrtc.udp import UdpPort, UdpSocket
from perhop.errors import LimitExceededError, PerhopError
from perhop.media.answer import Answer
from perhop.media.dtls import DtlsIdentity
from perhop.media.ice import Address, IceCredentials, IceLite, Path
from perhop.media.sdp import Offer, SdpError
from perhop.media.stun import StunError, StunMessage, is_stun
from perhop.realtime.ids import IdFactory, new_id

__all__ = ["EdgeCounters", "WebRTCEdge"]

_log = structlog.get_logger(__name__)

CLOSE_TIMEOUT = 1.5
"""s; a little more than a leg lingers."""

MAX_STREAM = 65534
"""The highest SCTP stream a data channel may have (RFC 8832 section 6)."""


@dataclass(slots=True)
class EdgeCounters:
    """Datagrams that belonged to nobody, since the start.

    Attributes:
        malformed: neither STUN nor DTLS nor RTP, or STUN that does not parse.
        unknown_user: checks for a ufrag that is not (any more) one of ours.
        unknown_address: DTLS or media from where no check came.
    """

    malformed: int = 0
    unknown_user: int = 0
    unknown_address: int = 0


class WebRTCEdge:
    """All WebRTC callers of a process.

    A datagram is STUN, DTLS or media by its first byte (RFC 7983). A check is brought to its peer by the ufrag in it,
    and teaches the edge that peer's address; all else goes by address. What belongs to nobody is counted and dropped.

    Use :meth:`open`; the constructor takes what that has prepared.

    Attributes:
        counters: what was dropped before it had a peer.
        addresses: told to callers, the preferred one first.
        port: UDP.
    """

    def __init__(
        self,
        port: UdpPort,
        settings: WebRTCSettings,
        *,
        announce: tuple[str, ...],
        loop: asyncio.AbstractEventLoop,
        new_id: IdFactory = new_id,
    ) -> None:
        self.counters = EdgeCounters()
        self.addresses = announce
        self.port = port.port
        self._udp = port
        self._settings = settings
        self._time: Callable[[], float] = loop.time
        self._gone = asyncio.Event()
        self._users: dict[str, WebRTCLeg] = {}
        self._context = LegContext(
            loop=loop,
            pacer=Pacer(loop),
            deadlines=Deadlines(loop),
            identity=DtlsIdentity(),
            sockets=port.sockets,
            new_id=new_id,
            wall=time.time() - loop.time(),
            forget=self._forget,
        )
        port.start(loop, self._receive)

    @classmethod
    async def open(cls, settings: WebRTCSettings) -> WebRTCEdge:
        """Binds the port and starts to serve it.

        Raises:
            BindError: the port is taken, or an address is not ours.
            AddressError: a setting names no usable address.
        """
        chosen = choose_addresses(settings.host, settings.announce, ipv6=settings.ipv6)
        port = UdpPort.open(chosen.bind, settings.port)
        bound = tuple(each.host for each in port.sockets)
        announce = chosen.announce
        if not settings.announce:
            announce = tuple(host for host in announce if host in bound) or bound
        _log.info("webrtc edge open", port=port.port, bound=bound, announced=announce)
        return cls(port, settings, announce=announce, loop=asyncio.get_running_loop())

    @property
    def legs(self) -> list[WebRTCLeg]:
        """Every caller that was answered and is not gone, oldest first."""
        return list(self._users.values())

    @property
    def unsent(self) -> int:
        """Datagrams the kernel did not take, most of them because its buffer was full."""
        return sum(bound.dropped + bound.failed for bound in self._udp.sockets)

    def answer(self, offer_sdp: str, *, dcid: int | None = None) -> WebRTCLeg:
        """Answers an offer; the leg waits for its first check.

        Args:
            dcid: stream of a data channel that both sides open without a handshake; None for the usual kind.

        Raises:
            SdpError: the offer, or ``dcid``, cannot be used.
            LimitExceededError: ``max_peers`` are here already.
        """
        if len(self._users) >= self._settings.max_peers:
            raise LimitExceededError(f"all {self._settings.max_peers} WebRTC peers of this server are taken")
        if dcid is not None and not 0 <= dcid <= MAX_STREAM:
            raise SdpError(f"dcid is the number of a data channel, 0 to {MAX_STREAM}, not {dcid}")
        offer = Offer.parse(offer_sdp)
        credentials = IceCredentials.generate()
        answer = Answer(
            ice=credentials,
            fingerprint=self._context.identity.fingerprint,
            addresses=self.addresses,
            port=self.port,
            session_id=secrets.randbits(62),
            ssrc=secrets.randbits(32),
            cname=secrets.token_urlsafe(12),
        )
        ice = IceLite(
            credentials,
            offer.ice,
            now=self._time(),
            connect_timeout=self._settings.connect_timeout_s,
            lost_timeout=self._settings.lost_timeout_s,
        )
        leg = WebRTCLeg(offer, answer, ice=ice, dcid=dcid, context=self._context)
        self._users[credentials.ufrag] = leg
        return leg

    async def close(self) -> None:
        """Ends every caller and closes the port, once the last words have arrived or had their time."""
        for leg in self.legs:
            leg.close(EndReason.SHUTDOWN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                while self._users:
                    self._gone.clear()
                    await self._gone.wait()
        self._context.pacer.close()
        self._context.deadlines.close()
        self._udp.close(self._context.loop)

    def _receive(self, data: bytes, address: Address, socket: UdpSocket) -> None:
        """The hot path: every datagram of every caller."""
        now = self._time()
        first = data[0] if data else 255
        try:
            if 127 < first < 192:
                peer = socket.peers.get(address)
                if peer is not None:
                    peer.on_media(data, now)
                else:
                    self.counters.unknown_address += 1
            elif first < 4:
                self._receive_stun(data, Path(socket.index, address), now)
            elif 19 < first < 64:
                peer = socket.peers.get(address)
                if peer is not None:
                    peer.on_dtls(data, now)
                else:
                    self.counters.unknown_address += 1
            else:
                self.counters.malformed += 1
        except PerhopError as error:
            peer = socket.peers.get(address)
            if peer is not None:
                peer.fail(str(error))

    def _receive_stun(self, data: bytes, path: Path, now: float) -> None:
        if not is_stun(data):
            self.counters.malformed += 1
            return
        try:
            message = StunMessage.parse(data)
        except StunError:
            self.counters.malformed += 1
            return
        if message.is_binding_request:
            names = message.username
            leg = self._users.get(names[0]) if names is not None else None
            if leg is None:
                self.counters.unknown_user += 1
            else:
                leg.peer.on_stun(message, path, now)
            return
        peer = self._udp.sockets[path.local].peers.get(path.address)
        if peer is not None:
            peer.on_stun(message, path, now)

    def _forget(self, leg: WebRTCLeg) -> None:
        self._users.pop(leg.peer.ice.local.ufrag, None)
        self._gone.set()
