"""A WebRTC peer small enough that one process can be hundreds of them: real ICE, DTLS and SRTP, no codec, no sockets.

It is what loads the edge in benchmarks, and what sends hand-made packets in tests. It checks one candidate, as the
controlling agent, and answers the checks of a full peer.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Iterator

from perhop.media import stun
from perhop.media.dtls import DtlsIdentity, DtlsSession, DtlsState
from perhop.media.ice import IceCredentials
from perhop.media.sdp import Fingerprint
from perhop.media.stun import StunMessage

CHECK_INTERVAL = 0.05
CONSENT_INTERVAL = 2.5
OPUS = 111

_identity: list[DtlsIdentity] = []


def shared_identity() -> DtlsIdentity:
    """One certificate for all peers of a process: making one costs a millisecond."""
    if not _identity:
        _identity.append(DtlsIdentity())
    return _identity[0]


class LightPeer:
    """One peer. Datagrams to send come out of :meth:`outgoing`; RTP that came in, decrypted, out of :attr:`received`.

    Args:
        host, port: where it receives, for its own candidate; a lite peer does not need to know.
        identity: its certificate, if not the one all of them share.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 9, data: bool = False, identity: DtlsIdentity | None = None
    ) -> None:
        self.local = IceCredentials.generate()
        self.remote = IceCredentials("", "")
        self.target: tuple[str, int] = ("", 0)
        self.received: list[bytes] = []
        self.reports: list[bytes] = []
        self.messages: list[bytes] = []
        self.checked = False
        self.dtls: DtlsSession | None = None
        self._identity = identity or shared_identity()
        self._host, self._port, self._data = host, port, data
        self._out: list[bytes] = []
        self._next_check = 0.0
        self._dtls_at: float | None = None
        self._asked: deque[bytes] = deque(maxlen=64)
        self._tie_breaker = secrets.randbits(64)

    @property
    def offer(self) -> str:
        """What it asks for: Opus both ways, and a data channel if so made."""
        version = 6 if ":" in self._host else 4
        transport = [
            f"c=IN IP{version} {self._host}",
            f"a=ice-ufrag:{self.local.ufrag}",
            f"a=ice-pwd:{self.local.password}",
            f"a=fingerprint:{self._identity.fingerprint}",
            "a=setup:actpass",
            f"a=candidate:1 1 udp 2130706431 {self._host} {self._port} typ host",
            "a=end-of-candidates",
        ]
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE 0{' 1' if self._data else ''}"]
        lines += [f"m=audio {self._port} UDP/TLS/RTP/SAVPF {OPUS}", *transport, "a=mid:0", "a=sendrecv", "a=rtcp-mux"]
        lines += [f"a=rtpmap:{OPUS} opus/48000/2", f"a=fmtp:{OPUS} minptime=10;useinbandfec=1"]
        lines += ["a=msid:bench audio", "a=ssrc:1 cname:bench"]
        if self._data:
            lines += [f"m=application {self._port} UDP/DTLS/SCTP webrtc-datachannel", *transport, "a=mid:1"]
            lines += ["a=sctp-port:5000", "a=max-message-size:262144"]
        return "\r\n".join(lines) + "\r\n"

    def accept(self, answer: str) -> None:
        """Takes the answer; the first candidate of our address family is the one."""
        self.remote = IceCredentials(_find(r"a=ice-ufrag:(\S+)", answer), _find(r"a=ice-pwd:(\S+)", answer))
        algorithm, digest = _find(r"a=fingerprint:(sha-256 \S+)", answer).split()
        for host, port in re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer, re.IGNORECASE):
            if (":" in host) == (":" in self._host):
                self.target = (host, int(port))
                break
        fingerprint = Fingerprint(algorithm, bytes.fromhex(digest.replace(":", "")))
        is_client = "a=setup:passive" in answer
        self.dtls = DtlsSession(self._identity, "client" if is_client else "server", fingerprints=[fingerprint])

    @property
    def connected(self) -> bool:
        return self.dtls is not None and self.dtls.state is DtlsState.CONNECTED

    def receive(self, datagram: bytes, source: tuple[str, int], now: float) -> None:
        """Takes a datagram."""
        first = datagram[0]
        if 127 < first < 192:
            self._receive_media(datagram)
        elif first < 4:
            self._receive_stun(datagram, source, now)
        elif self.dtls is not None:
            self.messages += self.dtls.receive(datagram)
            self._after_dtls(now)

    def tick(self, now: float) -> None:
        """Does what is due."""
        if now >= self._next_check:
            self._next_check = now + (CONSENT_INTERVAL if self.checked else CHECK_INTERVAL)
            self._out.append(self.check())
        if self.dtls is not None and self._dtls_at is not None and now >= self._dtls_at:
            self.dtls.on_timer()
            self._after_dtls(now)

    def check(self) -> bytes:
        """A connectivity check that nominates."""
        transaction_id = secrets.token_bytes(12)
        self._asked.append(transaction_id)
        return stun.binding_request(
            transaction_id=transaction_id,
            username=f"{self.remote.ufrag}:{self.local.ufrag}",
            key=self.remote.password.encode(),
            priority=1862270975,
            tie_breaker=self._tie_breaker,
            nominate=True,
        )

    def outgoing(self) -> Iterator[bytes]:
        """Everything to send to :attr:`target` now."""
        out, self._out = self._out, []
        yield from out

    def protect(self, packet: bytes) -> bytes:
        """An RTP packet as it goes on the wire."""
        assert self.dtls is not None
        assert self.dtls.srtp is not None
        return self.dtls.srtp.protect(packet)

    def _receive_media(self, datagram: bytes) -> None:
        if self.dtls is None or self.dtls.srtp is None:
            return
        if 192 <= datagram[1] <= 223:
            self.reports.append(self.dtls.srtp.unprotect_rtcp(datagram))
        else:
            self.received.append(self.dtls.srtp.unprotect(datagram))

    def _receive_stun(self, datagram: bytes, source: tuple[str, int], now: float) -> None:
        message = StunMessage.parse(datagram)
        if message.is_binding_request:
            key = self.local.password.encode()
            self._out.append(stun.binding_success(message, host=source[0], port=source[1], key=key))
        elif message.transaction_id in self._asked and message.error_code() is None and not self.checked:
            self.checked = True
            if self.dtls is not None:
                self.dtls.start()
                self._after_dtls(now)

    def _after_dtls(self, now: float) -> None:
        if self.dtls is None:
            return
        self._out += self.dtls.outgoing()
        timeout = self.dtls.timeout()
        self._dtls_at = None if timeout is None else now + timeout


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"the answer has no {pattern}")
    return match[1]
