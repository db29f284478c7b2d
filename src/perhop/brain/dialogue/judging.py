"""Whether the words so far are a finished turn: what lets a reply come early, and a thinking caller finish.

``incomplete`` when something must follow ("…in", "five one oh"), ``complete`` when nothing usually does (a full answer,
a request with everything its samples name), ``unknown`` between the two.
"""

from __future__ import annotations

from collections.abc import Mapping

from perhop.brain.dialogue.forms import Scene
from perhop.brain.dialogue.hearing import INTENT, focus_of, is_answer
from perhop.brain.dialogue.state import Form, Stage, State
from perhop.brain.grammar.acts import FILLERS, Act
from perhop.brain.grammar.fills import Fill
from perhop.brain.grammar.schema import Kind, Slot
from perhop.brain.grammar.understand import Heard, understand
from perhop.brain.grammar.values import check
from perhop.realtime.effects import Completeness
from perhop.text.numbers import read_cardinal
from perhop.text.words import DIGITS, MONTHS, TENS, vocabulary

__all__ = ["judge"]

_HANGING = frozenset(
    vocabulary(
        "a about after an and around as at because before below between but by for from i'd i'll i'm i've if in is "
        "it's like maybe my near next of on or our over since so than that's the their this to under until want "
        "with your"
    )
) | (FILLERS - {"please", "just", "actually", ",", "."})
_OPEN_ENDS = ("double", "triple", "dot", "underscore", "dash", "hundred and", "half", "half past", "quarter", "p")
_FULL_PHONE = 10


def judge(scene: Scene, state: State, partial: str) -> Completeness:
    """Judges an utterance in progress.

    Args:
        scene: the tools and the day.
        state: of the conversation before it.
        partial: the words so far.
    """
    heard = understand(scene.domain, partial, focus_of(scene, state))
    words = [word.text for word in heard.words if word.text not in (",", ".")]
    if not words:
        return "unknown"
    form = state.form if state.form and state.form.stage is not Stage.CALLING else None
    slot = scene.tool(form).slots.get(form.asked or "") if form and form.stage is Stage.ASKING else None
    if heard.whole_act is Act.WAIT:
        return "incomplete"
    act = heard.whole_act
    if act is not None and (slot is None or slot.kind is not Kind.TEXT or not is_answer(scene, form, act)):
        return "complete"
    spelling = slot is not None and slot.kind in (Kind.CODE, Kind.EMAIL, Kind.NAME) and len(words[-1]) == 1
    if not spelling and (words[-1] in _HANGING or " ".join(words).endswith(_OPEN_ENDS)):
        return "incomplete"
    if form is not None and (verdict := _in_form(scene, form, slot, heard, words)):
        return verdict
    return _request(scene, state, heard, words)


def _in_form(scene: Scene, form: Form, slot: Slot | None, heard: Heard, words: list[str]) -> Completeness | None:
    fills = heard.fills[form.tool]
    if slot is None:
        return "complete" if fills else "unknown"
    if slot.kind is Kind.TEXT:
        return "unknown"
    if heard.pointer is not None and slot.reference:
        return "complete"
    fill = fills.get(slot.name)
    if fill is not None:
        return _answered(slot, fill, words)
    if slot.kind in (Kind.PHONE, Kind.CODE) and all(word in DIGITS or word.isdecimal() for word in words):
        return "incomplete"
    if slot.kind is Kind.EMAIL or (slot.kind in (Kind.DATE, Kind.DATE_TIME) and words[-1] in MONTHS):
        return "incomplete"
    return _another(scene, form, fills, heard)


def _another(scene: Scene, form: Form, fills: Mapping[str, Fill], heard: Heard) -> Completeness | None:
    """An answer to a question that was not asked: whether it ends in a value, and that can still grow."""
    slots = scene.tool(form).slots
    last = max((fill for fill in fills.items() if not fill[1].free), key=lambda fill: fill[1].end, default=None)
    if last is None or last[1].end < len(heard.words):
        return None
    words = [word.text for word in heard.words[last[1].start :]]
    return _answered(slots[last[0]], last[1], words)


def _answered(slot: Slot, fill: Fill, words: list[str]) -> Completeness:
    """Whether the value given to the slot that was asked for can still grow."""
    value = fill.value.json
    match slot.kind:
        case Kind.PHONE:
            digits = sum(character.isdecimal() for character in str(value))
            return "complete" if digits >= _FULL_PHONE else "unknown" if digits == 7 else "incomplete"
        case Kind.TIME:
            return "unknown" if fill.end - fill.start == 1 and not words[-1].endswith(("noon", "night")) else "complete"
        case Kind.INTEGER | Kind.NUMBER:
            return "unknown" if words[-1] in (*TENS, "hundred", "thousand") else "complete"
        case Kind.MONEY:
            return "complete" if words[-1] in ("dollars", "dollar", "euros", "pounds", "cents") else "unknown"
        case Kind.NAME:
            return "unknown" if len(words[-1]) == 1 or " " not in str(value) else "complete"
        case Kind.CODE:
            return "complete" if "pattern" in slot.schema and check(slot, value) is None else "unknown"
        case Kind.LIST:
            return "unknown"
        case Kind.CHOICE if fill.free:
            return "unknown"
    return "complete"


def _request(scene: Scene, state: State, heard: Heard, words: list[str]) -> Completeness:
    """A request is complete when no sample phrase that goes with it says more."""
    last = state.looked
    name, score = heard.ranking[0] if heard.ranking else ("", 0.0)
    again = heard.fills.get(last.tool, {}) if last else {}
    if last is not None and again and (score < INTENT or not heard.lexical[name]):
        return "complete"
    if score < INTENT:
        if heard.pointer is not None and heard.pointer.index is not None:
            return "complete"
        return "incomplete" if heard.ranking and _number_left(heard, name, words) else "unknown"
    tool = scene.domain.tools[name]
    given = frozenset(heard.fills[name])
    if heard.pointer is not None:
        given |= {slot.name for slot in tool.slots.values() if slot.reference}
    missing = [slot for slot in tool.required if slot.name not in given]
    shapes = [frozenset(sample.slots) for sample in scene.domain.samples[name]]
    longer = any(given < shape for shape in shapes)
    unfinished: Completeness = "unknown" if tool.effect else "incomplete"
    if _number_left(heard, name, words):
        return "incomplete"
    if given in shapes and (longer or missing):
        return "unknown"
    if longer or missing:
        return unfinished
    return "complete"


def _number_left(heard: Heard, name: str, words: list[str]) -> bool:
    """Whether the last word is a number that belongs to nothing yet: "a two …"."""
    end = max([*(fill.end for fill in heard.fills[name].values()), heard.pointer.end if heard.pointer else 0])
    return read_cardinal(words, len(words) - 1) is not None and end < len(heard.words)
