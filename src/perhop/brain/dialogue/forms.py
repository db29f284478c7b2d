"""Filling forms: opening one, taking values into it, asking for what is missing, confirming, calling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import orjson

from perhop.brain.dialogue import wording
from perhop.brain.dialogue.state import Form, Given, Stage, State
from perhop.brain.grammar.fills import Fill
from perhop.brain.grammar.pointing import Pointer
from perhop.brain.grammar.schema import Kind, Slot, Tool, humanise, stem
from perhop.brain.grammar.understand import Domain
from perhop.brain.grammar.values import Json, Value, check
from perhop.brain.providers import FunctionCall

__all__ = ["Scene", "call", "digress", "mistaken", "open_form", "progress", "refine", "resume", "take"]

_NEVER_CARRIED = frozenset({Kind.BOOLEAN, Kind.LIST, Kind.TEXT, Kind.UNFIT})
_WHO = frozenset({Kind.EMAIL, Kind.NAME, Kind.PHONE})


@dataclass(frozen=True, slots=True)
class Scene:
    """What does not change within a conversation: the tools, and what day it is."""

    domain: Domain
    today: date

    def tool(self, form: Form) -> Tool:
        """The tool of a form; forms are only made for tools there are."""
        return self.domain.tools[form.tool]


def _accepts(slot: Slot, value: Json) -> bool:
    closed = slot.kind is Kind.CHOICE and not slot.open
    return (not closed or any(choice.value == value for choice in slot.choices)) and check(slot, value) is None


def _prefilled(state: State, tool: Tool, pointer: Pointer | None) -> dict[str, Given]:
    """What a new form starts with: the entry pointed at, and what the caller has said before."""
    values: dict[str, Given] = {}
    index = pointer.index if pointer else None
    for slot in tool.slots.values():
        entry = state.pointed(slot, index) if slot.reference or pointer else None
        # A second request of the same kind starts afresh, but from the same person.
        # An identifier that has a name of its own ("Doctor Lee") is said and meant again like any other value.
        sayable = not slot.reference or bool(slot.choices)
        carried = slot.required and sayable and slot.kind not in _NEVER_CARRIED
        known = state.known.get(slot.name) if carried else None
        if known and known.tool == tool.name and slot.kind not in _WHO:
            known = None
        if entry is not None and _accepts(slot, entry):
            values[slot.name] = Given(Value(entry), "pointed")
        elif known and _accepts(slot, known.value.json):
            values[slot.name] = replace(known, origin="known")
    return values


def _point(state: State, pointer: Pointer | None) -> State:
    """Remembers which entry was pointed at."""
    listing = state.listing()
    if pointer is None or pointer.index is None or listing is None:
        return state
    index = pointer.index if pointer.index >= 0 else len(listing.entries) + pointer.index
    return replace(state, selected=index) if 0 <= index < len(listing.entries) else state


def open_form(
    scene: Scene, state: State, name: str, *, fills: Mapping[str, Fill] | None = None, pointer: Pointer | None = None
) -> State:
    """Begins a form with what is known and what was just said."""
    state = _point(state, pointer)
    tool = scene.domain.tools[name]
    pointed = pointer is not None and pointer.index is not None
    meant = {n: f for n, f in (fills or {}).items() if not mistaken(state, tool.slots[n], f, pointed=pointed)}
    return take(scene, state, Form(name, _prefilled(state, tool, pointer)), meant)


def mistaken(state: State, slot: Slot, fill: Fill, *, pointed: bool) -> bool:
    """Whether what was heard for an identifier is none: "number two" points, "the one on Lake Street" has no number."""
    if not slot.reference or not state.offers(slot):
        return False
    return pointed or not (fill.cued or state.label_of(slot, fill.value.json))


def refine(scene: Scene, state: State, last: Form, fills: Mapping[str, Fill]) -> State:
    """Asks the same again with other values: "and in Berkeley?"."""
    return take(scene, state, Form(last.tool, last.values), fills)


def take(scene: Scene, state: State, form: Form, fills: Mapping[str, Fill], *, pointer: Pointer | None = None) -> State:
    """Takes values into a form and goes on with it; a value the schema refuses is asked for again, with the reason."""
    tool = scene.tool(form)
    state = _point(state, pointer)
    given: dict[str, Given] = {}
    wrong: tuple[Slot, str] | None = None
    if pointer is not None:
        for slot in tool.slots.values():
            value = state.pointed(slot, pointer.index) if slot.reference else None
            if value is not None and _accepts(slot, value):
                given[slot.name] = Given(Value(value), "pointed")
    for name, fill in fills.items():
        slot = tool.slots[name]
        problem = check(slot, fill.value.json)
        if problem is None:
            given[name] = Given(fill.value, tool=tool.name)
        elif wrong is None:
            wrong = slot, problem
    if given and form.asked is not None and form.asked not in given and wrong is None:
        state = state.saying("Okay.")
    form = form.having(given)
    known = {**state.known, **{name: value for name, value in given.items() if value.origin == "said"}}
    state = replace(state, known=known, misses=0)
    if wrong is None:
        return progress(scene, state, form)
    slot, problem = wrong
    tries = form.tries + 1 if form.asked == slot.name else 0
    asking = replace(form, stage=Stage.ASKING, asked=slot.name, tries=tries)
    return state.filling(asking).saying(problem, *wording.ask(slot, state))


def progress(scene: Scene, state: State, form: Form) -> State:
    """The next step of a form: ask, confirm, or call."""
    tool = scene.tool(form)
    missing = form.missing(tool)
    if missing is not None:
        finder = _finder(scene, state, form, missing)
        if finder is not None:
            return open_form(scene, state.parking(form).saying("Let's find one first."), finder.name)
        asking = replace(form, stage=Stage.ASKING, asked=missing.name, tries=0)
        return state.filling(asking).saying(*wording.ask(missing, state))
    if tool.effect or form.unsure():
        confirming = replace(form, stage=Stage.CONFIRMING, asked=None, tries=0)
        if tool.effect and (form.tool, form.arguments()) in state.doubts:
            state = state.saying(wording.STILL_IN_DOUBT)
        return state.filling(confirming).saying(*wording.confirmation(tool, form, state, scene.today))
    return call(state, form)


def _finder(scene: Scene, state: State, form: Form, slot: Slot) -> Tool | None:
    """A tool that lists what an identifier could be of, when nothing has been listed yet."""
    if not slot.reference or state.offers(slot):
        return None
    noun = stem(humanise(slot.name).rpartition(" ")[0].rpartition(" ")[2])
    busy = {form.tool, *(parked.tool for parked in state.parked)}
    for tool in scene.domain.tools.values():
        about = {stem(word) for word in (*tool.title.split(), *humanise(tool.name).split())}
        own = any(other.name == slot.name for other in tool.slots.values())
        if noun in about and not tool.effect and not own and tool.name not in busy:
            return tool
    return None


def call(state: State, form: Form) -> State:
    """Runs the tool with the form's values."""
    calling = replace(form, stage=Stage.CALLING, asked=None, called=False)
    step = FunctionCall(form.tool, orjson.dumps(form.arguments()).decode())
    state = state.filling(calling)
    return replace(state, reply=(*state.reply, step))


def digress(
    scene: Scene, state: State, form: Form, name: str, fills: Mapping[str, Fill], *, pointer: Pointer | None
) -> State:
    """Turns to another request in the middle of a form, which is taken up again afterwards."""
    parked = replace(form, stage=Stage.ASKING, asked=None)
    # A form that has nothing yet is not worth coming back to, nor is one that failed.
    worth = form.stage is not Stage.FAILED and any(given.origin == "said" for given in form.values.values())
    return open_form(scene, state.parking(parked) if worth else state, name, fills=fills, pointer=pointer)


def resume(scene: Scene, state: State) -> State:
    """Goes on with the form that was set aside last, if any."""
    if not state.parked:
        return state.filling(None)
    *rest, form = state.parked
    state = replace(state, parked=tuple(rest))
    tool = scene.tool(form)
    pointed = {
        slot.name: Given(Value(value), "pointed")
        for slot in tool.slots.values()
        if slot.reference and slot.name not in form.values and (value := state.pointed(slot)) is not None
    }
    return progress(scene, state, form.having(pointed))
