"""DTLS between two sessions in memory, and the certificates and garbage others may bring."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from perhop.media.dtls import DtlsError, DtlsIdentity, DtlsSession, DtlsState
from perhop.media.sdp import Fingerprint
from perhop.media.srtp import SrtpProfile

OURS = DtlsIdentity()
THEIRS = DtlsIdentity()
WRONG = Fingerprint("sha-256", bytes(32))


def pair(
    ours: Iterable[Fingerprint] = (THEIRS.fingerprint,), theirs: Iterable[Fingerprint] = (OURS.fingerprint,)
) -> tuple[DtlsSession, DtlsSession]:
    """Our server and their client, not yet connected."""
    return (
        DtlsSession(OURS, "server", fingerprints=tuple(ours)),
        DtlsSession(THEIRS, "client", fingerprints=tuple(theirs)),
    )


def exchange(server: DtlsSession, client: DtlsSession) -> list[bytes]:
    """Carries datagrams until neither side has any; returns all of them."""
    client.start()
    seen: list[bytes] = []
    for _ in range(20):
        flights = [(server, list(client.outgoing())), (client, list(server.outgoing()))]
        if not any(datagrams for _, datagrams in flights):
            break
        for receiver, datagrams in flights:
            for datagram in datagrams:
                seen.append(datagram)
                receiver.receive(datagram)
    return seen


def other_identity(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, ciphers: bytes, profiles: bytes
) -> DtlsIdentity:
    """An identity that another stack might have: its own kind of key, suites and SRTP profiles."""
    identity = DtlsIdentity()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "phone")])
    now = dt.datetime.now(tz=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_cipher_list(ciphers)
    if profiles:
        context.set_tlsext_use_srtp(profiles)
    identity.context = context
    identity.fingerprint = Fingerprint("sha-256", certificate.fingerprint(hashes.SHA256()))
    return identity


def test_two_sessions_connect_and_share_keys() -> None:
    server, client = pair()
    datagrams = exchange(server, client)
    assert (server.state, client.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)
    assert all(len(datagram) <= 1200 for datagram in datagrams)
    assert server.srtp is not None
    assert client.srtp is not None
    assert server.srtp.profile is SrtpProfile.AEAD_AES_128_GCM
    packet = b"\x80\x6f" + bytes(10) + b"speech"
    assert server.srtp.unprotect(client.srtp.protect(packet)) == packet
    assert server.timeout() is None


def test_messages_pass_both_ways_and_a_goodbye_is_understood() -> None:
    server, client = pair()
    exchange(server, client)
    client.send(b"question")
    (datagram,) = client.outgoing()
    assert server.receive(datagram) == [b"question"]
    assert server.receive(datagram) == []  # a replay
    server.send(b"answer one")
    server.send(b"answer two")
    assert [m for d in server.outgoing() for m in client.receive(d)] == [b"answer one", b"answer two"]
    client.close()
    for datagram in client.outgoing():
        server.receive(datagram)
    assert server.state is DtlsState.CLOSED
    with pytest.raises(DtlsError):
        server.send(b"too late")


@pytest.mark.parametrize(("ours", "theirs"), [((WRONG,), None), (None, (WRONG,)), ((), None)])
def test_another_certificate_than_offered_is_refused(
    ours: tuple[Fingerprint, ...] | None, theirs: tuple[Fingerprint, ...] | None
) -> None:
    server, client = pair(
        (THEIRS.fingerprint,) if ours is None else ours, (OURS.fingerprint,) if theirs is None else theirs
    )
    exchange(server, client)
    refusing = server if theirs is None else client
    assert refusing.state is DtlsState.FAILED
    assert "fingerprint" in refusing.error
    assert refusing.srtp is None


@pytest.mark.parametrize("algorithm", ["sha-384", "sha-512"])
def test_stronger_hashes_are_checked_too(algorithm: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    identity = other_identity(key, b"ECDHE-ECDSA-AES128-GCM-SHA256", b"SRTP_AES128_CM_SHA1_80")
    connection = SSL.Connection(identity.context, None)
    certificate = connection.get_certificate(as_cryptography=True)
    assert certificate is not None
    digest = certificate.fingerprint(hashes.SHA384() if algorithm == "sha-384" else hashes.SHA512())
    server = DtlsSession(OURS, "server", fingerprints=[Fingerprint(algorithm, digest)])
    exchange(server, DtlsSession(identity, "client", fingerprints=[OURS.fingerprint]))
    assert server.state is DtlsState.CONNECTED


@pytest.mark.parametrize("our_role", ["server", "client"])
def test_a_peer_with_an_rsa_certificate_is_accepted(our_role: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    phone = other_identity(key, b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", b"SRTP_AES128_CM_SHA1_80")
    if our_role == "server":
        ours = DtlsSession(OURS, "server", fingerprints=[phone.fingerprint])
        exchange(ours, DtlsSession(phone, "client", fingerprints=[OURS.fingerprint]))
    else:
        ours = DtlsSession(OURS, "client", fingerprints=[phone.fingerprint])
        exchange(DtlsSession(phone, "server", fingerprints=[OURS.fingerprint]), ours)
    assert ours.state is DtlsState.CONNECTED
    assert ours.srtp is not None
    assert ours.srtp.profile is SrtpProfile.AES128_CM_SHA1_80


def test_no_step_of_a_handshake_holds_the_loop_for_5_ms() -> None:
    worst: list[float] = []
    for _ in range(5):
        server, client = pair()
        client.start()
        steps = [0.0]
        for _ in range(10):
            for datagram in client.outgoing():
                began = time.thread_time()
                server.receive(datagram)
                steps.append(time.thread_time() - began)
            for datagram in server.outgoing():
                client.receive(datagram)
        assert server.state is DtlsState.CONNECTED
        worst.append(max(steps))
    assert min(worst) < 0.005


def test_a_peer_without_srtp_connects_for_data() -> None:
    identity = other_identity(ec.generate_private_key(ec.SECP256R1()), b"ECDHE-ECDSA-AES128-GCM-SHA256", b"")
    server = DtlsSession(OURS, "server", fingerprints=[identity.fingerprint])
    exchange(server, DtlsSession(identity, "client", fingerprints=[OURS.fingerprint]))
    assert (server.state, server.srtp) == (DtlsState.CONNECTED, None)


def test_a_lost_flight_has_a_time_to_be_repeated() -> None:
    server, client = pair()
    client.start()
    assert list(client.outgoing())
    timeout = client.timeout()
    assert timeout is not None
    assert 0 < timeout <= 1
    assert server.timeout() is None


def test_datagrams_that_come_twice_or_in_disorder_do_no_harm() -> None:
    server, client = pair()
    client.start()
    for _ in range(10):
        for receiver, sender in ((server, client), (client, server)):
            for datagram in reversed([d for d in sender.outgoing() for _ in range(2)]):
                receiver.receive(datagram)
    assert (server.state, client.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10))
def test_garbage_after_the_handshake_changes_nothing(garbage: list[bytes]) -> None:
    server, client = pair()
    exchange(server, client)
    for datagram in garbage:
        server.receive(b"\x16\xfe\xfd" + datagram)
        server.receive(b"\x17\xfe\xfd\x00\x01" + datagram)
        server.receive(datagram)
    client.send(b"still there")
    assert [m for d in client.outgoing() for m in server.receive(d)] == [b"still there"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10))
def test_garbage_instead_of_a_handshake_never_raises(garbage: list[bytes]) -> None:
    server, _ = pair()
    for datagram in garbage:
        server.receive(b"\x16\xfe\xff\x00\x00\x00\x00\x00\x00\x00\x00" + len(datagram).to_bytes(2, "big") + datagram)
        list(server.outgoing())
    assert server.state in (DtlsState.NEW, DtlsState.CONNECTING, DtlsState.FAILED)


def test_a_handshake_without_end_is_cut_off() -> None:
    server, _ = pair()
    for _ in range(100):
        server.receive(b"\x16" + bytes(1199))
    assert server.state is DtlsState.FAILED
