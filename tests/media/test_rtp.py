"""RTP packets on the wire and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.media.broken_inputs import names, read

from perhop.media.rtp import RtpError, RtpPacket, is_rtcp, pack_packet, parse_extensions, read_header

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=64),
    marker=st.booleans(),
    csrc=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    extensions=st.none() | st.dictionaries(st.integers(1, 255), st.binary(max_size=40), max_size=5),
    padding=st.integers(0, 255),
)


@given(packets)
def test_a_packet_survives_the_wire(packet: RtpPacket) -> None:
    assert RtpPacket.parse(bytes(packet)) == packet


@given(packets)
def test_the_quick_reader_agrees_with_the_full_one(packet: RtpPacket) -> None:
    data = bytes(packet)
    payload_type, sequence, timestamp, ssrc, marker, start, end = read_header(data)
    assert (payload_type, sequence, timestamp, ssrc, marker) == (
        packet.payload_type,
        packet.sequence_number,
        packet.timestamp,
        packet.ssrc,
        packet.marker,
    )
    assert data[start:end] == packet.payload
    assert parse_extensions(data) == (packet.extensions or {})


@given(st.booleans(), st.binary(max_size=40))
def test_the_quick_packer_agrees_with_the_full_one(marker: bool, payload: bytes) -> None:
    quick = pack_packet(111, 65535, timestamp=7, ssrc=9, payload=payload, marker=marker)
    assert quick == bytes(RtpPacket(111, 65535, 7, 9, payload, marker))


def test_a_packet_of_chrome_is_read() -> None:
    """Audio level, absolute send time and mid in one-byte form, then Opus."""
    data = bytes.fromhex("906f 1c8d 0a3b4c5d 11223344 bede0003 10ff 22a1b2c3 4030 0000 0000 0000") + b"\xfcopus"
    assert read_header(data) == (111, 0x1C8D, 0x0A3B4C5D, 0x11223344, False, 28, len(data))
    assert parse_extensions(data) == {1: b"\xff", 2: b"\xa1\xb2\xc3", 4: b"0"}


def test_small_elements_use_the_one_byte_form_and_large_ones_the_two_byte_form() -> None:
    small = bytes(RtpPacket(0, 0, 0, 0, extensions={1: b"a"}))
    large = bytes(RtpPacket(0, 0, 0, 0, extensions={1: bytes(17)}))
    assert small[12:14] == b"\xbe\xde"
    assert large[12:14] == b"\x10\x00"


def test_an_element_numbered_15_ends_the_one_byte_form() -> None:
    data = bytes(RtpPacket(0, 0, 0, 0, extensions={1: b"a", 2: b"bcdefg"})).replace(b"\x25bcdefg", b"\xf5bcdefg")
    assert parse_extensions(data) == {1: b"a"}


def test_extensions_of_another_profile_are_skipped() -> None:
    data = bytes(RtpPacket(0, 0, 0, 0, b"voice", extensions={1: b"a"})).replace(b"\xbe\xde", b"\xca\xfe")
    assert RtpPacket.parse(data).extensions == {}
    assert RtpPacket.parse(data).payload == b"voice"


@pytest.mark.parametrize("name", names("rtp"))
def test_broken_packets_are_refused(name: str) -> None:
    with pytest.raises(RtpError):
        RtpPacket.parse(read(name))


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: b"\x90\x6f" + rest))
@example(b"\xb0" + bytes(15))
def test_garbage_raises_nothing_but_rtp_errors(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except RtpError:
        return
    assert len(packet.payload) + packet.padding <= len(data) - 12


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0),
        RtpPacket(0, 0x10000, 0, 0),
        RtpPacket(0, 0, -1, 0),
        RtpPacket(0, 0, 0, 0, csrc=(0,) * 16),
        RtpPacket(0, 0, 0, 0, csrc=(-1,)),
        RtpPacket(0, 0, 0, 0, padding=256),
        RtpPacket(0, 0, 0, 0, extensions={0: b"a"}),
        RtpPacket(0, 0, 0, 0, extensions={1: bytes(256)}),
    ],
)
def test_fields_out_of_range_are_not_written(packet: RtpPacket) -> None:
    with pytest.raises(RtpError):
        bytes(packet)


def test_rtcp_is_told_apart_on_a_shared_port() -> None:
    assert is_rtcp(b"\x80\xc8\x00\x00")
    assert not is_rtcp(pack_packet(111, 0, timestamp=0, ssrc=0, payload=b"", marker=True))
    assert not is_rtcp(b"\x80")
