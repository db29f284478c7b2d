"""The transport of one caller: ICE, DTLS, SRTP and SCTP on a shared UDP port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from perhop.call.legs import EndReason
from perhop.edges.rate import TokenBucket
from perhop.edges.webrtc.deadlines import NEVER
from perhop.edges.webrtc.sctp import Channel, SctpAssociation, SctpError
from perhop.edges.webrtc.udp import UdpSocket
from perhop.media.dtls import DtlsError, DtlsSession, DtlsState
from perhop.media.ice import IceLite, IceState, Path
from perhop.media.srtp import SrtpError, SrtpReplayError, SrtpSession
from perhop.media.stun import StunMessage

__all__ = ["DataOffer", "Peer", "PeerCounters", "PeerOwner"]

_log = structlog.get_logger(__name__)

DATAGRAMS_PER_S = 1000.0
DATAGRAM_BURST = 2000.0
"""What one peer may send; speech needs 50 a second, a message of 256 KiB 230 at once. The rest is dropped unread."""

CHECKS_PER_S = 50.0
CHECK_BURST = 200.0
FLOOD_DATAGRAMS = 20_000
"""Datagrams dropped until the peer is taken for an attacker."""

HANDSHAKE_TIMEOUT = 15.0
"""s from the first check to the end of the DTLS handshake."""

HOLDS_PATH_S = 0.5
"""s after authentic media in which a peer's address is nobody else's; whoever talks sends 50 packets a second."""

MAX_SRTP = 1500


@dataclass(frozen=True, slots=True)
class DataOffer:
    """What the peer offered for data channels; ``agreed`` is the stream of a channel that needs no opening."""

    port: int
    max_message_size: int
    agreed: int | None = None
    label: str = ""


@dataclass(slots=True)
class PeerCounters:
    """What was dropped, by reason."""

    bad_checks: int = 0
    replayed: int = 0
    unauthentic: int = 0
    flooding: int = 0


class PeerOwner(Protocol):
    """Who uses a peer's transport. None of these may raise."""

    def on_peer_progress(self) -> None:
        """:meth:`Peer.next_deadline` may have changed."""

    def on_peer_connected(self, now: float) -> None:
        """DTLS is up: media and, soon, data channels work."""

    def on_peer_rtp(self, packet: bytes, now: float) -> None:
        """An RTP packet, decrypted and never seen before."""

    def on_peer_rtcp(self, packet: bytes, now: float) -> None:
        """An RTCP compound, decrypted."""

    def on_peer_channel(self, channel: Channel) -> None:
        """A data channel is open."""

    def on_peer_message(self, channel: Channel, message: bytes, now: float) -> None:
        """A data channel message."""

    def on_peer_channel_closed(self, channel: Channel) -> None:
        """A data channel is gone."""

    def on_peer_lost(self, reason: EndReason, detail: str) -> None:
        """The transport is over; called once, and not after :meth:`Peer.close`. ``detail`` is for the log."""


class Peer:
    """One caller's transport. Everything it is given was routed to it already.

    Whatever goes wrong with one peer ends or drops that peer's packets and nobody else's.

    Args:
        sockets: of the port, by the index in :class:`~perhop.media.ice.Path`.
        is_client: our DTLS role.
        needs_srtp: the call has audio, so SRTP must come out of the handshake.
        clock: the loop's time, for what arrives without one.
    """

    def __init__(
        self,
        ice: IceLite,
        dtls: DtlsSession,
        *,
        sockets: Sequence[UdpSocket],
        owner: PeerOwner,
        data: DataOffer | None,
        is_client: bool,
        needs_srtp: bool,
        clock: Callable[[], float],
    ) -> None:
        self.ice = ice
        self.counters = PeerCounters()
        self._dtls = dtls
        self._sockets = sockets
        self._owner = owner
        self._data = data
        self._is_client = is_client
        self._needs_srtp = needs_srtp
        self._clock = clock
        now = clock()
        self._budget = TokenBucket(DATAGRAMS_PER_S, DATAGRAM_BURST, now=now)
        self._check_budget = TokenBucket(CHECKS_PER_S, CHECK_BURST, now=now)
        self._path: Path | None = None
        self._socket = sockets[0]
        self._srtp: SrtpSession | None = None
        self._sctp: SctpAssociation | None = None
        self._media_at = -NEVER
        self._dtls_at = NEVER
        self._handshake_by = NEVER
        self._is_over = False

    @property
    def is_connected(self) -> bool:
        """Whether the handshake is done and the transport not over."""
        return self._dtls.state is DtlsState.CONNECTED and not self._is_over

    def is_heard_from(self, path: Path, now: float) -> bool:
        """Whether this peer sends media by that path now, so that nobody else can be at its other end."""
        return not self._is_over and path == self._path and now - self._media_at < HOLDS_PATH_S

    # -- from the edge ------------------------------------------------------------------------------------------------

    def on_stun(self, message: StunMessage, path: Path, now: float) -> None:
        """A connectivity check that names this peer, or an answer to one of ours."""
        if self._is_over:
            return
        if not self._check_budget.take(1, now=now):
            self._count_flood()
            return
        reply = self.ice.receive(message, path, now=now)
        socket = self._sockets[path.local]
        if reply.datagram is not None:
            socket.send(reply.datagram, path.address)
        if reply.removed is not None:
            self._forget(reply.removed)
        if reply.checked is not None:
            # With every check, so that whoever was driven out (addresses can be forged) gets its own address back.
            holder = socket.peers.get(path.address)
            if holder is None or not holder.is_heard_from(path, now):
                socket.peers[path.address] = self
        if self.ice.selected is not None and self.ice.selected != self._path:
            self._follow(self.ice.selected, now)
        self._owner.on_peer_progress()

    def on_dtls(self, data: bytes, now: float) -> None:
        """A DTLS record from an address of this peer."""
        if self._is_over:
            return
        if not self._budget.take(1, now=now):
            self._count_flood()
            return
        messages = self._dtls.receive(data)
        self._after_dtls(now)
        if messages:
            self.ice.last_heard = now
            self._after_messages(messages)
        self._owner.on_peer_progress()

    def on_media(self, data: bytes, now: float) -> None:
        """SRTP or SRTCP from an address of this peer."""
        srtp = self._srtp
        if srtp is None or not 12 <= len(data) <= MAX_SRTP:
            return
        if not self._budget.take(1, now=now):
            self._count_flood()
            return
        try:
            if 192 <= data[1] <= 223:  # RTCP (RFC 5761 section 4)
                packet = srtp.unprotect_rtcp(data)
                self.ice.last_heard = now
                self._owner.on_peer_rtcp(packet, now)
                return
            packet = srtp.unprotect(data)
        except SrtpReplayError:
            self.counters.replayed += 1
        except SrtpError:
            self.counters.unauthentic += 1
        else:
            self.ice.last_heard = self._media_at = now
            self._owner.on_peer_rtp(packet, now)

    # -- from the owner -----------------------------------------------------------------------------------------------

    def send_rtp(self, packet: bytes) -> None:
        """Sends an RTP packet; nothing before the handshake is done."""
        srtp, path = self._srtp, self._path
        if srtp is not None and path is not None:
            self._socket.send(srtp.protect(packet), path.address)

    def send_rtcp(self, packet: bytes) -> None:
        """Sends an RTCP compound; nothing before the handshake is done."""
        srtp, path = self._srtp, self._path
        if srtp is not None and path is not None:
            self._socket.send(srtp.protect_rtcp(packet), path.address)

    def next_deadline(self) -> float:
        """When :meth:`on_timer` has something to do."""
        if self._is_over:
            return NEVER
        return min(self.ice.next_deadline(), self._dtls_at, self._handshake_by)

    def on_timer(self, now: float) -> None:
        """Moves on in time: repeats handshakes, asks a silent peer, gives up on one that is gone."""
        if self._is_over:
            return
        probe = self.ice.on_timer(now)
        if self.ice.state is IceState.FAILED:
            self._lose(EndReason.CALLER_NEVER_CONNECTED, "no connectivity check came")
        elif self.ice.state is IceState.LOST:
            self._lose(EndReason.CALLER_LOST, "silent")
        elif now >= self._handshake_by:
            self._lose(EndReason.CALLER_NEVER_CONNECTED, "no DTLS handshake")
        else:
            if probe is not None:
                self._transmit(probe)
            if now >= self._dtls_at:
                self._dtls.on_timer()
                self._after_dtls(now)

    def fail(self, detail: str) -> None:
        """Gives this peer up because something about it could not be handled; everyone else goes on."""
        self._lose(EndReason.CALLER_LOST, detail)

    def close(self) -> None:
        """Ends the transport, telling the peer; idempotent, the owner hears nothing more."""
        if self._is_over:
            return
        self._is_over = True
        if self._sctp is not None:
            self._sctp.close()
        self._dtls.close()
        self._flush()
        self._srtp = None
        self._forget_all()

    # -- from SCTP ----------------------------------------------------------------------------------------------------

    def send_sctp(self, packet: bytes) -> None:
        try:
            self._dtls.send(packet)
        except DtlsError as error:
            _log.debug("an SCTP packet was not sent", reason=str(error))
            return
        self._flush()

    def on_channel(self, channel: Channel) -> None:
        self._owner.on_peer_channel(channel)

    def on_message(self, channel: Channel, message: bytes) -> None:
        self._owner.on_peer_message(channel, message, self._clock())

    def on_channel_closed(self, channel: Channel) -> None:
        if not self._is_over:
            self._owner.on_peer_channel_closed(channel)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _follow(self, path: Path, now: float) -> None:
        """Sends to this path from now on."""
        is_first = self._path is None
        self._path = path
        self._socket = self._sockets[path.local]
        if is_first:
            self._handshake_by = now + HANDSHAKE_TIMEOUT
            self._dtls.start()
            self._after_dtls(now)

    def _after_dtls(self, now: float) -> None:
        """Sends what OpenSSL has to say, and notices what became of the association."""
        self._flush()
        timeout = self._dtls.timeout()
        self._dtls_at = NEVER if timeout is None else now + timeout
        state = self._dtls.state
        if state is DtlsState.CONNECTED:
            if self._handshake_by != NEVER:
                self._handshake_by = NEVER
                self._connected(now)
        elif state is DtlsState.CLOSED:
            self._lose(EndReason.CALLER_HANGUP, "DTLS was closed by the peer")
        elif state is DtlsState.FAILED:
            was_up = self._handshake_by == NEVER
            self._lose(EndReason.CALLER_LOST if was_up else EndReason.CALLER_NEVER_CONNECTED, self._dtls.error)

    def _connected(self, now: float) -> None:
        self._srtp = self._dtls.srtp
        if self._srtp is None and self._needs_srtp:
            self._lose(EndReason.CALLER_NEVER_CONNECTED, "the peer negotiated no SRTP")
            return
        if self._data is not None:
            sctp = self._sctp = SctpAssociation(
                self, is_client=self._is_client, port=self._data.port, max_message_size=self._data.max_message_size
            )
            if self._data.agreed is not None:
                sctp.agree(self._data.agreed, self._data.label)
            sctp.start()
        self._owner.on_peer_connected(now)

    def _after_messages(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            if self._sctp is None or self._is_over:
                return
            try:
                self._sctp.receive(message)
            except SctpError as error:
                self._lose(EndReason.CALLER_ABUSE, str(error))

    def _flush(self) -> None:
        for datagram in self._dtls.outgoing():
            self._transmit(datagram)

    def _transmit(self, datagram: bytes) -> None:
        if self._path is not None:
            self._socket.send(datagram, self._path.address)

    def _count_flood(self) -> None:
        self.counters.flooding += 1
        if self.counters.flooding > FLOOD_DATAGRAMS:
            self._lose(EndReason.CALLER_ABUSE, f"more than {DATAGRAMS_PER_S:g} datagrams a second")

    def _lose(self, reason: EndReason, detail: str) -> None:
        if self._is_over:
            return
        self.close()
        self._owner.on_peer_lost(reason, detail)

    def _forget(self, path: Path) -> None:
        peers = self._sockets[path.local].peers
        if peers.get(path.address) is self:
            del peers[path.address]

    def _forget_all(self) -> None:
        for path in self.ice.paths:
            self._forget(path)
