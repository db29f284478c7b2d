"""Words are shown while they are spoken, and never taken back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perhop.models.stable import AGREEING, TAIL, StableWords

WORDS = ["i", "would", "like", "to", "see", "a", "two", "bedroom", "in", "oakland", "on", "friday"]


def test_words_appear_in_order_behind_those_that_may_still_change() -> None:
    stable = StableWords()
    shown = [stable.push(" ".join(WORDS[: count + 1])) for count in range(len(WORDS)) for _ in range(AGREEING)]
    assert "".join(shown) == " ".join(WORDS[:-TAIL]) + " "


def test_a_word_that_is_still_being_revised_is_not_shown() -> None:
    stable = StableWords()
    for ending in ("bath", "bathroom", "bed", "bedroom"):
        assert stable.push(f"a two {ending} in oakland now") in ("", "a two ")


def test_after_a_contradiction_nothing_more_is_shown() -> None:
    stable = StableWords()
    for _ in range(AGREEING):
        stable.push("a two bedroom in oakland")
    assert all(stable.push("show me a two bedroom in oakland") == "" for _ in range(2 * AGREEING))


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=30))
def test_what_was_shown_agrees_with_the_last_hypothesis_that_added_to_it(hypotheses: list[list[str]]) -> None:
    stable = StableWords()
    shown = ""
    for words in hypotheses:
        piece = stable.push(" ".join(words))
        shown += piece
        if piece:
            assert " ".join(words).startswith(shown.rstrip())
