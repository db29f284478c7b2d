"""RTCP packets on the wire and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.broken_inputs import names, read

from perhop.media.ntp import ntp_from_unix, ntp_middle, short_from_seconds
from perhop.media.rtcp import (
    Feedback,
    Goodbye,
    OtherPacket,
    ReceiverReport,
    ReportBlock,
    RtcpError,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    pack_compound,
    parse_compound,
    round_trip,
)

u32 = st.integers(0, 0xFFFFFFFF)
blocks = st.lists(
    st.builds(ReportBlock, u32, st.integers(0, 255), st.integers(-(1 << 23), (1 << 23) - 1), u32, u32, u32, u32),
    max_size=31,
)
words = st.binary(max_size=8).map(lambda data: data * 4)
anything: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(SenderReport, u32, st.integers(0, (1 << 64) - 1), u32, u32, u32, blocks),
    st.builds(ReceiverReport, u32, blocks),
    st.builds(
        SourceDescription,
        st.dictionaries(u32, st.dictionaries(st.integers(1, 8), st.binary(max_size=30), max_size=3), max_size=3),
    ),
    st.builds(Goodbye, st.lists(u32, max_size=31), st.binary(max_size=40)),
    st.builds(Feedback, st.sampled_from([205, 206]), st.integers(0, 31), u32, u32, words),
    st.builds(OtherPacket, st.sampled_from([204, 207]), st.integers(0, 31), words),
)


@given(st.lists(anything, min_size=1, max_size=5))
def test_a_compound_survives_the_wire(packets: list[RtcpPacket]) -> None:
    assert parse_compound(pack_compound(*packets)) == packets


@pytest.mark.parametrize("name", names("rtcp"))
def test_broken_compounds_are_refused(name: str) -> None:
    with pytest.raises(RtcpError):
        parse_compound(read(name))


@given(
    st.binary(max_size=80)
    | st.builds(
        lambda first, kind, body: bytes((first, kind, 0, len(body) // 4)) + body,
        st.integers(0x80, 0xBF),
        st.integers(200, 207),
        words,
    )
)
def test_garbage_raises_nothing_but_rtcp_errors(data: bytes) -> None:
    try:
        packets = parse_compound(data)
    except RtcpError:
        return
    for packet in packets:
        if isinstance(packet, Feedback):
            assert len(packet.lost_sequences()) <= 17 * len(packet.body) // 4


def test_padding_is_not_part_of_the_last_packet() -> None:
    data = b"\xa0\xcc\x00\x03" + b"name" + b"\0\0\0\0\0\0\0\x08"
    assert parse_compound(data) == [OtherPacket(204, 0, b"name")]


def test_a_nack_names_the_packets_it_misses() -> None:
    nack = Feedback(205, 1, 1, 2, bytes.fromhex("ffff 0005"))
    assert nack.lost_sequences() == [0xFFFF, 0, 2]
    assert Feedback(206, 1, 1, 2).lost_sequences() == []


def test_a_picture_loss_indication_is_known() -> None:
    assert Feedback(206, 1, 1, 2).is_picture_loss
    assert not Feedback(206, 15, 1, 2).is_picture_loss


def test_the_cname_is_what_rfc_3550_wants() -> None:
    assert bytes(SourceDescription.cname(0x01020304, "me")) == bytes.fromhex("81ca0003 01020304 0102 6d65 00000000")


def test_a_report_counts_duplicates_as_negative_loss() -> None:
    assert ReportBlock.parse(bytes(ReportBlock(1, packets_lost=-3))).packets_lost == -3


def test_the_round_trip_is_what_went_by_less_what_the_peer_held_the_report() -> None:
    """RFC 3550, figure 2, with times of our own."""
    sent = ntp_from_unix(1_700_000_000.0)
    block = ReportBlock(1, lsr=ntp_middle(sent), dlsr=short_from_seconds(5.25))
    now = ntp_middle(ntp_from_unix(1_700_000_005.37))
    assert round_trip(block, now) == pytest.approx(0.12, abs=1e-4)


def test_without_a_sender_report_there_is_no_round_trip() -> None:
    assert round_trip(ReportBlock(1), 123456) is None


def test_a_peer_that_rounds_up_its_delay_has_no_negative_round_trip() -> None:
    assert round_trip(ReportBlock(1, lsr=1000, dlsr=600), 1599) == 0.0


@pytest.mark.parametrize(
    "packet",
    [
        ReceiverReport(1, [ReportBlock(1)] * 32),
        ReceiverReport(-1),
        SourceDescription({1: {0: b""}}),
        SourceDescription({1: {1: bytes(256)}}),
        Goodbye([1], bytes(256)),
        OtherPacket(204, 0, b"odd"),
    ],
)
def test_what_does_not_fit_is_not_written(packet: RtcpPacket) -> None:
    with pytest.raises(RtcpError):
        pack_compound(packet)
