"""The normaliser writes spoken forms and knows where each came from."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perhop.text import normalise
from perhop.text.words import DIGITS, MONTHS, NATO, ORDINALS, SCALES, TEENS, TENS, WEEKDAYS, vocabulary

SPOKEN = [
    *DIGITS, *MONTHS, *NATO.values(), *ORDINALS, *SCALES, *TEENS, *TENS, *WEEKDAYS,
    *vocabulary(
        "a b i m p am pm as in and at dot dash underscore hundred double triple half quarter past to point percent "
        "dollars cents plus minus area code of the o'clock morning afternoon tonight gmail com smith john , . 5 25 "
        "2:30 $20 2nd 510 555 March 1984 x@y.zz 2026-03-05 capital for like"
    ),
]  # fmt: skip
phrases = st.lists(st.sampled_from(SPOKEN), max_size=14).map(" ".join)
anything = st.one_of(phrases, st.text(max_size=60), st.lists(st.one_of(phrases, st.text(max_size=8))).map(" ".join))


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("call me at five one oh five five five oh one three four", "call me at 510-555-0134"),
        ("double five triple oh one two", "5500012"),
        ("area code five one oh. five five five. oh one three four", "510-555-0134"),
        (
            "I'd like to see a two bedroom on Friday at two thirty p m",
            "I'd like to see a 2 bedroom on Friday at 2:30 pm",
        ),
        ("john dot smith at gmail dot com is my email", "john.smith@gmail.com is my email"),
        ("my email is j smith five at example dot co dot uk thanks", "my email is jsmith5@example.co.uk thanks"),
        ("half past two", "2:30"),
        ("quarter to three in the afternoon", "2:45 pm"),
        ("seven in the evening", "7:00 pm"),
        ("twenty five hundred dollars", "$2,500"),
        ("three dollars and fifty cents", "$3.50"),
        ("b as in bravo r o w n", "BROWN"),
        ("the fifth of may twenty twenty six", "May 5, 2026"),
        ("march twenty first", "March 21"),
        ("it was nineteen eighty four", "it was 1984"),
        ("one of them, the second one", "one of them, the second one"),
        ("I may be five minutes late", "I may be 5 minutes late"),
        ("my social is one two three, four five, six seven eight nine", "my social is 123456789"),
        ("five point two million", "5200000"),
        ("ten per cent", "10%"),
        ("two hundred and ten thousand", "210000"),
        ("on the twenty second", "on the 22nd"),
        ("nine fifty dollars", "$950"),
        ("at two thirty", "at 2:30"),
    ],
)
def test_spoken_forms_are_written(said: str, written: str) -> None:
    assert normalise(said).text == written


@pytest.mark.parametrize(
    "written",
    [
        "Call 510-555-0134 at 2:30 pm on March 5, 2026 for $2,500.",
        "john.smith@gmail.com wants 25% of 1,000",
        "The 22nd at 14:30, please",
        "",
        "no numbers here",
    ],
)
def test_written_text_passes_unchanged(written: str) -> None:
    result = normalise(written)
    assert result.text == written
    assert result.segments == ()


def test_a_finding_in_the_written_text_is_masked_in_the_original() -> None:
    said = "so it's five one oh five five five oh one three four, okay"
    result = normalise(said)
    start = result.text.index("510-555-0134")
    assert result.source(start, start + 12) == (8, 8 + len("five one oh five five five oh one three four"))
    assert result.source(start + 4, start + 7) == result.source(start, start + 12), (
        "a part stands for the whole segment"
    )
    assert said[slice(*result.source(result.text.index("okay"), len(result.text)))] == "okay"


def test_a_span_outside_the_text_is_refused() -> None:
    with pytest.raises(ValueError, match="not within"):
        normalise("two").source(0, 2)


@given(anything)
@example("one point")
@example("double double five")
@example("a hundred and")
@example("half past half past two")
@example("minus minus two")
def test_between_segments_both_texts_are_equal_and_segments_are_in_order(text: str) -> None:
    result = normalise(text)
    written, source = 0, 0
    for segment in result.segments:
        assert segment.start >= written
        assert segment.source_start >= source
        assert segment.end > segment.start
        assert segment.source_end > segment.source_start
        assert result.text[written : segment.start] == text[source : segment.source_start]
        written, source = segment.end, segment.source_end
    assert result.text[written:] == text[source:]
    assert result.original == text


@given(anything, st.data())
def test_the_alignment_covers_every_character_and_keeps_order(text: str, data: st.DataObject) -> None:
    result = normalise(text)
    cut = data.draw(st.integers(0, len(result.text)))
    assert result.source(0, len(result.text)) == (0, len(text)) if result.text else True
    left, right = result.source(0, cut), result.source(cut, len(result.text))
    assert left[0] == 0 or cut == 0
    assert right[1] == len(text) or cut == len(result.text)
    assert left[1] >= right[0] or cut in (0, len(result.text)), "no character of the original falls between two spans"
    for index in range(len(result.text)):
        start, end = result.source(index, index + 1)
        assert 0 <= start < end <= len(text)


@given(anything)
@example("5 two thirty")
@example("twenty 5 , 25")
@example("zero zero one million")
@example("fourth one")
@example("zero o'clock")
@example("january first one")
@example("january first o'clock")
@example("first first january")
@example("oh a thousand")
@example("minus minus zero")
@example("oh at oh point one january")
def test_what_was_written_stays_as_it_is(text: str) -> None:
    once = normalise(text).text
    assert normalise(once).text == once


@pytest.mark.parametrize("piece", ["a ", "one ", "john dot ", "x@", "1,", "a.b", "half past ", "a as in ", "double "])
def test_long_text_takes_time_in_proportion(piece: str) -> None:
    def spent(length: int) -> float:
        """The lesser of two times: what else the machine does only ever adds to it."""
        text, took = (piece * length)[:length], []
        for _ in range(2):
            started = time.process_time()
            normalise(text)
            took.append(time.process_time() - started)
        return min(took)

    assert spent(16_000) < 12 * max(spent(4_000), 0.004), "four times the text, well under sixteen times the time"
