"""Which model is tried next, and when."""

from __future__ import annotations

import random

import pytest
from tests.call.helpers import PuppetModel

from perhop.call.kinds import ModelKind
from perhop.call.line.candidates import Candidates
from perhop.call.line.policy import LinePolicy


def candidates(*names: str, tries: int = 3) -> Candidates:
    policy = LinePolicy(tries=tries, rng=random.Random(1))
    return Candidates([ModelKind(lambda: PuppetModel(lambda *_: None), name=name) for name in names], policy)


def test_a_lost_session_is_replaced_at_once_and_then_ever_more_patiently() -> None:
    model = candidates("a", tries=20)
    delays = [model.failed(fatal=False, patient=False) for _ in range(12)]
    assert delays[0] == 0.0
    assert all(delay is not None and delay <= 5.0 for delay in delays)
    assert delays[1] is not None
    assert 0.1 <= delays[1] <= 0.2
    assert delays[-1] is not None
    assert delays[-1] >= 2.5


def test_after_enough_failures_the_next_model_has_its_turn() -> None:
    models = candidates("a", "b")
    for _ in range(3):
        models.failed(fatal=False, patient=False)
    assert models.current.name == "b"
    for _ in range(2):
        assert models.failed(fatal=False, patient=False) is not None
    assert models.failed(fatal=False, patient=False) is None, "there is nobody left"


def test_a_refusal_for_good_is_taken_once() -> None:
    models = candidates("a", "b")
    assert models.failed(fatal=True, patient=True) == 0.0
    assert models.current.name == "b"
    models.succeeded()
    for _ in range(2):
        assert models.failed(fatal=False, patient=False) is not None
    assert models.failed(fatal=False, patient=False) is None, "a refused model is not asked again"


def test_what_works_starts_afresh() -> None:
    models = candidates("a", "b")
    for _ in range(3):
        models.failed(fatal=False, patient=False)
    models.succeeded()
    for _ in range(3):
        assert models.failed(fatal=False, patient=False) is not None
    assert models.current.name == "a", "a may have recovered meanwhile"


@pytest.mark.parametrize("life_s", [2.0, 60.0, 1800.0, 3600.0])
def test_a_takeover_is_prepared_before_it_is_forced_and_forced_before_the_end(life_s: float) -> None:
    takeover = LinePolicy().takeover(life_s)
    assert 0 < takeover.prepare < takeover.force < takeover.last < life_s


def test_the_last_one_is_tried_as_long_as_there_is_patience() -> None:
    models = candidates("a", "b")
    delays = [models.failed(fatal=False, patient=True) for _ in range(30)]
    assert None not in delays
    assert models.current.name == "b"
    assert models.failed(fatal=False, patient=False) is None


def test_nobody_is_patient_with_a_refusal_for_good() -> None:
    assert candidates("a").failed(fatal=True, patient=True) is None
