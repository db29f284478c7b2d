"""The life of a response: the table itself, and the proof that every entry of it matters."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.realtime.walks import Walk, random_walk

from perhop.realtime import lifecycle, responder
from perhop.realtime.lifecycle import TRANSITIONS, Action, State, Stimulus, step

WALKS = 250
STEPS = 60

Pair = tuple[State, Stimulus]


def test_the_table_knows_every_state_and_stimulus() -> None:
    assert set(TRANSITIONS) == {(state, stimulus) for state in State for stimulus in Stimulus}


@pytest.mark.parametrize("pair", TRANSITIONS, ids=lambda pair: f"{pair[0].value}-{pair[1].value}")
def test_what_the_table_promises(pair: Pair) -> None:
    before = pair[0]
    after, actions = step(*pair)
    assert (Action.BEGIN in actions) is (before is State.IDLE and after is not State.IDLE)
    assert (Action.CLOSE in actions) is (before is not State.IDLE and after is State.IDLE)
    assert (Action.START in actions) is (before is not State.RUNNING and after is State.RUNNING)
    assert Action.EMIT not in actions or before is State.RUNNING
    host_goes_on = pair[1] not in (Stimulus.FINISH, Stimulus.FAIL)
    assert (Action.STOP in actions) is (before is State.RUNNING and after is State.IDLE and host_goes_on)
    if Action.REFUSE_CREATE in actions or Action.REFUSE_CANCEL in actions:
        assert (after, len(actions)) == (before, 1)
    assert len(actions) == len(set(actions))
    assert Action.STOP not in actions or actions.index(Action.STOP) < actions.index(Action.CLOSE)


@pytest.mark.parametrize("seed", range(WALKS))
def test_every_rule_holds_on_random_walks(seed: int) -> None:
    random_walk(seed, STEPS, official=seed % 10 == 0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_every_rule_holds_on_walks_made_to_break_them(data: st.DataObject) -> None:
    Walk(lambda n: data.draw(st.integers(0, n - 1))).run(20)


# -- every entry matters ----------------------------------------------------------------------------------------------

MET: frozenset[Pair] = frozenset(
    {
        (State.IDLE, Stimulus.CREATE),
        (State.IDLE, Stimulus.CANCEL),
        (State.IDLE, Stimulus.INTERRUPT),
        (State.IDLE, Stimulus.OUTPUT),
        (State.IDLE, Stimulus.FINISH),
        (State.IDLE, Stimulus.FAIL),
        (State.WAITING, Stimulus.CREATE),
        (State.WAITING, Stimulus.READY),
        (State.WAITING, Stimulus.OUTPUT),
        (State.WAITING, Stimulus.FINISH),
        (State.WAITING, Stimulus.SETTLE),
        (State.WAITING, Stimulus.FAIL),
        (State.WAITING, Stimulus.CANCEL),
        (State.WAITING, Stimulus.INTERRUPT),
        (State.RUNNING, Stimulus.CREATE),
        (State.RUNNING, Stimulus.OUTPUT),
        (State.RUNNING, Stimulus.FINISH),
        (State.RUNNING, Stimulus.HOLD),
        (State.RUNNING, Stimulus.FAIL),
        (State.RUNNING, Stimulus.LIMIT),
        (State.RUNNING, Stimulus.CANCEL),
        (State.RUNNING, Stimulus.INTERRUPT),
    }
)
"""Pairs that happen. The others cannot: the words of a context are known once, and limits are the running one's."""

NOBODY_HOME = {(State.IDLE, stimulus) for stimulus in (Stimulus.OUTPUT, Stimulus.FINISH, Stimulus.FAIL)}
"""What is said of a closed response finds an empty room, which is thrown away: its next state changes nothing."""


def mutants() -> list[tuple[Pair, str, tuple[State, tuple[Action, ...]]]]:
    """Every entry that is met, with one thing wrong: an action forgotten, another state, a guard taken away."""
    found = []
    for pair in sorted(MET, key=lambda pair: (pair[0].value, pair[1].value)):
        state, actions = TRANSITIONS[pair]
        for action in actions:
            rest = tuple(other for other in actions if other is not action)
            found.append((pair, f"without {action.value}", (state, rest)))
        for other in State:
            if other is not state and pair not in NOBODY_HOME:
                found.append((pair, f"to {other.value}", (other, actions)))
            if other is not pair[0] and TRANSITIONS[other, pair[1]][1] != actions:
                found.append((pair, f"as if {other.value}", TRANSITIONS[other, pair[1]]))
    return found


def seeds_until_broken() -> int | None:
    for seed in range(WALKS):
        try:
            random_walk(seed, STEPS)
        except Exception:  # noqa: BLE001 - whatever it breaks, it is noticed
            return seed
    return None


def test_the_walks_meet_every_entry_that_can_be_met(monkeypatch: pytest.MonkeyPatch) -> None:
    met: set[Pair] = set()

    def noting(state: State, stimulus: Stimulus) -> Any:
        met.add((state, stimulus))
        return step(state, stimulus)

    monkeypatch.setattr(responder, "step", noting)
    for seed in range(WALKS):
        random_walk(seed, STEPS)
    assert met == MET


@pytest.mark.parametrize(
    ("pair", "outcome"),
    [pytest.param(p, o, id=f"{p[0].value}-{p[1].value}-{what.replace(' ', '-')}") for p, what, o in mutants()],
)
def test_a_wrong_entry_breaks_a_rule(
    pair: Pair, outcome: tuple[State, tuple[Action, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "TRANSITIONS", MappingProxyType({**TRANSITIONS, pair: outcome}))
    assert seeds_until_broken() is not None
