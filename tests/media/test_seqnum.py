"""Counters that wrap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perhop.media.seqnum import seq_add, seq_delta, ts_add, ts_delta


@given(st.integers(0, 0xFFFF), st.integers(-0x8000, 0x7FFF))
def test_a_sequence_number_is_as_far_ahead_as_it_was_moved(seq: int, count: int) -> None:
    assert seq_delta(seq_add(seq, count), seq) == count


@given(st.integers(0, 0xFFFFFFFF), st.integers(-0x80000000, 0x7FFFFFFF))
def test_a_timestamp_is_as_far_ahead_as_it_was_moved(timestamp: int, ticks: int) -> None:
    assert ts_delta(ts_add(timestamp, ticks), timestamp) == ticks


def test_the_shorter_way_leads_over_the_wrap() -> None:
    assert seq_delta(2, 0xFFFE) == 4
    assert seq_delta(0xFFFE, 2) == -4
    assert ts_delta(960, 0xFFFFFFFF - 959) == 1920
