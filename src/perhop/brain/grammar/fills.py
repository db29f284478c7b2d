"""Finding slot values in an utterance: every slot reads at every word, the best readings that fit together win.

A value counts for more when the words around it are the slot's own ("in Oakland", "two bedroom"), when it was asked
for, and when its kind cannot be mistaken. A bare number that nobody asked for belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from perhop.brain.grammar.samples import Cues
from perhop.brain.grammar.schema import Kind, Slot
from perhop.brain.grammar.values import Value, check, read_choice, read_value
from perhop.text.times import DayPart, read_day_part
from perhop.text.words import DIGITS, Reading, vocabulary

__all__ = ["Fill", "day_part", "find_fills"]

_CERTAINTY = {
    Kind.BOOLEAN: 1.5,
    Kind.CHOICE: 2.0,
    Kind.CODE: 0.8,
    Kind.DATE: 2.0,
    Kind.DATE_TIME: 2.5,
    Kind.EMAIL: 3.0,
    Kind.INTEGER: 0.4,
    Kind.MONEY: 0.5,
    Kind.NUMBER: 0.4,
    Kind.PHONE: 2.0,
    Kind.TIME: 2.0,
}
_CUED = 2.0
_ASKED = 1.5
_CORRECTED = 2.5
_FITS_PATTERN = 1.0
_LIKE_A_PHONE = -0.6
_PHONE_DIGITS = 10
_ENOUGH = 1.0
_SKIPPED_IN_CUES = frozenset(vocabulary("a an the about around uh um"))
_NEGATIONS = frozenset({"not", "isn't", "don't"})
_CORRECTIONS = frozenset(vocabulary("no actually sorry mean meant rather"))
_PAUSES = frozenset(vocabulary(", . uh um"))


@dataclass(frozen=True, slots=True)
class Fill:
    """A value found for a slot.

    Attributes:
        start: index of its first word, its cue included.
        end: index after its last word, the words that follow its value included.
        cued: whether the words around it were the slot's own.
        free: whether it was taken only because any words would do for the slot that was asked for.
    """

    slot: str
    value: Value
    start: int
    end: int
    cued: bool
    score: float
    free: bool = False


def day_part(words: Sequence[str]) -> DayPart | None:
    """Morning or afternoon, if the utterance names one anywhere."""
    for at in range(len(words)):
        if part := read_day_part(words, at):
            return part.value
    return None


def _cue_before(words: Sequence[str], at: int, cues: Cues) -> int | None:
    """Where the longest cue that ends right before a word begins; an article may stand between them."""
    for end in (at, at - 1):
        if end < 1 or (end < at and words[end] not in _SKIPPED_IN_CUES):
            break
        for cue in cues.before:
            if words[end - 1] == cue[-1] and len(cue) <= end and tuple(words[end - len(cue) : end]) == cue:
                return end - len(cue)
    return None


def _cue_after(words: Sequence[str], at: int, cues: Cues) -> int | None:
    for cue in cues.after:
        if tuple(words[at : at + len(cue)]) == cue:
            return at + len(cue)
    # "two bed", "three bath": the beginning of the noun is enough after a count.
    if at < len(words) and len(words[at]) >= 3:
        start = words[at].removesuffix("s")
        if any(cue[0].startswith(start) and len(start) >= 3 for cue in cues.after):
            return at + 1
    return None


def _weak(slot: Slot, words: Sequence[str], at: int, reading: Reading[Value]) -> bool:
    """A reading that might as well be something else: a choice that is a lone number or letter."""
    return slot.kind is Kind.CHOICE and reading.end - at == 1 and (words[at].isdecimal() or len(words[at]) < 3)


def _is_digits(word: str) -> bool:
    return word.isdecimal() or word in DIGITS


def _shape(slot: Slot, value: Value) -> float:
    """What the shape of an identifier says for it: ten digits are a telephone number sooner than a code."""
    text = str(value.json)
    if "pattern" in slot.schema:
        return _FITS_PATTERN if check(slot, text) is None else -_FITS_PATTERN
    return _LIKE_A_PHONE if text.isdecimal() and len(text) >= _PHONE_DIGITS else 0.0


def _certainty(slot: Slot, words: Sequence[str], at: int) -> float:
    """How sure a value of this kind is by itself; a number that is said by a name is as good as a choice."""
    named = slot.kind is not Kind.CHOICE and read_choice(slot, words, at) is not None
    return _CERTAINTY[Kind.CHOICE] if named else _CERTAINTY.get(slot.kind, 0.0)


def _corrects(words: Sequence[str], at: int) -> bool:
    """Whether what begins at a word takes something back: "…, no, saturday", "make it three"."""
    while at > 0 and words[at - 1] in _PAUSES:
        at -= 1
    return at > 0 and (words[at - 1] in _CORRECTIONS or tuple(words[max(at - 2, 0) : at]) == ("make", "it"))


def _candidates(slot: Slot, words: Sequence[str], cues: Cues, focus: _Focus) -> Iterable[Fill]:
    asked = focus.asked == slot.name
    short = slot.kind in (Kind.CODE, Kind.DATE, Kind.TIME)
    for at, word in enumerate(words):
        if word in (",", "."):
            continue
        # A cue makes short forms count as much as a question does: "at two" is a time.
        start = _cue_before(words, at, cues) if short else None
        reading = read_value(slot, words, at, today=focus.today, asked=asked or start is not None, part=focus.part)
        if reading is None:
            continue
        if slot.kind is Kind.CODE and at > 0 and _is_digits(words[at - 1]) and _is_digits(word):
            continue  # the rest of a number is no identifier
        start = start if short else _cue_before(words, at, cues)
        before = at if start is None else start
        if before > 0 and words[before - 1] in _NEGATIONS:
            continue
        end = _cue_after(words, reading.end, cues)
        cued = start is not None or end is not None
        score = 0.4 if _weak(slot, words, at, reading) else _certainty(slot, words, at)
        if slot.kind is Kind.CODE:
            score += _shape(slot, reading.value)
        score += (_CUED if cued else 0.0) + (_ASKED if asked else 0.0) - (0.3 if slot.name in focus.filled else 0.0)
        # Of two values for one slot the second counts if it corrects the first: "friday, no, saturday".
        score += _CORRECTED if _corrects(words, before) else 0.0
        if score >= _ENOUGH:
            yield Fill(slot.name, reading.value, at if start is None else start, end or reading.end, cued, score)


@dataclass(frozen=True, slots=True)
class _Focus:
    today: date
    asked: str | None
    filled: frozenset[str]
    part: DayPart | None


def find_fills(
    slots: Mapping[str, Slot],
    cues: Mapping[str, Cues],
    words: Sequence[str],
    *,
    today: date,
    asked: str | None = None,
    filled: frozenset[str] = frozenset(),
) -> dict[str, Fill]:
    """The values an utterance gives to the slots of one tool.

    Args:
        slots: of the tool, by name.
        cues: of each slot.
        words: lower-case words of the utterance.
        today: what relative dates stand on.
        asked: the slot that was asked for.
        filled: slots that have a value, so that a further one must be meant for them more clearly.
    """
    focus = _Focus(today, asked, filled, day_part(words))
    found: list[Fill] = []
    lists: list[Slot] = []
    for slot in slots.values():
        if slot.kind is Kind.LIST and slot.item is not None:
            lists.append(slot)
        elif slot.kind in _CERTAINTY:
            found += _candidates(slot, words, cues[slot.name], focus)
    chosen: dict[str, Fill] = {}
    taken = [False] * len(words)
    for fill in sorted(found, key=lambda fill: (-fill.score, fill.start - fill.end, fill.start)):
        if fill.slot not in chosen and not any(taken[fill.start : fill.end]):
            chosen[fill.slot] = fill
            taken[fill.start : fill.end] = [True] * (fill.end - fill.start)
    for slot in lists:
        if several := _list(slot, words, cues[slot.name], focus, taken):
            chosen[slot.name] = several
    return chosen


def _list(slot: Slot, words: Sequence[str], cues: Cues, focus: _Focus, taken: list[bool]) -> Fill | None:
    """All values of a list's kind: "tomatoes, cheese and basil"."""
    item = slot.item
    if item is None or item.kind not in _CERTAINTY:
        return None
    asked = focus.asked == slot.name
    values: list[Value] = []
    start, end, cued, at = len(words), 0, False, 0
    while at < len(words):
        reading = None if taken[at] else read_value(item, words, at, today=focus.today, asked=asked, part=focus.part)
        if reading is None or any(taken[at : reading.end]):
            at += 1
            continue
        cue = _cue_before(words, at, cues)
        cued |= cue is not None or _cue_after(words, reading.end, cues) is not None
        if reading.value.json not in [value.json for value in values]:
            values.append(reading.value)
        start, end, at = min(start, at if cue is None else cue), reading.end, reading.end
    score = _CERTAINTY[item.kind] + (_CUED if cued else 0.0) + (_ASKED if asked else 0.0)
    if not values or score < _ENOUGH:
        return None
    value = Value([value.json for value in values], all(value.sure for value in values))
    return Fill(slot.name, value, start, end, cued, score)
