"""Timestamps into time: what the receiver's tests do not reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.media.helpers import FRAME, OPUS, browser_packets
from tests.media.network import numbered, numbered_frames

from perhop.media.timeline import (
    DTX_PATIENCE,
    MAX_FILL,
    MAX_PATIENCE,
    STALL_CONCEAL,
    STALL_PATIENCE,
    STALL_SILENCE,
    AudioTimeline,
)


@pytest.fixture
def timeline() -> Iterator[AudioTimeline]:
    with numbered_frames():
        yield AudioTimeline({OPUS: "opus"})


def play(timeline: AudioTimeline, index: int, at: float, *, lost: int = 0, offset: int = 0) -> int:
    """Plays a numbered frame; returns how many samples came out."""
    pcm = timeline.play(OPUS, 960 * index + offset, payload=numbered(index), lost=lost, arrived=at)
    return len(pcm) // 2


def test_patience_grows_with_jitter_but_not_without_end(timeline: AudioTimeline) -> None:
    play(timeline, 0, 10.0)
    assert timeline.stall_deadline(0.0) == pytest.approx(10.02 + STALL_PATIENCE)
    assert timeline.stall_deadline(0.03) == pytest.approx(10.02 + 0.09)
    assert timeline.stall_deadline(5.0) == pytest.approx(10.02 + MAX_PATIENCE)


def test_an_announced_pause_is_believed_sooner_and_longer() -> None:
    timeline = AudioTimeline({OPUS: "opus"})
    timeline.play(OPUS, 0, payload=browser_packets()[0][:1], lost=0, arrived=0.0)
    assert timeline.stall_deadline(0.0) == pytest.approx(0.02 + DTX_PATIENCE)
    filled = 0
    while timeline.stall_deadline(0.0) is not None:
        filled += len(timeline.on_stall()) // 2
    assert filled == STALL_SILENCE


def test_time_filled_too_early_is_not_filled_again(timeline: AudioTimeline) -> None:
    play(timeline, 0, 0.0)
    assert len(timeline.on_stall()) == len(timeline.on_stall()) == 2 * FRAME
    assert play(timeline, 4, 0.12, lost=3) == FRAME + FRAME  # 60 ms missing, 40 filled already
    assert timeline.surplus == 0


def test_a_stall_is_not_filled_from_what_is_owed(timeline: AudioTimeline) -> None:
    """A second stall while time is still to be won back uses that time up first."""
    play(timeline, 0, 0.0)
    for _ in range(STALL_CONCEAL // FRAME):
        timeline.on_stall()
    play(timeline, 1, 0.2)
    owed = timeline.surplus
    assert owed > FRAME
    assert timeline.on_stall() == b""
    assert timeline.surplus == owed - FRAME


def test_after_a_change_of_sender_only_arrivals_tell_the_time(timeline: AudioTimeline) -> None:
    play(timeline, 0, 0.0)
    timeline.resync()
    assert play(timeline, 1, 0.5, offset=123_456_789) == 11_520 + FRAME  # 480 ms went by
    timeline.resync()
    assert play(timeline, 2, 0.55) == FRAME  # 30 ms are jitter
    assert timeline.stats.resyncs == 2


def test_no_gap_is_filled_with_more_than_a_second(timeline: AudioTimeline) -> None:
    play(timeline, 0, 0.0)
    assert play(timeline, 500, 10.0) == MAX_FILL + FRAME
    assert play(timeline, 1_000, 20.0, lost=499) == MAX_FILL + FRAME
    assert timeline.stats.skipped == 2 * (499 * FRAME - MAX_FILL)


def test_other_payload_types_are_counted_and_give_nothing(timeline: AudioTimeline) -> None:
    assert timeline.play(13, 0, payload=b"\x40", lost=0, arrived=0.0) == b""
    assert timeline.stats.ignored == 1
    assert timeline.stall_deadline(0.0) is None
