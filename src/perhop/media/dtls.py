"""DTLS for WebRTC (RFC 8827, RFC 5764): our certificate, and one association with one peer through memory buffers.

Datagrams go in and come out; there is no socket here. The one thing this module cannot take as an argument is the
time: OpenSSL reads its own clock for retransmissions, so :meth:`DtlsSession.timeout` says how long from now.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from perhop.errors import PerhopError
from perhop.media.sdp import Fingerprint
from perhop.media.srtp import EXPORTER_LABEL, SrtpError, SrtpProfile, SrtpSession

__all__ = ["DtlsError", "DtlsIdentity", "DtlsSession", "DtlsState"]

MTU = 1200
"""Bytes of one DTLS datagram during the handshake: below the IPv6 minimum of 1280 with room for tunnels."""

MAX_RECORD = 1 << 14
MAX_HANDSHAKE_BYTES = 64 << 10
"""What a peer may send before the handshake is done; a real one needs 1 to 4 KiB, retransmissions included."""

VALIDITY = dt.timedelta(days=365)

CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA")
    for key in ("ECDSA", "RSA")
).encode()
"""Forward secret only. The RSA suites are for peers whose certificate is RSA when we are the DTLS client."""

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}


class DtlsError(PerhopError):
    """The association cannot be set up or used; it is over."""


class DtlsState(StrEnum):
    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


class DtlsIdentity:
    """A self-signed ECDSA P-256 certificate and the OpenSSL context made of it, shared by all peers of a process.

    Attributes:
        fingerprint: SHA-256 of the certificate, for the answer.
    """

    def __init__(self) -> None:
        """Makes a new key and certificate; about 1 ms."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
        now = dt.datetime.now(tz=dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + VALIDITY)
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = Fingerprint("sha-256", certificate.fingerprint(hashes.SHA256()))
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        # Certificates are self-signed on purpose; what counts is the fingerprint, checked after the handshake.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _any_certificate)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_cipher_list(CIPHERS)
        context.set_tlsext_use_srtp(SrtpProfile.openssl_list())
        self.context = context


class DtlsSession:
    """One DTLS association.

    Feed datagrams to :meth:`receive` and send what :meth:`outgoing` yields after every other call.

    Args:
        identity: our certificate.
        role: ``client`` starts the handshake by :meth:`start`; ``server`` waits for the peer.
        fingerprints: one of these must be the hash of the peer's certificate, all by one algorithm.

    Attributes:
        state: only ever moves forward.
        srtp: keyed once connected; None before, and when the peer negotiated no SRTP (data only).
        error: why the state is ``failed``.
    """

    __slots__ = ("_fingerprints", "_is_client", "_openssl", "_received", "error", "srtp", "state")

    def __init__(
        self, identity: DtlsIdentity, role: Literal["client", "server"], *, fingerprints: Sequence[Fingerprint]
    ) -> None:
        self.state = DtlsState.NEW
        self.srtp: SrtpSession | None = None
        self.error = ""
        self._is_client = role == "client"
        self._fingerprints = tuple(fingerprints)
        self._received = 0
        self._openssl: SSL.Connection | None = SSL.Connection(identity.context, None)
        self._openssl.set_ciphertext_mtu(MTU)
        if self._is_client:
            self._openssl.set_connect_state()
        else:
            self._openssl.set_accept_state()

    def start(self) -> None:
        """As client, makes the first flight; otherwise, and when started already, nothing."""
        if self._is_client and self.state is DtlsState.NEW:
            self._handshake()

    def receive(self, datagram: bytes) -> Sequence[bytes]:
        """Takes one datagram of the peer; returns the application messages in it. May change :attr:`state`."""
        if self.state in (DtlsState.CLOSED, DtlsState.FAILED):
            return ()
        if self.state is not DtlsState.CONNECTED:
            self._received += len(datagram)
            if self._received > MAX_HANDSHAKE_BYTES:
                self._fail(f"more than {MAX_HANDSHAKE_BYTES} bytes of handshake")
                return ()
        self._connection.bio_write(datagram)
        if self.state is not DtlsState.CONNECTED:
            self._handshake()
        return self._read() if self.state is DtlsState.CONNECTED else ()

    def send(self, message: bytes) -> None:
        """Encrypts one application message.

        Raises:
            DtlsError: the association is not connected, or OpenSSL refused.
        """
        if self.state is not DtlsState.CONNECTED:
            raise DtlsError(f"cannot send: the association is {self.state}")
        try:
            self._connection.send(message)
        except SSL.Error as error:
            raise DtlsError(f"cannot send {len(message)} bytes: {_reason(error)}") from None

    def outgoing(self) -> Iterator[bytes]:
        """The datagrams to send now, in order, each at most about :data:`MTU` bytes."""
        if self._openssl is None:
            return
        try:
            data = self._openssl.bio_read(MAX_HANDSHAKE_BYTES)
        except SSL.WantReadError:
            data = b""
        if self.state in (DtlsState.CLOSED, DtlsState.FAILED):
            # These were the last words. What OpenSSL and libsrtp hold is given back now: objects of a call refer to
            # each other, and the garbage collector, which does not see that memory, lets hundreds of calls pile up.
            self._openssl = self.srtp = None
        yield from _datagrams(data)

    def timeout(self) -> float | None:
        """Seconds from now until :meth:`on_timer` must be called; None while nothing waits for an answer."""
        if self.state in (DtlsState.CLOSED, DtlsState.FAILED):
            return None
        timeout: float | None = self._connection.DTLSv1_get_timeout()
        return timeout

    def on_timer(self) -> None:
        """Repeats the last flight if its time has come."""
        if self.state in (DtlsState.CLOSED, DtlsState.FAILED):
            return
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(f"no answer to the handshake: {_reason(error)}")

    def close(self) -> None:
        """Says goodbye (close_notify), if there is somebody to say it to; idempotent."""
        if self.state is DtlsState.CONNECTED:
            try:
                self._connection.shutdown()
            except SSL.Error as error:
                self.error = _reason(error)
        if self.state is not DtlsState.FAILED:
            self.state = DtlsState.CLOSED

    @property
    def _connection(self) -> SSL.Connection:
        """OpenSSL's part, while it is not over."""
        if self._openssl is None:
            raise DtlsError(f"the association is {self.state}")
        return self._openssl

    def _handshake(self) -> None:
        self.state = DtlsState.CONNECTING
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            self._fail(f"handshake failed: {_reason(error)}")
            return
        self._check_peer()

    def _check_peer(self) -> None:
        """Fails closed: only a certificate of the offered fingerprint makes the association ``connected``."""
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or not any(_matches(certificate, f) for f in self._fingerprints):
            self._fail("the certificate is not the one whose fingerprint is in the offer")
            return
        name = self._connection.get_selected_srtp_profile()
        if name:
            try:
                profile = SrtpProfile.from_openssl(name)
                material = self._connection.export_keying_material(EXPORTER_LABEL, profile.material_length)
                self.srtp = SrtpSession(profile, material, is_client=self._is_client)
            except (SrtpError, SSL.Error) as error:
                self._fail(f"no SRTP keys: {error}")
                return
        self.state = DtlsState.CONNECTED

    def _read(self) -> Sequence[bytes]:
        messages: list[bytes] = []
        try:
            while True:
                messages.append(self._connection.recv(MAX_RECORD))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.state = DtlsState.CLOSED
        except SSL.Error as error:
            self._fail(_reason(error))
        return messages

    def _fail(self, reason: str) -> None:
        self.state = DtlsState.FAILED
        self.error = reason


def _any_certificate(*_: object) -> bool:
    return True


def _matches(certificate: x509.Certificate, expected: Fingerprint) -> bool:
    algorithm = _HASHES.get(expected.algorithm)
    return algorithm is not None and hmac.compare_digest(certificate.fingerprint(algorithm), expected.digest)


def _reason(error: SSL.Error) -> str:
    """The innermost of OpenSSL's messages, such as ``tlsv1 alert decrypt error``."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][-1])
    return str(error) or type(error).__name__


def _datagrams(data: bytes) -> Iterator[bytes]:
    """Cuts OpenSSL's byte stream at record boundaries and packs records into datagrams.

    A memory buffer keeps no datagram boundaries, and a record must not be torn (RFC 6347 section 4.1.1). Records of
    DTLS 1.2 have their length at byte 11; the short header of 1.3 says in its first byte where it is (RFC 9147
    section 4), and one without a length ends the datagram.
    """
    start = at = 0
    while at < len(data):
        end = min(at + _record_length(data, at), len(data))
        if end - start > MTU and at > start:
            yield data[start:at]
            start = at
        at = end
    if start < at:
        yield data[start:at]


def _record_length(data: bytes, at: int) -> int:
    first = data[at]
    if first >> 5 != 1:
        return 13 + int.from_bytes(data[at + 11 : at + 13], "big")
    header = 1 + (2 if first & 0x08 else 1)
    if not first & 0x04:
        return len(data) - at
    return header + 2 + int.from_bytes(data[at + header : at + header + 2], "big")
