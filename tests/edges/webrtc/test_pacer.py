"""The pacer and the deadlines on a loop whose time is set by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edges.webrtc.helpers import HandLoop

from perhop.edges.webrtc.deadlines import NEVER, Deadlines
from perhop.edges.webrtc.pacer import Pacer


class Leg:
    """Notes its turns, and stops after so many."""

    def __init__(self, turns: int = 10**6) -> None:
        self.turns: list[float] = []
        self._left = turns

    def on_turn(self, now: float) -> bool:
        self.turns.append(now)
        self._left -= 1
        return self._left > 0


@pytest.fixture
def loop() -> HandLoop:
    return HandLoop()


@pytest.fixture
def pacer(loop: HandLoop) -> Pacer:
    return Pacer(loop)  # type: ignore[arg-type]


def steps(leg: Leg) -> list[int]:
    """Milliseconds between its turns."""
    return [round((b - a) * 1000) for a, b in zip(leg.turns, leg.turns[1:], strict=False)]


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=30))
def test_the_first_turn_comes_20_to_25_ms_later_and_then_every_20(joins: list[float]) -> None:
    loop = HandLoop()
    pacer = Pacer(loop)  # type: ignore[arg-type]
    legs: list[tuple[float, Leg]] = []
    for join in sorted(joins):
        loop.run(1000.0 + join)
        leg = Leg()
        legs.append((loop.now, leg))
        pacer.add(leg, loop.now)
    loop.run(loop.now + 0.5)
    for joined, leg in legs:
        assert 0.020 - 1e-6 <= leg.turns[0] - joined <= 0.025 + 1e-6
        assert set(steps(leg)) == {20}


def test_the_clock_sleeps_while_nobody_plays(loop: HandLoop, pacer: Pacer) -> None:
    assert loop.is_asleep
    leg = Leg(turns=3)
    pacer.add(leg, loop.now)
    loop.run(1000.2)
    assert len(leg.turns) == 3
    assert loop.is_asleep
    loop.run(1007.0)
    pacer.add(leg, loop.now)
    loop.run(1007.1)
    assert 0.020 <= leg.turns[3] - 1007.0 <= 0.025


def test_lateness_does_not_add_up(loop: HandLoop, pacer: Pacer) -> None:
    leg = Leg()
    pacer.add(leg, loop.now)
    loop.late = 0.0009
    loop.run(1010.0)
    assert len(leg.turns) == 10 / 0.020 - 1


def test_a_loop_that_calls_early_is_not_asked_again(loop: HandLoop, pacer: Pacer, deadlines: Deadlines) -> None:
    leg = Leg()
    loop.late = -0.0005
    pacer.add(leg, loop.now)
    loop.run(1001.0)
    assert len(leg.turns) == 49
    assert loop.calls <= 51
    loop.calls = 0
    pacer.close()
    waiter = Waiter(deadlines, again=[1001.2, 1001.3])
    deadlines.arm(waiter, 1001.1)
    loop.run(1002.0)
    assert waiter.calls == [1001.1, 1001.2, 1001.3]
    assert loop.calls == 3


def test_after_a_stall_everybody_gets_one_turn_and_no_burst(loop: HandLoop, pacer: Pacer) -> None:
    legs = [Leg() for _ in range(8)]
    for number, leg in enumerate(legs):
        loop.run(1000.0 + number * 0.005)
        pacer.add(leg, loop.now)
    loop.run(1001.0)
    before = [len(leg.turns) for leg in legs]
    loop.now = 1001.302  # nothing ran for 302 ms
    loop.run(1001.303)
    assert [len(leg.turns) - count for leg, count in zip(legs, before, strict=True)] == [1] * 8
    for leg in legs:
        leg.turns.clear()
    loop.run(1002.0)
    assert all(set(steps(leg)) == {20} for leg in legs)


def test_a_leg_that_joins_again_moves(loop: HandLoop, pacer: Pacer) -> None:
    leg = Leg()
    pacer.add(leg, loop.now)
    loop.run(1000.1)
    leg.turns.clear()
    loop.run(1000.112)
    pacer.add(leg, loop.now)
    loop.run(1000.2)
    assert 0.020 <= leg.turns[-4] - 1000.112 <= 0.025
    assert set(steps(leg)[-3:]) == {20}


@pytest.mark.parametrize("steps_earlier", [1, 2, 3])
def test_a_leg_may_bring_its_turns_forward(loop: HandLoop, pacer: Pacer, steps_earlier: int) -> None:
    class Hasty(Leg):
        def on_turn(self, now: float) -> bool:
            if len(self.turns) == 4:
                pacer.advance(self, steps_earlier)
            return super().on_turn(now)

    hasty, other = Hasty(), Leg()
    first = pacer.add(hasty, loop.now)
    pacer.add(other, loop.now)
    loop.run(1000.3)
    assert hasty.turns[0] == pytest.approx(first)
    assert steps(hasty)[:6] == [20, 20, 20, 20, 20 - 5 * steps_earlier, 20]
    assert set(steps(other)) == {20}


def test_a_turn_may_take_others_off_the_clock(loop: HandLoop, pacer: Pacer) -> None:
    victim = Leg()

    class Killer:
        def on_turn(self, _now: float) -> bool:
            pacer.remove(victim)
            return True

    pacer.add(Killer(), loop.now)
    pacer.add(victim, loop.now)
    loop.run(1001.0)
    assert victim.turns == []
    pacer.close()
    assert loop.is_asleep


class Waiter:
    """Notes when it is called, and arms itself again as told."""

    def __init__(self, deadlines: Deadlines, again: list[float] | None = None) -> None:
        self.wake_at = NEVER
        self.calls: list[float] = []
        self._deadlines = deadlines
        self._again = again or []

    def on_deadline(self, now: float) -> None:
        self.calls.append(now)
        if self._again:
            self._deadlines.arm(self, self._again.pop(0))


@pytest.fixture
def deadlines(loop: HandLoop) -> Deadlines:
    return Deadlines(loop)  # type: ignore[arg-type]


def test_everyone_is_called_once_at_their_time(loop: HandLoop, deadlines: Deadlines) -> None:
    dice = random.Random(3)
    times = [1000 + dice.random() for _ in range(200)]
    waiters = [Waiter(deadlines) for _ in times]
    for waiter, when in zip(waiters, times, strict=True):
        deadlines.arm(waiter, when)
    loop.run(1002.0)
    assert [waiter.calls for waiter in waiters] == [[when] for when in times]
    assert loop.is_asleep


def test_an_earlier_deadline_replaces_a_later_one_and_not_the_other_way(loop: HandLoop, deadlines: Deadlines) -> None:
    waiter = Waiter(deadlines)
    deadlines.arm(waiter, 1000.5)
    deadlines.arm(waiter, 1000.2)
    deadlines.arm(waiter, 1000.9)
    loop.run(1002.0)
    assert waiter.calls == [1000.2]


def test_a_waiter_arms_itself_again(loop: HandLoop, deadlines: Deadlines) -> None:
    waiter = Waiter(deadlines, again=[1000.3, 1000.4])
    other = Waiter(deadlines)
    deadlines.arm(waiter, 1000.2)
    deadlines.arm(other, 1000.35)
    loop.run(1002.0)
    assert waiter.calls == [1000.2, 1000.3, 1000.4]
    assert other.calls == [1000.35]


def test_a_disarmed_waiter_is_left_alone(loop: HandLoop, deadlines: Deadlines) -> None:
    waiter, other = Waiter(deadlines), Waiter(deadlines)
    deadlines.arm(waiter, 1000.2)
    deadlines.arm(other, 1000.3)
    deadlines.disarm(waiter)
    loop.run(1000.25)
    deadlines.arm(waiter, 1000.7)
    loop.run(1002.0)
    assert (waiter.calls, other.calls) == ([1000.7], [1000.3])
    deadlines.arm(waiter, 1005.0)
    deadlines.close()
    assert loop.is_asleep


def test_a_leg_that_breaks_stops_nobody_elses_clock(loop: HandLoop, pacer: Pacer) -> None:
    class Broken:
        def on_turn(self, _now: float) -> bool:
            raise ZeroDivisionError

    good = Leg()
    pacer.add(Broken(), loop.now)
    pacer.add(good, loop.now)
    with pytest.raises(ZeroDivisionError):
        loop.run(1000.1)
    loop.run(1000.5)
    assert len(good.turns) == 23  # of 24, the one behind the broken one is missing
    assert set(steps(good)) == {20}


def test_a_waiter_that_breaks_leaves_the_others_their_deadlines(loop: HandLoop, deadlines: Deadlines) -> None:
    class Broken(Waiter):
        def on_deadline(self, _now: float) -> None:
            raise ZeroDivisionError

    good = Waiter(deadlines)
    deadlines.arm(Broken(deadlines), 1000.2)
    deadlines.arm(good, 1000.3)
    with pytest.raises(ZeroDivisionError):
        loop.run(1000.25)
    loop.run(1000.5)
    assert good.calls == [1000.3]
