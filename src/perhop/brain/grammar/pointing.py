"""Pointing at something that was just listed: "the first one", "number two", "the last one", "that one", "book it"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perhop.text.numbers import read_cardinal, read_ordinal
from perhop.text.words import split, vocabulary, word_at

__all__ = ["POINTING", "Pointer", "read_pointer"]

POINTING = (
    "[the] (/100.0/ first | /30.0/ second | /10.0/ third | /1.0/ fourth | /0.1/ fifth | /10.0/ last) one",
    "(number | option) (one | two | three | four | five)",
)  # fmt: skip
"""The same as JSGF alternatives."""

_THIS = frozenset({"it", "that", "this"})
_AFTER_THIS = frozenset(vocabulary("one place home listing option"))
_DULL = frozenset(vocabulary("the and for with one two street avenue road drive lane place court boulevard way"))


@dataclass(frozen=True, slots=True)
class Pointer:
    """What was pointed at.

    Attributes:
        index: of the entry, from 0; -1 for the last; None for "it".
        named: whether the entry itself was named ("the one on Grand Avenue").
    """

    index: int | None
    start: int
    end: int
    named: bool = False


def read_pointer(
    words: Sequence[str], labels: Sequence[str], *, nouns: frozenset[str] = frozenset(), alone: bool = False
) -> Pointer | None:
    """Finds the clearest pointer in an utterance.

    Args:
        words: lower-case words.
        labels: what the entries are called, in the order they were listed.
        nouns: what one entry may be called ("listing").
        alone: whether "the first" without a noun counts, which may be a date.
    """
    ones = _AFTER_THIS | nouns
    weak: Pointer | None = None
    for at, word in enumerate(words):
        number = read_cardinal(words, at + 1) if word in ("number", "option") else None
        if number and 0 < number.value <= (20 if word == "option" else len(labels)):
            return Pointer(number.value - 1, at, number.end)
        ordinal = read_ordinal(words, at)
        start = at - (at > 0 and words[at - 1] == "the")
        if ordinal and (word_at(words, ordinal.end) in ones or (alone and start == 0 and ordinal.end == len(words))):
            return Pointer(ordinal.value - 1, start, ordinal.end + (ordinal.end < len(words)))
        if word == "last" and word_at(words, at + 1) in ones:
            return Pointer(-1, start, at + 2)
        if word in _THIS and weak is None:
            one = word_at(words, at + 1) in ones
            if one or word == "it" or (word == "that" and at + 1 == len(words)):
                weak = Pointer(None, at, at + 1 + one)
    return _named(words, labels) or weak


def _named(words: Sequence[str], labels: Sequence[str]) -> Pointer | None:
    """The one entry with a word of its own in the utterance."""
    own = [{word.text for word in split(label) if len(word.text) > 2} - _DULL for label in labels]
    hits = []
    for index, mine in enumerate(own):
        others = set().union(*(other for n, other in enumerate(own) if n != index)) if len(own) > 1 else set()
        at = [n for n, word in enumerate(words) if word in mine - others]
        if at:
            hits.append(Pointer(index, min(at), max(at) + 1, named=True))
    return hits[0] if len(hits) == 1 else None
