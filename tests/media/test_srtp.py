"""SRTP between two ends of one DTLS association."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perhop.media.rtcp import ReceiverReport, pack_compound
from perhop.media.rtp import pack_packet
from perhop.media.srtp import (
    MAX_SSRCS,
    SrtpAuthError,
    SrtpError,
    SrtpProfile,
    SrtpReplayError,
    SrtpSession,
    split_keys,
)

PROFILES = list(SrtpProfile)


def ends(profile: SrtpProfile) -> tuple[SrtpSession, SrtpSession]:
    """DTLS client and server with the same exported keys."""
    material = bytes(range(profile.material_length))
    return SrtpSession(profile, material, is_client=True), SrtpSession(profile, material, is_client=False)


def rtp(seq: int, ssrc: int = 1, payload: bytes = b"voice") -> bytes:
    return pack_packet(111, seq & 0xFFFF, timestamp=seq * 960, ssrc=ssrc, payload=payload)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_one_end_protects_the_other_reads(profile: SrtpProfile) -> None:
    client, server = ends(profile)
    for sender, receiver in ((client, server), (server, client)):
        assert receiver.unprotect(sender.protect(rtp(1))) == rtp(1)
        report = pack_compound(ReceiverReport(1))
        assert receiver.unprotect_rtcp(sender.protect_rtcp(report)) == report


@pytest.mark.parametrize("profile", PROFILES)
def test_the_payload_is_not_on_the_wire(profile: SrtpProfile) -> None:
    client, _ = ends(profile)
    assert b"voice" not in client.protect(rtp(1))


@pytest.mark.parametrize("profile", PROFILES)
def test_keys_are_split_as_rfc_5764_lays_them_out(profile: SrtpProfile) -> None:
    key, salt = profile.key_length, profile.salt_length
    material = b"c" * key + b"s" * key + b"C" * salt + b"S" * salt
    assert split_keys(profile, material, is_client=True) == (b"c" * key + b"C" * salt, b"s" * key + b"S" * salt)
    assert split_keys(profile, material, is_client=False) == (b"s" * key + b"S" * salt, b"c" * key + b"C" * salt)


def test_material_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(SrtpError, match="56 bytes"):
        SrtpSession(SrtpProfile.AEAD_AES_128_GCM, bytes(60), is_client=True)


def test_a_window_libsrtp_refuses_is_an_error() -> None:
    profile = SrtpProfile.AES128_CM_SHA1_80
    with pytest.raises(SrtpError, match="window of 12"):
        SrtpSession(profile, bytes(profile.material_length), is_client=True, window=12)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_replayed_packet_is_named_so(profile: SrtpProfile) -> None:
    client, server = ends(profile)
    packet = client.protect(rtp(1))
    server.unprotect(packet)
    with pytest.raises(SrtpReplayError):
        server.unprotect(packet)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_replayed_report_is_named_so(profile: SrtpProfile) -> None:
    client, server = ends(profile)
    packet = client.protect_rtcp(pack_compound(ReceiverReport(1)))
    server.unprotect_rtcp(packet)
    with pytest.raises(SrtpReplayError):
        server.unprotect_rtcp(packet)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_changed_packet_is_not_believed_and_does_no_harm(profile: SrtpProfile) -> None:
    client, server = ends(profile)
    packet = client.protect(rtp(1))
    for position in (1, 12, len(packet) - 1):
        changed = bytearray(packet)
        changed[position] ^= 1
        with pytest.raises(SrtpAuthError):
            server.unprotect(bytes(changed))
    assert server.unprotect(packet) == rtp(1)


def test_packets_a_thousand_out_of_order_are_read() -> None:
    client, server = ends(SrtpProfile.AEAD_AES_128_GCM)
    packets = [client.protect(rtp(index)) for index in range(1024)]
    server.unprotect(packets[-1])
    assert server.unprotect(packets[1]) == rtp(1)
    with pytest.raises(SrtpReplayError):
        server.unprotect(packets[1])


def test_a_packet_older_than_the_window_counts_as_replayed() -> None:
    client, server = ends(SrtpProfile.AEAD_AES_128_GCM)
    packets = [client.protect(rtp(index)) for index in range(1100)]
    server.unprotect(packets[-1])
    with pytest.raises(SrtpReplayError):
        server.unprotect(packets[0])


def test_sequence_numbers_wrap() -> None:
    client, server = ends(SrtpProfile.AES128_CM_SHA1_80)
    for index in range(0xFFF0, 0x10010):
        assert server.unprotect(client.protect(rtp(index))) == rtp(index)


def test_a_peer_opens_only_so_many_streams() -> None:
    client, server = ends(SrtpProfile.AEAD_AES_128_GCM)
    for ssrc in range(MAX_SSRCS):
        server.unprotect(client.protect(rtp(1, ssrc)))
    with pytest.raises(SrtpError, match="streams"):
        server.unprotect(client.protect(rtp(1, MAX_SSRCS)))
    with pytest.raises(SrtpError, match="streams"):
        server.unprotect_rtcp(client.protect_rtcp(pack_compound(ReceiverReport(MAX_SSRCS))))
    assert server.unprotect(client.protect(rtp(2, 0))) == rtp(2, 0)


def test_strangers_do_not_use_up_the_streams() -> None:
    client, server = ends(SrtpProfile.AEAD_AES_128_GCM)
    for ssrc in range(2 * MAX_SSRCS):
        with pytest.raises(SrtpAuthError):
            server.unprotect(rtp(1, ssrc, bytes(40)))
    assert server.unprotect(client.protect(rtp(1, 999))) == rtp(1, 999)


def test_a_packet_too_long_for_a_datagram_is_refused() -> None:
    client, server = ends(SrtpProfile.AEAD_AES_128_GCM)
    for refuse in (client.protect, client.protect_rtcp, server.unprotect, server.unprotect_rtcp):
        with pytest.raises(SrtpError):
            refuse(rtp(1, payload=bytes(2000)))


@settings(max_examples=50)
@given(st.binary(max_size=120))
def test_garbage_raises_nothing_but_srtp_errors(data: bytes) -> None:
    for profile in PROFILES:
        _, server = ends(profile)
        for unprotect in (server.unprotect, server.unprotect_rtcp):
            with pytest.raises(SrtpError):
                unprotect(data)


def test_profiles_are_known_by_the_names_openssl_gives_them() -> None:
    for profile in PROFILES:
        assert SrtpProfile.from_openssl(profile.openssl_name) is profile
        assert SrtpProfile.from_openssl(profile.openssl_name.encode()) is profile
    assert SrtpProfile.openssl_list().startswith(b"SRTP_AEAD_AES_128_GCM:")


@pytest.mark.parametrize("name", ["", b"", "SRTP_NULL_SHA1_80"])
def test_a_handshake_without_a_profile_we_know_is_an_error(name: str | bytes) -> None:
    with pytest.raises(SrtpError):
        SrtpProfile.from_openssl(name)
