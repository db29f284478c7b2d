"""What is left of a delay once its cause is gone, by the margins with which audio comes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from perhop.edges.webrtc.slack import KEPT, MAX_SLACK, PERIOD, Slack

FRAME = 0.020


def gains(
    margin: Callable[[float], float], *, seconds: float = 10.0, every: float = FRAME
) -> list[tuple[float, float]]:
    """When something could be made up and how much, with chunks ``every`` so many s; it is margin no more then."""
    slack, made_up = Slack(), 0.0
    slack.restart(0.0)
    found = []
    for number in range(round(seconds / every)):
        now = number * every
        gain = slack.note(margin(now) - made_up, now)
        if gain:
            found.append((now, gain))
            made_up += gain
    return found


def test_a_margin_that_nobody_needed_for_two_seconds_can_be_made_up() -> None:
    [(when, gain)] = gains(lambda _now: 0.040)
    assert when == pytest.approx(2 * PERIOD)
    assert gain == pytest.approx(0.040 - KEPT)


def test_a_margin_that_is_needed_now_and_then_stays() -> None:
    assert gains(lambda now: 0.003 if round(now / FRAME) % 75 == 0 else 0.040) == []


def test_only_what_nobody_needed_is_made_up() -> None:
    assert sum(gain for _, gain in gains(lambda now: 0.040 if int(now / FRAME) % 7 else 0.025)) == pytest.approx(
        0.025 - KEPT
    )


def test_a_large_delay_is_made_up_piece_by_piece() -> None:
    found = gains(lambda _now: 0.250)
    assert [gain for _, gain in found] == pytest.approx([MAX_SLACK, MAX_SLACK, 0.050 - KEPT])
    assert all(later[0] - earlier[0] >= 2 * PERIOD for earlier, later in itertools.pairwise(found))


def test_a_source_that_is_faster_than_real_time_is_never_ahead_too_much() -> None:
    assert gains(lambda now: 0.020 + 0.10 * now) == []
    assert gains(lambda now: 3.0 + now) == []


def test_of_a_source_with_rare_chunks_nothing_is_known() -> None:
    assert gains(lambda _now: 0.100, every=0.2, seconds=60) == []


def test_late_audio_begins_a_new_count() -> None:
    slack = Slack()
    slack.restart(0.0)
    for number in range(400):
        now = number * FRAME
        if number % 60 == 0:
            slack.restart(now)
        assert slack.note(0.050, now) == 0
