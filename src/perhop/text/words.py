"""Words with their place in the text, and the small vocabularies every reader of spoken forms shares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = [
    "DIGITS",
    "MONTHS",
    "NATO",
    "ORDINALS",
    "SCALES",
    "TEENS",
    "TENS",
    "UNITS",
    "WEEKDAYS",
    "Reading",
    "Word",
    "split",
    "vocabulary",
    "word_at",
]

T = TypeVar("T")


def vocabulary(words: str) -> tuple[str, ...]:
    """The words of a space-separated table: how vocabularies are written down in this package and its users."""
    return tuple(words.split())


UNITS = {word: n for n, word in enumerate(vocabulary("one two three four five six seven eight nine"), start=1)}
TEENS = {
    word: n
    for n, word in enumerate(
        vocabulary("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"), start=10
    )
}
TENS = {
    word: 10 * n for n, word in enumerate(vocabulary("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
SCALES = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
DIGITS = {"zero": 0, "oh": 0, "o": 0, "nought": 0} | UNITS
ORDINALS = {
    word: n
    for n, word in enumerate(
        vocabulary(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
            "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
        ),
        start=1,
    )
} | {"thirtieth": 30}
WEEKDAYS = {word: n for n, word in enumerate(vocabulary("monday tuesday wednesday thursday friday saturday sunday"))}
MONTHS = {
    word: n
    for n, word in enumerate(
        vocabulary("january february march april may june july august september october november december"),
        start=1,
    )
}
NATO = {
    word[0]: word
    for word in vocabulary(
        "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec "
        "romeo sierra tango uniform victor whiskey xray yankee zulu"
    )
}

_WORD = re.compile(
    r"""
      [\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}  # e-mail; bounded, or looking for the @ takes forever
    | [0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])               # ISO date
    | [0-9]{1,2}:[0-9]{2}(?![0-9])                   # time
    | [0-9]{1,2}/[0-9]{1,2}(?:/[0-9]{2,4})?(?![0-9/]) # date with slashes
    | [0-9]+(?:st|nd|rd|th)\b                  # ordinal
    | [$€£]\ ?[0-9][0-9,]*(?:\.[0-9]+)?             # money
    | [0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9])    # number with separators
    | [0-9]+(?:\.[0-9]+)?                         # number
    | [ap]\.\ ?m\b\.?                       # a.m., p. m.
    | [A-Za-z]{1,6}-?[0-9][A-Za-z0-9-]{0,30}\b  # code: AB1234, L-102
    | [^\W\d_]+(?:['\u2019][^\W\d_]+)*           # word
    | [.,;:!?@%+]                           # marks that readers care about
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MERIDIEM = re.compile(r"([ap])\.\s?m\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """One word, number or mark.

    Attributes:
        text: lower case, with a plain apostrophe; ``a.m.`` is ``am``.
        start: index of its first character in the text.
        end: index after its last character.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What a reader made of the words from where it was asked to look.

    Attributes:
        value: the thing read.
        end: index after the last word it used.
    """

    value: T
    end: int


def split(text: str) -> list[Word]:
    """The words of ``text`` in order. White space, hyphens and marks that mean nothing to a reader are left out."""
    words = []
    for match in _WORD.finditer(text):
        raw = match.group().lower().replace("\u2019", "'")
        if meridiem := _MERIDIEM.fullmatch(raw):
            raw = meridiem.group(1) + "m"
        words.append(Word(raw, match.start(), match.end()))
    return words


def word_at(words: Sequence[str], at: int) -> str:
    """The word at ``at``, or an empty string beyond either end: readers look ahead without minding the end."""
    return words[at] if 0 <= at < len(words) else ""
