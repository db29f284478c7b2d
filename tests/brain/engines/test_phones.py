from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pocketsphinx import get_model_path

from perhop.brain.engines.espeak import Espeak, load_espeak
from perhop.brain.engines.phones import Dictionary, cmu_variants

DICTIONARY = Dictionary(Path(get_model_path("en-us/cmudict-en-us.dict")))


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    espeak = load_espeak()
    espeak.set_voice("en-us")
    return espeak


@pytest.mark.parametrize(
    ("word", "pronunciations"),
    [
        ("'bout", ("B AW T",)),  # the first line of the file
        ("zywicki", ("Z IH W IH K IY",)),  # the last
        ("today", ("T AH D EY", "T UW D EY")),
        ("zyuganov's", ("Z Y UW G AA N AA V Z", "Z UW G AA N AA V Z")),
        ("nosuchword", ()),
        ("", ()),
        ("today(2)", ()),
        ("zzzz", ()),
        ("é", ()),
    ],
)
def test_words_are_found_with_all_their_pronunciations(word: str, pronunciations: tuple[str, ...]) -> None:
    assert DICTIONARY.lookup(word) == pronunciations


def test_every_word_of_the_file_is_found() -> None:
    lines = Path(get_model_path("en-us/cmudict-en-us.dict")).read_text().splitlines()
    for line in lines[::97]:
        word, _, phones = line.partition(" ")
        assert phones in DICTIONARY.lookup(word.partition("(")[0])


@given(st.text(max_size=20))
def test_no_word_is_too_strange_to_look_up(word: str) -> None:
    assert isinstance(DICTIONARY.lookup(word), tuple)


def test_guesses_are_close_to_what_the_dictionary_says(espeak: Espeak) -> None:
    words = ["oakland", "friday", "bedroom", "thirty", "piedmont", "lakeshore", "water", "details"]
    right = sum(bool(set(cmu_variants(espeak, word)) & set(DICTIONARY.lookup(word))) for word in words)
    assert right >= 6


def test_unknown_words_get_up_to_three_pronunciations_in_phones_of_the_model(espeak: Espeak) -> None:

    for word in ("temescal", "rockridge", "perhop"):
        variants = cmu_variants(espeak, word)
        assert 1 <= len(variants) <= 3
        assert len(set(variants)) == len(variants)
        assert all(phone.isascii() and phone.isupper() for variant in variants for phone in variant.split())


def test_what_cannot_be_said_has_no_pronunciation(espeak: Espeak) -> None:
    assert cmu_variants(espeak, "\x01") == ()
