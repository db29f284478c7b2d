"""Speech against tool results, through the whole of a call."""

from __future__ import annotations

import os

import pytest
from tests.call.races import races
from tests.virtual_time import run_virtual

BLOCKS = int(os.environ.get("PERHOP_RACES", "1000")) // 100


@pytest.mark.parametrize("block", range(BLOCKS))
def test_in_a_thousand_races_nobody_sees_a_collision_and_nothing_is_lost(block: int) -> None:
    outcomes = run_virtual(races(range(block * 100, block * 100 + 100)))
    lost = [outcome for outcome in outcomes if outcome.lost]
    assert not lost, lost[0]
    assert sum(outcome.collisions for outcome in outcomes) >= 5, "the races are worth running"
    assert sum(outcome.tool_results for outcome in outcomes) >= 100
