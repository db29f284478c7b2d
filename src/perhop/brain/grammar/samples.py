"""Sample phrases taken apart: how a request opens, and which words stand around each slot.

``"show me a {bedrooms} bedroom in {city} on {day}"`` opens with "show me a"; ``bedrooms`` is followed by "bedroom",
``city`` is preceded by "in", ``day`` by "on". Grammar and understanding are both made of these pieces, so that a
caller may put them in any order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from perhop.brain.grammar.schema import Kind, Slot, Tool
from perhop.text.words import split, vocabulary

__all__ = ["Cues", "Sample", "read_cues", "read_sample"]

_BRACES = re.compile(r"\{([^{}]*)\}")
_PREPOSITIONS = frozenset(
    vocabulary(
        "about above after around as at before below between by called for from in into is near named of on over per "
        "saying since than that the through to toward under until up via with within without"
    )
)
_ARTICLES = frozenset({"a", "an", "the", "my", "our", "your"})
_MAX_CUE = 4

_DEFAULT_BEFORE: dict[Kind, tuple[str, ...]] = {
    Kind.DATE: ("on", "for", "by"),
    Kind.TIME: ("at", "around", "by", "for"),
    Kind.DATE_TIME: ("on", "for", "at"),
    Kind.EMAIL: ("my email is", "email is", "my email address is", "email address is", "to"),
    Kind.PHONE: ("my number is", "my phone number is", "number is", "call me at", "reach me at", "at", "to"),
    Kind.NAME: ("my name is", "the name is", "name is", "under the name", "this is", "name"),
}
_PLACE_WORDS = {"destination": ("to",), "origin": ("from",)}
_LIMITS: dict[str, tuple[str, ...]] = {
    "maximum": ("under", "below", "less than", "up to", "at most", "no more than", "maximum", "max", "within"),
    "minimum": ("over", "above", "more than", "at least", "no less than", "minimum", "from"),
}


@dataclass(frozen=True, slots=True)
class Cues:
    """The words that announce a slot's value, and those that follow it; longest first."""

    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample phrase.

    Attributes:
        lead: the words before the first slot's cue.
        slots: the slots in order.
        words: all literal words, for matching.
        cues: what stands around each slot.
    """

    lead: tuple[str, ...]
    slots: tuple[str, ...]
    words: tuple[str, ...]
    cues: dict[str, Cues] = field(default_factory=dict)


def _literals(text: str) -> tuple[str, ...]:
    return tuple(word.text for word in split(text) if word.text[0].isalnum())


def read_sample(text: str) -> Sample:
    """Takes a sample apart. Braces name slots; everything else is said literally."""
    parts = _BRACES.split(text)
    runs = [_literals(part) for part in parts[::2]]
    slots = tuple(name.strip() for name in parts[1::2])
    lead, before = _tail_cue(runs[0]) if slots else (runs[0], ())
    cues: dict[str, Cues] = {}
    for at, (slot, run) in enumerate(zip(slots, runs[1:], strict=True), start=1):
        after, following = (run, ()) if at == len(slots) else _between(run)
        cues[slot] = Cues((before,) if before else (), (after[:_MAX_CUE],) if after else ())
        before = following
    return Sample(lead, slots, tuple(word for run in runs for word in run), cues)


def _tail_cue(run: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Splits the opening words: the preposition that leads to the first slot is that slot's own."""
    at = len(run)
    while at > 0 and (run[at - 1] in _PREPOSITIONS or run[at - 1] == "number") and len(run) - at < _MAX_CUE:
        at -= 1
    return run[:at], run[at:]


def _between(run: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Splits the words between two slots at the first preposition: "bedroom in" is "bedroom" + "in"."""
    for at, word in enumerate(run):
        if word in _PREPOSITIONS:
            return run[:at], run[at:][-_MAX_CUE:]
    return (run, ()) if run and run[-1] not in _ARTICLES else (run[:-1], run[-1:])


def _nouns(slot: Slot) -> list[tuple[str, ...]]:
    """The slot's own name as a cue: "bedrooms", "bedroom", and the start of it ("bed") for counts."""
    words = tuple(slot.noun.split())
    forms = [words]
    last = words[-1] if words else ""
    if len(last) > 3 and last.endswith("s") and not last.endswith("ss"):
        forms.append((*words[:-1], last[:-1]))
    elif last and slot.kind in (Kind.INTEGER, Kind.NUMBER):
        forms.append((*words[:-1], last + "s"))
    return [form for form in forms if form]


def read_cues(tool: Tool, samples: Sequence[Sample]) -> dict[str, Cues]:
    """The cues of every slot of a tool: those of its samples and those its kind and name suggest."""
    found = {}
    for slot in tool.slots.values():
        before: dict[tuple[str, ...], None] = {}
        after: dict[tuple[str, ...], None] = {}
        for sample in samples:
            if slot.name in sample.cues:
                before |= dict.fromkeys(sample.cues[slot.name].before)
                after |= dict.fromkeys(sample.cues[slot.name].after)
        before |= dict.fromkeys(tuple(text.split()) for text in _DEFAULT_BEFORE.get(slot.kind, ()))
        if slot.kind is Kind.CHOICE and not slot.choices:
            before |= dict.fromkeys((word,) for word in _PLACE_WORDS.get(slot.noun.split()[-1], ("in", "near", "for")))
        nouns = _nouns(slot)
        limit = slot.noun.partition(" ")[0]
        if slot.kind in (Kind.INTEGER, Kind.NUMBER, Kind.MONEY):
            before |= dict.fromkeys(tuple(text.split()) for text in _LIMITS.get(limit, ()))
            after |= {} if limit in _LIMITS else dict.fromkeys(nouns)
        if slot.kind is Kind.TEXT:  # "leave a message for billing" does not begin one
            before |= dict.fromkeys((*noun, mark) for noun in nouns[:1] for mark in ("is", ":"))
        elif slot.kind not in (Kind.BOOLEAN, Kind.UNFIT):
            before |= dict.fromkeys(nouns)
            before |= dict.fromkeys((*noun, "is") for noun in nouns[:1])
        if slot.kind is Kind.CHOICE:
            after |= dict.fromkeys(nouns)
        found[slot.name] = Cues(_longest_first(before), _longest_first(after))
    return found


def _longest_first(cues: dict[tuple[str, ...], None]) -> tuple[tuple[str, ...], ...]:
    return tuple(sorted((cue for cue in cues if cue), key=lambda cue: -len(cue)))
