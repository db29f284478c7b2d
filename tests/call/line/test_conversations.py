"""A conversation outlives its model sessions: nothing is lost, nothing doubled, and the caller never notices."""

from __future__ import annotations

import pytest
from tests.call.line.conversations import Conversation, Outcome
from tests.virtual_time import run_virtual


def converse(seed: int, *, cap_s: float | None = None, kills: int = 0, seconds: float = 40.0) -> Outcome:
    return run_virtual(Conversation(seed, cap_s=cap_s, kills=kills, seconds=seconds).run())


def test_sessions_that_end_are_renewed_unnoticed(count: int) -> None:
    sessions = 0
    for seed in range(count):
        outcome = converse(seed, cap_s=(3.0, 6.0, 15.0)[seed % 3])
        assert not outcome.wrong, f"seed {seed}: {outcome.wrong}"
        sessions += outcome.sessions
    assert sessions > 5 * count, "the sessions did end"


def test_broken_sockets_are_replaced_and_the_context_restored(count: int) -> None:
    for seed in range(10_000, 10_000 + count):
        outcome = converse(seed, kills=6)
        assert not outcome.wrong, f"seed {seed}: {outcome.wrong}"
        assert outcome.sessions >= 6


def test_both_at_once(count: int) -> None:
    for seed in range(20_000, 20_000 + count):
        outcome = converse(seed, cap_s=8.0, kills=5)
        assert not outcome.wrong, f"seed {seed}: {outcome.wrong}"


@pytest.mark.parametrize(
    ("module", "name", "broken", "finds"),
    [
        ("journal:Journal", "replay", lambda self: iter(()), "lost_frames"),
        ("journal:Journal", "_settle_before", lambda self, position: None, "doubled_frames"),
        ("epoch:Epoch", "_take", lambda self, name, item_id: False, "doubled_items"),
        ("epoch:Epoch", "catch_up", lambda self, history: None, "wrong_context"),
        ("books:Books", "_is_speech_again", lambda self, event: False, "speech_doubled"),
    ],
)
def test_the_conversations_would_notice(
    module: str, name: str, broken: object, finds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"perhop.call.line.{module.replace(':', '.')}.{name}", broken)
    wrong = [problem for seed in range(6) for problem in converse(seed, cap_s=6.0, kills=4, seconds=15.0).wrong]
    assert any(problem.startswith(finds) for problem in wrong)
