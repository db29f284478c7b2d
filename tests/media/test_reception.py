"""The statistics receiver reports carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.media.ntp import ntp_from_unix, ntp_middle
from perhop.media.reception import Reception
from perhop.media.rtcp import SenderReport


def received(sequence: list[int], *, start: int = 0) -> Reception:
    """A stream of 20 ms packets of which these came, each in its time."""
    reception = Reception(1, 48_000)
    for index in sequence:
        reception.update((start + index) & 0xFFFF, index * 960, index * 0.02)
    return reception


def test_a_stream_without_loss_reports_none() -> None:
    block = received(list(range(100))).report_block(2.0)
    assert (block.fraction_lost, block.packets_lost, block.highest_sequence, block.jitter) == (0, 0, 99, 0)


def test_loss_is_reported_for_the_interval_and_for_the_whole() -> None:
    reception = received([index for index in range(101) if index % 4 != 1])
    block = reception.report_block(2.0)
    assert block.packets_lost == 25
    assert block.fraction_lost == pytest.approx(0.25 * 256, abs=2)
    for index in range(101, 201):
        reception.update(index, index * 960, index * 0.02)
    block = reception.report_block(4.0)
    assert (block.packets_lost, block.fraction_lost) == (25, 0)


def test_an_interval_without_packets_lost_nothing() -> None:
    reception = received(list(range(10)))
    reception.report_block(1.0)
    assert reception.report_block(2.0).fraction_lost == 0


def test_wraps_are_counted_in_the_extended_sequence_number() -> None:
    reception = received(list(range(100)), start=0xFFF0)
    assert reception.report_block(2.0).highest_sequence == 0xFFF0 + 99
    assert reception.expected == 100
    assert reception.lost == 0


@given(st.permutations(range(20)))
def test_packets_out_of_order_are_not_lost(order: list[int]) -> None:
    reception = Reception(1, 48_000)
    reception.update(100, 0, 0.0)
    for index in order:
        reception.update(101 + index, 0, 0.0)
    assert reception.expected == 21
    assert reception.lost == 0


def test_duplicates_make_the_loss_negative() -> None:
    reception = received([0, 1, 1, 2])
    assert reception.lost == -1
    assert reception.report_block(1.0).packets_lost == -1
    assert reception.report_block(1.0).fraction_lost == 0


def test_jitter_follows_rfc_3550() -> None:
    """Arrivals alternate by 5 ms: every difference of transit is 5 ms, and so the mean tends to it."""
    reception = Reception(1, 48_000)
    for index in range(200):
        reception.update(index, index * 960, index * 0.02 + 0.005 * (index % 2))
    assert reception.jitter_ms == pytest.approx(5.0, abs=0.1)
    assert reception.report_block(4.0).jitter == pytest.approx(240, abs=5)


def test_one_late_packet_moves_jitter_by_a_sixteenth() -> None:
    reception = received([0, 1])
    reception.update(2, 2 * 960, 0.04 + 0.016)
    assert reception.jitter_ms == pytest.approx(1.0, abs=0.01)


def test_a_jump_of_the_timestamps_is_not_jitter() -> None:
    reception = received([0, 1, 2])
    reception.update(3, 0xF0000000, 0.06)
    assert reception.jitter_ms == pytest.approx(0, abs=1e-6)


def test_the_last_sender_report_is_referred_to() -> None:
    reception = received(list(range(10)))
    assert (reception.report_block(0.2).lsr, reception.report_block(0.2).dlsr) == (0, 0)
    ntp = ntp_from_unix(1_700_000_000)
    reception.on_sender_report(SenderReport(1, ntp, 0, 0, 0), 0.5)
    block = reception.report_block(1.75)
    assert block.lsr == ntp_middle(ntp)
    assert block.dlsr == 1.25 * 65536


def test_a_new_run_counts_from_its_own_start() -> None:
    reception = received([0, 1, 5])
    reception.restart()
    assert reception.expected == 0
    for index in range(3):
        reception.update(40_000 + index, index * 960, 1 + index * 0.02)
    assert (reception.expected, reception.lost) == (3, 0)


def test_before_the_first_packet_nothing_is_expected() -> None:
    assert Reception(1, 48_000).expected == 0
