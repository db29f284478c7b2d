"""Packets back in order, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perhop.media.reorder import MAX_GAP, MAX_HELD, MAX_WAIT, MIN_WAIT, WAIT_FADE, WAIT_KEPT, ReorderBuffer, Verdict
from perhop.media.seqnum import seq_add


class Line:
    """A buffer and everything that came out of it."""

    def __init__(self) -> None:
        self.buffer: ReorderBuffer[int] = ReorderBuffer()
        self.out: list[int] = []
        self.lost = 0
        self.verdicts: list[Verdict] = []

    def put(self, seq: int, now: float) -> None:
        if self.buffer.advance(seq & 0xFFFF):
            self.out.append(seq)
            return
        self.verdicts.append(self.buffer.insert(seq & 0xFFFF, seq, now))
        self.release(now)

    def release(self, now: float) -> None:
        while (released := self.buffer.pop(now)) is not None:
            self.lost += released.lost
            self.out.append(released.item)


def test_packets_in_order_go_on_at_once() -> None:
    line = Line()
    for index in range(5):
        line.put(index, index * 0.02)
        assert line.out[-1] == index
    assert line.buffer.deadline is None


def test_a_hole_is_waited_for_and_then_given_up() -> None:
    line = Line()
    line.put(0, 0.00)
    line.put(2, 0.04)
    assert line.out == [0]
    assert line.buffer.deadline == pytest.approx(0.04 + MIN_WAIT)
    line.release(0.04 + MIN_WAIT - 0.001)
    assert line.out == [0]
    line.release(0.04 + MIN_WAIT)
    assert line.out == [0, 2]
    assert line.lost == 1
    assert line.buffer.deadline is None


def test_an_overtaken_packet_takes_its_place() -> None:
    line = Line()
    for seq, now in ((0, 0.0), (2, 0.02), (1, 0.03), (3, 0.06)):
        line.put(seq, now)
    assert line.out == [0, 1, 2, 3]
    assert line.lost == 0


def test_a_packet_whose_place_was_given_up_is_late_once_and_then_a_duplicate() -> None:
    line = Line()
    line.put(0, 0.0)
    line.put(2, 0.02)
    line.release(0.05)
    line.put(1, 0.06)
    line.put(1, 0.07)
    assert line.verdicts[-2:] == [Verdict.LATE, Verdict.DUPLICATE]
    assert line.out == [0, 2]


def test_duplicates_are_told_apart_whether_delivered_or_held() -> None:
    line = Line()
    for seq in (0, 1, 1, 3, 3):
        line.put(seq, 0.0)
    assert line.verdicts.count(Verdict.DUPLICATE) == 2


def test_waiting_grows_with_the_lateness_seen_and_is_forgotten_within_two_seconds() -> None:
    line = Line()
    line.put(0, 0.0)
    line.put(2, 0.02)
    line.release(0.05)
    line.put(1, 0.05)  # 30 ms after its successor
    assert line.buffer.wait(0.05) == pytest.approx(0.035)
    assert line.buffer.wait(0.05 + WAIT_KEPT) == pytest.approx(0.035)
    assert MIN_WAIT < line.buffer.wait(0.05 + WAIT_KEPT + WAIT_FADE / 2) < 0.035
    assert line.buffer.wait(0.05 + 2.0) == MIN_WAIT


def test_waiting_never_grows_beyond_sixty_milliseconds() -> None:
    line = Line()
    line.put(0, 0.0)
    line.put(2, 0.02)
    line.release(0.05)
    line.put(1, 0.9)
    assert line.buffer.wait(0.9) == MAX_WAIT


def test_a_sequence_that_wraps_is_still_in_order() -> None:
    line = Line()
    for index in range(0xFFFE, 0x10003):
        line.put(index, 0.0)
    assert line.out == list(range(0xFFFE, 0x10003))


def test_holding_is_bounded() -> None:
    line = Line()
    line.put(0, 0.0)
    for index in range(2, MAX_HELD + 2):
        line.put(index, 0.001)
    assert line.out == [0]
    line.put(MAX_HELD + 2, 0.001)
    assert line.out[1] == 2
    assert line.lost == 1


def test_one_stray_packet_changes_nothing() -> None:
    line = Line()
    line.put(0, 0.0)
    line.put(30_000, 0.02)
    line.put(1, 0.03)
    assert line.verdicts == [Verdict.HELD, Verdict.STRAY]
    assert line.out == [0, 1]


@pytest.mark.parametrize("start", [MAX_GAP + 1, 30_000, 0x10000 - 200])
def test_two_in_a_row_begin_a_new_run(start: int) -> None:
    buffer: ReorderBuffer[str] = ReorderBuffer()
    buffer.insert(0, "old", 0.0)
    buffer.pop(0.0)
    assert buffer.insert(start, "first", 0.02) is Verdict.STRAY
    assert buffer.insert(seq_add(start, 1), "second", 0.04) is Verdict.RESTART
    assert buffer.restart() == ("first", 0.02)
    assert buffer.advance(seq_add(start, 1))


def test_flushing_gives_everything_up() -> None:
    line = Line()
    for seq in (0, 2, 5):
        line.put(seq, 0.0)
    assert [(packet.lost, packet.item) for packet in line.buffer.flush()] == [(1, 2), (2, 5)]
    assert line.buffer.deadline is None


@settings(max_examples=150)
@given(
    start=st.integers(0, 0xFFFF),
    delays=st.lists(st.none() | st.integers(0, 90), min_size=1, max_size=80),
    copies=st.sets(st.integers(0, 79)),
)
def test_whatever_the_network_does_order_and_delay_hold(start: int, delays: list[int | None], copies: set[int]) -> None:
    """``delays``: ms on the way of every packet, None for a lost one; ``copies``: those that come twice."""
    events = [(index * 20 + delay, index) for index, delay in enumerate(delays) if delay is not None]
    events += [(when + 7, index) for when, index in events if index in copies]
    events.sort()
    line = Line()
    handed: dict[int, float] = {}
    came: dict[int, float] = {}

    def note(now: float) -> None:
        for item in line.out[len(handed) :]:
            assert item not in handed, "no packet twice"
            handed[item] = now

    for when_ms, index in events:
        now = when_ms / 1000
        while line.buffer.deadline is not None and line.buffer.deadline <= now:
            due = line.buffer.deadline
            line.release(due)
            note(due)
        came.setdefault(start + index, now)
        line.put(start + index, now)
        note(now)
    while line.buffer.deadline is not None:
        due = line.buffer.deadline
        line.release(due)
        note(due)
    assert line.out == sorted(line.out)
    for item, when in handed.items():
        assert when - came[item] <= MAX_WAIT + 1e-9
    dropped = [verdict for verdict in line.verdicts if verdict in (Verdict.LATE, Verdict.DUPLICATE)]
    assert len(line.out) + len(dropped) == len(events)
    if line.out:
        assert line.out[-1] - line.out[0] + 1 == len(line.out) + line.lost
