"""How the words of a grammar are written: recognisers know lower case only, and tools say which words are names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from perhop.text.words import MONTHS, WEEKDAYS, split

if TYPE_CHECKING:
    from perhop.brain.grammar.understand import Domain

__all__ = ["spellings"]

_ENGLISH = {word: word.capitalize() for word in (*WEEKDAYS, *MONTHS, "i", "i'd", "i'm", "i'll", "i've")}


def spellings(domain: Domain) -> dict[str, str]:
    """The words that are written with capitals, by their lower-case form: "oakland" is "Oakland".

    A word that tools write in both ways, as a name and in a phrase, stays as it is.
    """
    slots = [slot for tool in domain.tools.values() for slot in tool.slots.values()]
    slots += [slot.item for slot in slots if slot.item is not None]
    names: dict[str, str] = {}
    for word in _words(choice.label for slot in slots for choice in slot.choices):
        if word != word.lower():
            names.setdefault(word.lower(), word)
    # The first word of a sample is a sentence's beginning, and says nothing about its own case.
    phrases = [text.partition(" ")[2] for tool in domain.tools.values() for text in tool.samples]
    labels = [choice.label for slot in slots for choice in slot.choices]
    titles = [tool.title for tool in domain.tools.values()]
    common = {word for word in _words([*phrases, *labels, *titles]) if word == word.lower()}
    return {**{word: name for word, name in names.items() if word not in common}, **_ENGLISH}


def _words(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for word in split(text):
            yield text[word.start : word.end]
