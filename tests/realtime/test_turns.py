"""When a turn begins and ends, in ms of audio."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.realtime.session_fields import SemanticVad, ServerVad
from perhop.realtime.turns import WINDOW_MS, SpeechStarted, SpeechStopped, TurnDetector, TurnTiming

Decision = SpeechStarted | SpeechStopped


class Caller:
    """Feeds a detector window by window."""

    def __init__(self, settings: ServerVad | SemanticVad | None, timing: TurnTiming | None = None) -> None:
        self.detector = TurnDetector(settings, timing)
        self.ms = 0

    def hear(self, *probabilities: float) -> list[Decision]:
        decisions = []
        for probability in probabilities:
            self.ms += WINDOW_MS
            decision = self.detector.window(probability, self.ms)
            if decision is not None:
                decisions.append(decision)
        return decisions

    def silence_until_stopped(self, limit_ms: int = 20_000) -> int:
        """Ms of silence after which the turn ended."""
        start = self.ms
        while self.ms - start < limit_ms:
            if self.hear(0.0):
                return self.ms - start
        raise AssertionError("the turn never ended")


def test_speech_starts_with_the_second_loud_window_and_reaches_back_before_the_first() -> None:
    caller = Caller(ServerVad(prefix_padding_ms=100))
    assert caller.hear(*[0.1] * 10, 0.9) == []
    assert caller.hear(0.9) == [SpeechStarted(320 - 100)]


def test_a_single_loud_window_is_a_click() -> None:
    caller = Caller(ServerVad())
    assert caller.hear(0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1) == []


def test_the_padding_never_reaches_before_the_session() -> None:
    assert Caller(ServerVad()).hear(0.9, 0.9) == [SpeechStarted(0)]


def test_the_padding_never_reaches_into_the_turn_before() -> None:
    caller = Caller(ServerVad(prefix_padding_ms=1_000, silence_duration_ms=64))
    caller.hear(*[0.9] * 10, 0.0)
    [stopped] = caller.hear(0.0)
    assert caller.hear(0.9, 0.9) == [SpeechStarted(stopped.end_ms if isinstance(stopped, SpeechStopped) else -1)]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_the_threshold_decides_what_is_speech(threshold: float) -> None:
    caller = Caller(ServerVad(threshold=threshold))
    assert caller.hear(*[threshold - 0.01] * 5) == []
    assert len(caller.hear(threshold, threshold)) == 1


@pytest.mark.parametrize(("silence_ms", "expected"), [(0, 32), (32, 32), (200, 224), (500, 512), (1_000, 1_024)])
def test_server_vad_ends_a_turn_after_the_configured_silence(silence_ms: int, expected: int) -> None:
    caller = Caller(ServerVad(silence_duration_ms=silence_ms))
    caller.hear(*[0.9] * 20)
    assert caller.silence_until_stopped() == expected


def test_the_end_of_speech_includes_the_silence() -> None:
    caller = Caller(ServerVad(silence_duration_ms=64))
    caller.hear(*[0.9] * 20)
    assert caller.hear(0.0, 0.0) == [SpeechStopped(22 * WINDOW_MS)]


def test_soft_syllables_keep_the_turn_open() -> None:
    caller = Caller(ServerVad(threshold=0.5, silence_duration_ms=200))
    caller.hear(*[0.9] * 5)
    assert caller.hear(*[0.4] * 50) == []
    assert caller.silence_until_stopped() == 224


def test_a_pause_shorter_than_the_silence_does_not_end_the_turn() -> None:
    caller = Caller(ServerVad(silence_duration_ms=200))
    caller.hear(*[0.9] * 5)
    for _ in range(10):
        assert caller.hear(*[0.0] * 6, 0.9) == []


def test_a_turn_can_follow_a_turn() -> None:
    caller = Caller(ServerVad(silence_duration_ms=64))
    for _ in range(3):
        assert [type(d) for d in caller.hear(*[0.9] * 10, *[0.0] * 10)] == [SpeechStarted, SpeechStopped]


def test_a_click_after_a_turn_is_still_a_click() -> None:
    caller = Caller(ServerVad(silence_duration_ms=64))
    caller.hear(*[0.9] * 10, 0.0, 0.0)
    assert caller.hear(0.9, 0.0, 0.9, 0.0) == []


def test_manual_turns_are_not_detected() -> None:
    assert Caller(None).hear(*[0.9] * 50, *[0.0] * 50) == []


def test_windows_of_audio_that_was_committed_meanwhile_are_ignored() -> None:
    caller = Caller(ServerVad())
    caller.hear(0.9, 0.9)
    caller.detector.reset(1_000)
    assert caller.hear(*[0.9] * 29) == []
    assert caller.ms < 1_000
    assert caller.hear(0.9, 0.9, 0.9) == [SpeechStarted(1_000)]


@pytest.mark.parametrize(
    ("eagerness", "complete", "unknown", "incomplete"),
    [("low", 224, 1_216, 4_000), ("medium", 224, 704, 1_600), ("high", 224, 480, 1_024), ("auto", 224, 704, 1_600)],
)
def test_semantic_vad_waits_as_the_words_suggest(eagerness: str, complete: int, unknown: int, incomplete: int) -> None:
    for hint, expected in (("complete", complete), ("unknown", unknown), ("incomplete", incomplete)):
        caller = Caller(SemanticVad(eagerness=eagerness))  # type: ignore[arg-type]
        caller.hear(*[0.9] * 20)
        caller.detector.hint(hint)  # type: ignore[arg-type]
        assert caller.silence_until_stopped() == expected


def test_a_hint_ends_the_turn_when_the_silence_is_already_long_enough() -> None:
    caller = Caller(SemanticVad())
    caller.hear(*[0.9] * 20, *[0.0] * 6)
    assert caller.detector.hint("complete") is None
    caller.hear(0.9, *[0.0] * 5)
    assert caller.detector.hint("incomplete") is None
    assert caller.hear(*[0.0] * 3) == []
    assert caller.detector.hint("complete") == SpeechStopped(caller.ms)
    assert not caller.detector.speaking


def test_a_hint_while_the_caller_speaks_does_not_cut_in() -> None:
    caller = Caller(SemanticVad())
    caller.hear(*[0.9] * 20)
    assert caller.detector.hint("complete") is None


def test_hints_mean_nothing_to_server_vad_and_outside_of_turns() -> None:
    caller = Caller(ServerVad(silence_duration_ms=500))
    caller.hear(*[0.9] * 20, *[0.0] * 10)
    assert caller.detector.hint("complete") is None
    assert Caller(SemanticVad()).detector.hint("complete") is None


def test_what_was_known_of_one_turn_is_not_held_against_the_next() -> None:
    caller = Caller(SemanticVad())
    caller.hear(*[0.9] * 20)
    caller.detector.hint("complete")
    caller.silence_until_stopped()
    caller.hear(*[0.9] * 20)
    assert caller.silence_until_stopped() == 704


def test_the_constants_can_be_tuned() -> None:
    caller = Caller(SemanticVad(), TurnTiming(start_windows=4, complete_ms=64))
    assert caller.hear(*[0.9] * 3) == []
    assert len(caller.hear(0.9)) == 1
    caller.detector.hint("complete")
    assert caller.silence_until_stopped() == 64


@given(
    st.lists(st.floats(0, 1), max_size=300),
    st.sampled_from([ServerVad(), ServerVad(threshold=0.0), ServerVad(silence_duration_ms=0), SemanticVad(), None]),
)
def test_starts_and_ends_alternate_and_time_only_moves_forward(
    probabilities: list[float], settings: ServerVad | SemanticVad | None
) -> None:
    caller, last_ms, speaking = Caller(settings), 0, False
    for probability in probabilities:
        for decision in caller.hear(probability):
            assert isinstance(decision, SpeechStopped) is speaking
            speaking = not speaking
            at = decision.start_ms if isinstance(decision, SpeechStarted) else decision.end_ms
            assert last_ms <= at <= caller.ms
            last_ms = at
        assert caller.detector.speaking is speaking
