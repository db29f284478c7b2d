"""Slots that take any words: names, messages, open vocabularies. Their edges come from cues or from a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rapidfuzz import fuzz, process

from perhop.brain.grammar.acts import FILLERS
from perhop.brain.grammar.fills import Fill
from perhop.brain.grammar.samples import Cues
from perhop.brain.grammar.schema import Kind, Slot
from perhop.brain.grammar.values import Json, Value
from perhop.text.contact import read_spelling
from perhop.text.words import Word, vocabulary

__all__ = ["asked_fill", "cued_fills", "read_name"]

_MAX_NAME_WORDS = 5
_SHORTEST_TYPO = 4
_TYPO_CUTOFF = 80
_MAX_OPEN_WORDS = 4
_CARRIERS = tuple(
    tuple(text.split())
    for text in (
        "my name is", "the name is", "name is", "under the name of", "under the name", "this is", "i am", "i'm", "it's",
        "it is", "that's", "that is", "that would be", "call me", "make it",
        "change it to", "i'd like", "i want", "i said", "i mean", "i meant", "with", "for", "in", "to", "under",
    )
)  # fmt: skip
_TEXT_CARRIERS = tuple(
    tuple(text.split())
    for text in (
        "the message is", "message is", "tell them that", "tell them", "tell her that", "tell him that", "say that",
        "um", "uh", "well",
    )
)  # fmt: skip
_ENDS_A_NAME = frozenset(
    vocabulary(
        "and at book calling call for from i is in my number on please phone thanks thank the to with i'd i'm it's"
    )
)
_NO_OPEN_VALUE = frozenset(
    vocabulary(
        "a about an and any anything are at be book can can't cost could do does for from general get have hello "
        "help here hi how i i'd i'm i'll in is it it's me morning afternoon evening my next no not of on or order "
        "please possible see so some something that the then there this to tomorrow today want we what when where "
        "who with would yes you your"
    )
)
_STRONG_NAME_CUES = ("my name is", "the name is", "name is", "under the name of", "under the name", "this is")


def read_name(tokens: Sequence[Word], text: str, start: int, end: int) -> tuple[str, int] | None:
    """A person's name among the words: as written, or spelled ("brown, b r o w n" is Brown).

    Returns:
        The name with capitals, and the index after its last word.
    """
    words = [token.text for token in tokens]
    parts: list[str] = []
    at = start
    while at < end and len(parts) < _MAX_NAME_WORDS:
        spelled = read_spelling(words[:end], at, least=2)
        if spelled and spelled.end - at > 1:
            name = spelled.value.capitalize()
            # Spelled right after it was said: the spelling is what counts.
            if parts and parts[-1][:1].lower() == name[:1].lower():
                parts.pop()
            parts.append(name)
            at = spelled.end
        elif parts and words[at] in (",", "spelled", "that's"):
            at += 1
        elif not words[at][0].isalpha() or (parts and words[at] in _ENDS_A_NAME):
            break
        else:
            raw = text[tokens[at].start : tokens[at].end]
            parts.append(raw if raw != raw.lower() else "'".join(p.capitalize() for p in raw.split("'")))
            at += 1
    return (" ".join(parts), at) if parts else None


def cued_fills(
    slots: Mapping[str, Slot], cues: Mapping[str, Cues], text: str, tokens: Sequence[Word], fills: Mapping[str, Fill]
) -> dict[str, Fill]:
    """Adds the free slots that a cue announces ("my name is …", "tell them that …", "in Fremont")."""
    found = dict(fills)
    words = [token.text for token in tokens]
    for slot in slots.values():
        if slot.name in found:
            continue
        if slot.kind is Kind.NAME:
            fill = _cued_name(slot, cues[slot.name], text, tokens, words, found)
        elif slot.kind is Kind.TEXT:
            fill = _cued_text(slot, cues[slot.name], text, tokens, words)
            if fill:  # a message runs to the end, whatever it contains
                found = {name: other for name, other in found.items() if other.start < fill.start}
        elif slot.kind is Kind.CHOICE:
            fill = _cued_choice(slot, cues[slot.name], text, tokens, words, found)
        else:
            continue
        if fill:
            found[slot.name] = fill
    return found


def _cue_ends(words: Sequence[str], cues: Sequence[tuple[str, ...]]) -> list[tuple[int, int]]:
    """Where cues stand, as start and end, the earliest and longest first."""
    places = [
        (at, at + len(cue)) for cue in cues for at in range(len(words)) if tuple(words[at : at + len(cue)]) == cue
    ]
    return sorted(places, key=lambda place: (place[0], -place[1]))


def _next_taken(fills: Mapping[str, Fill], after: int, end: int) -> int:
    return min((fill.start for fill in fills.values() if fill.start >= after), default=end)


def _cued_name(
    slot: Slot, cues: Cues, text: str, tokens: Sequence[Word], words: Sequence[str], fills: Mapping[str, Fill]
) -> Fill | None:
    strong = [tuple(cue.split()) for cue in _STRONG_NAME_CUES] + [cue for cue in cues.before if len(cue) > 1]
    for start, end in _cue_ends(words, strong):
        if end < len(words) and words[end] not in _NO_OPEN_VALUE:
            name = read_name(tokens, text, end, _next_taken(fills, end, len(words)))
            if name:
                return Fill(slot.name, Value(name[0]), start, name[1], cued=True, score=3.0)
    return None


def _cued_text(slot: Slot, cues: Cues, text: str, tokens: Sequence[Word], words: Sequence[str]) -> Fill | None:
    for start, end in _cue_ends(words, cues.before):
        first = end
        while first < len(words) and words[first] in (",", ":", ".", "that", "saying"):
            first += 1
        if first < len(words):
            said = text[tokens[first].start :].strip()
            return Fill(slot.name, Value(said), start, len(words), cued=True, score=2.5)
    return None


def _cued_choice(
    slot: Slot, cues: Cues, text: str, tokens: Sequence[Word], words: Sequence[str], fills: Mapping[str, Fill]
) -> Fill | None:
    for start, end in _cue_ends(words, cues.before):
        stop = end
        limit = min(_next_taken(fills, end, len(words)), end + _MAX_OPEN_WORDS)
        while stop < limit and words[stop][0].isalpha() and words[stop] not in _NO_OPEN_VALUE:
            stop += 1
        if stop > end and not any(fill.start < stop and end < fill.end for fill in fills.values()):
            said = text[tokens[end].start : tokens[stop - 1].end]
            value = _nearest(slot, said)
            if value is not None or slot.open:
                return Fill(slot.name, Value(value or _capitals(said)), start, stop, cued=True, score=1.2)
    return None


def _nearest(slot: Slot, said: str) -> Json:
    """The known value that was mistyped, if one is close: "berkley"."""
    spoken = {words: choice.value for choice in slot.choices for words in choice.words}
    close = process.extractOne(said.lower(), list(spoken), scorer=fuzz.ratio, score_cutoff=_TYPO_CUTOFF)
    return spoken[close[0]] if close and len(close[0]) >= _SHORTEST_TYPO else None


def _capitals(text: str) -> str:
    return text if text != text.lower() else " ".join(word.capitalize() for word in text.split())


def asked_fill(slot: Slot, text: str, tokens: Sequence[Word], start: int, others: Mapping[str, Fill]) -> Fill | None:
    """What an utterance gives to the free slot that was asked for: all of it, carriers and fillers aside.

    Args:
        slot: the slot asked for.
        text: the utterance.
        tokens: its words.
        start: index of the first word that may belong to the value.
        others: values found for other slots, which are left to them.
    """
    words = [token.text for token in tokens]
    end = len(words)
    start = 0 if slot.kind is Kind.TEXT else start
    moved = True
    while moved and start < end:
        moved = False
        if slot.kind is not Kind.TEXT and words[start] in FILLERS and start < end - 1:
            start, moved = start + 1, True
        for carrier in _TEXT_CARRIERS if slot.kind is Kind.TEXT else _CARRIERS:
            if tuple(words[start : start + len(carrier)]) == carrier and start + len(carrier) < end:
                start, moved = start + len(carrier), True
                break
    while end > start and words[end - 1] in (",", ".", "please", "um", "uh", "thanks"):
        end -= 1
    if start >= end:
        return None
    match slot.kind:
        case Kind.TEXT:
            return Fill(
                slot.name, Value(text[tokens[start].start :].strip()), 0, len(words), cued=True, score=2.0, free=True
            )
        case Kind.NAME:
            name = read_name(tokens, text, start, _next_taken(others, start, end))
            return Fill(slot.name, Value(name[0]), start, name[1], cued=True, score=2.0, free=True) if name else None
        case Kind.CHOICE:
            end = min(end, _next_taken(others, start, end), start + _MAX_OPEN_WORDS + 1)
            if end <= start or all(word in _NO_OPEN_VALUE for word in words[start:end]):
                return None
            said = text[tokens[start].start : tokens[end - 1].end]
            if (value := _nearest(slot, said)) is not None:
                return Fill(slot.name, Value(value), start, end, cued=False, score=1.5)
            if not slot.open:
                return None
            said = _capitals(said)
            return Fill(slot.name, Value(said, sure=not slot.choices), start, end, cued=False, score=1.0, free=True)
        case Kind.LIST if slot.item is not None and slot.item.kind in (Kind.TEXT, Kind.NAME):
            values = _pieces(text, tokens, start, end)
            return Fill(slot.name, Value(values), start, end, cued=True, score=2.0) if values else None
    return None


def _pieces(text: str, tokens: Sequence[Word], start: int, end: int) -> list[Json]:
    """ "milk, eggs and bread" in three."""
    pieces: list[Json] = []
    first = start
    for at in range(start, end + 1):
        if at == end or tokens[at].text in (",", "and", "."):
            if at > first:
                pieces.append(text[tokens[first].start : tokens[at - 1].end])
            first = at + 1
    return pieces
