"""Answers to what is said about the conversation itself: yes, no, repeat, start over, cancel, a person, goodbye."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from perhop.brain.dialogue import wording
from perhop.brain.dialogue.forms import Scene, call, open_form, progress, resume
from perhop.brain.dialogue.results import say_more
from perhop.brain.dialogue.state import Form, Stage, State
from perhop.brain.dialogue.template import SPOKEN_ENTRIES
from perhop.brain.grammar.acts import Act
from perhop.brain.grammar.schema import Kind

__all__ = ["answer_act"]

_TO_A_PERSON = (
    re.compile(r"\b(transfer|connect|operator|human|person|handoff|hand off|escalate)\b"),
    re.compile(r"\b(callback|call back|call me back|message)\b"),
)


def answer_act(scene: Scene, state: State, act: Act, *, spoken: Sequence[str]) -> State:
    """Answers an act.

    Args:
        scene: the tools and the day.
        state: with an empty reply.
        act: what was said.
        spoken: what was said to the caller last, for "repeat".
    """
    if act is Act.REPEAT:
        return _repeat(scene, state, spoken)
    return _ANSWERS[act](scene, state)


def _back_to(scene: Scene, state: State) -> State:
    """After an aside: the open question once more."""
    form = state.form
    if form is None:
        return state
    tool = scene.tool(form)
    slot = tool.slots.get(form.asked or "")
    if form.stage is Stage.ASKING and slot is not None:
        return state.saying(*wording.ask(slot, state))
    if form.stage is Stage.CONFIRMING:
        return state.saying(*wording.confirmation(tool, form, state, scene.today))
    return state.saying("What should I change?" if form.stage is Stage.CHANGING else "Shall I try again?")


def _repeat(scene: Scene, state: State, spoken: Sequence[str]) -> State:
    if spoken:
        return state.saying(*spoken)
    if state.form is not None:
        return _back_to(scene, state)
    return _help(scene, state)


def _yes(scene: Scene, state: State) -> State:
    form = state.form
    if form is None:
        if len(state.choosing) == 1:
            return open_form(scene, state, state.choosing[0])
        if state.choosing:
            return state.saying(wording.which_of([scene.domain.tools[name] for name in state.choosing]))
        return state.saying("What would you like?", *_can(scene))
    match form.stage:
        case Stage.CONFIRMING:
            return call(state, replace(form, settled=True))
        case Stage.FAILED:
            return call(state, form)
        case Stage.CHANGING:
            return progress(scene, state, form)
    return _back_to(scene, state.saying("Okay."))


def _no(scene: Scene, state: State) -> State:
    form = state.form
    if form is None:
        if state.choosing:
            return replace(state, choosing=()).saying("All right.", "What would you like instead?")
        if state.done:
            return _bye(scene, state)
        return replace(state.saying("All right.", "Is there anything else?"), done=True)
    match form.stage:
        case Stage.CONFIRMING:
            return state.filling(replace(form, stage=Stage.CHANGING, tries=0)).saying("What should I change?")
        case Stage.CHANGING:
            confirming = replace(form, stage=Stage.CONFIRMING, tries=0)
            return state.filling(confirming).saying("Then shall I go ahead as it was?", "You can also say cancel.")
        case Stage.FAILED:
            return _drop(scene, state, form)
    slot = scene.tool(form).slots.get(form.asked or "")
    noun = f"the {slot.noun}" if slot else "that"
    return _back_to(scene, state.saying(f"I need {noun} to go on, or say cancel."))


def _drop(scene: Scene, state: State, form: Form) -> State:
    dropped = state.filling(None).saying(f"All right, I won't {scene.tool(form).title}.")
    if state.parked:
        return resume(scene, dropped)
    return replace(dropped.saying("What else can I do for you?"), done=True)


def _cancel(scene: Scene, state: State) -> State:
    if state.form is not None:
        return _drop(scene, state, state.form)
    if state.choosing:
        return replace(state, choosing=()).saying("All right.", "What else can I do for you?")
    return state.saying("Okay.")  # what was being said is cut short already


def _restart(scene: Scene, state: State) -> State:
    fresh = State(calls=state.calls, doubts=state.doubts)
    return fresh.saying("All right, from the start.", "What would you like?", *_can(scene))


def _can(scene: Scene) -> list[str]:
    return [f"I can {wording.capabilities(scene.domain)}."] if scene.domain.tools else list(wording.NO_TOOLS)


def _human(scene: Scene, state: State) -> State:
    for pattern in _TO_A_PERSON:
        for tool in scene.domain.tools.values():
            if pattern.search(f"{tool.name} {tool.title}".replace("_", " ").lower()):
                if state.form is not None and state.form.tool == tool.name:
                    return _back_to(scene, state)
                return open_form(scene, state.filling(None), tool.name)
    return _back_to(scene, state.saying("I'm an automated assistant, and I can't put you through to a person here."))


def _help(scene: Scene, state: State) -> State:
    form = state.form
    if form is not None:
        tool = scene.tool(form)
        slot = tool.slots.get(form.asked or "")
        state = state.saying(f"We're about to {tool.title}.")
        if slot is not None and slot.kind is not Kind.TEXT and form.stage is Stage.ASKING:
            state = state.saying(f"For the {slot.noun} you can say, for example, {wording.examples(slot)[0]}.")
        return _back_to(scene, state.saying("You can always say repeat, start over or cancel."))
    state = state.saying(*_can(scene))
    phrases = wording.samples(scene.domain, 2)
    return state.saying(f"For example: “{phrases[0]}”.") if phrases else state


def _more(scene: Scene, state: State) -> State:
    listing = state.listing()
    offset = state.offset + SPOKEN_ENTRIES
    if listing is not None and (said := say_more(scene.domain.tools.get(listing.tool), listing, offset, scene.today)):
        return replace(state, offset=offset).saying(*said)
    return _back_to(scene, state.saying("That was all." if listing else "There is nothing more to tell."))


def _wait(_: Scene, state: State) -> State:
    return state.saying("Take your time.")


def _hello(scene: Scene, state: State) -> State:
    if state.form is not None:
        return _back_to(scene, state.saying("Hello!"))
    return state.saying("Hello!", *_can(scene))


def _thanks(scene: Scene, state: State) -> State:
    state = state.saying("You're welcome.")
    if state.form is not None:
        return _back_to(scene, state)
    return replace(state.saying("Is there anything else?"), done=True) if scene.domain.tools else state


def _bye(scene: Scene, state: State) -> State:
    unfinished = state.form is not None and scene.tool(state.form).effect
    title = scene.tool(state.form).title if state.form is not None else ""
    state = state.saying(f"I did not {title}." if unfinished else "", "Thank you for calling. Goodbye!")
    return replace(state, form=None, parked=(), choosing=())


_ANSWERS: dict[Act, Callable[[Scene, State], State]] = {
    Act.YES: _yes,
    Act.NO: _no,
    Act.RESTART: _restart,
    Act.CANCEL: _cancel,
    Act.HUMAN: _human,
    Act.HELP: _help,
    Act.MORE: _more,
    Act.WAIT: _wait,
    Act.HELLO: _hello,
    Act.THANKS: _thanks,
    Act.BYE: _bye,
}
