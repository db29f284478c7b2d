"""One step of the conversation: state and event in, state and reply out. Nothing here remembers anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perhop.brain.dialogue import wording
from perhop.brain.dialogue.forms import Scene, resume
from perhop.brain.dialogue.hearing import ask_again, respond_to
from perhop.brain.dialogue.results import Fault, read_result, say_result
from perhop.brain.dialogue.state import Form, Given, Stage, State
from perhop.brain.grammar.values import Json, Value

__all__ = ["assistant_said", "function_called", "function_returned", "nudge", "user_said"]

_MAX_DOUBTS = 8


def user_said(scene: Scene, state: State, text: str) -> State:
    """The caller said or typed something; empty when it could not be understood as words."""
    unheard = state.reply if state.fresh else ()
    before = state
    state = replace(state, reply=(), fresh=False, spoken=())
    if state.calls and not state.waits:
        return replace(state, waits=1).saying("One moment please, I'm still waiting for an answer.")
    if state.calls:  # it never came: give the caller their turn
        state = replace(state, calls={}, form=None, waits=0)
    after = respond_to(scene, before, state, text)
    if not unheard:
        return after
    # Results that nobody has heard come first; an utterance not understood in between is not worth mentioning.
    return replace(after, reply=unheard if after.misses else (*unheard, *after.reply))


def function_called(state: State, call_id: str, name: str, arguments: Mapping[str, Json]) -> State:
    """A function call became part of the conversation, decided here or by somebody else."""
    form = state.form
    if form is not None and form.tool == name:
        form = replace(form, stage=Stage.CALLING, called=True)
    return replace(
        state,
        form=form,
        calls={**state.calls, call_id: (name, arguments)},
        waits=0,
        reply=state.reply if state.fresh else (),
        spoken=state.spoken if state.fresh else (),
    )


def function_returned(scene: Scene, state: State, call_id: str, output: str) -> State:
    """The output of a function call arrived."""
    name, arguments = state.calls.get(call_id, ("", {}))
    state = replace(
        state, calls={key: value for key, value in state.calls.items() if key != call_id}, fresh=True, waits=0
    )
    tool = scene.domain.tools.get(name)
    form = state.form if state.form and state.form.tool == name and state.form.called else None
    if form is None and tool is not None:
        form = Form(
            name, {key: Given(Value(value), tool=name) for key, value in arguments.items() if key in tool.slots}
        )
    result = read_result(name, arguments, output, slots=scene.domain.slot_names)
    if result.fault is not None:
        return _failed(scene, state, form, result.fault)
    ours = state.form is not None and form is state.form
    known = {**state.known, **({} if form is None else form.values)}
    state = replace(state.found(result), known=known, last=form or state.last, form=None if ours else state.form)
    if form is not None and tool is not None and not tool.effect:
        state = replace(state, looked=form)
    state = state.saying(*say_result(tool, result, scene.today))
    if state.form is not None or state.calls:
        return state
    if state.parked:
        return resume(scene, state)
    if tool is not None and tool.effect and not (state.spoken and state.spoken[-1].endswith("?")):
        return replace(state.saying("Is there anything else I can do?"), done=True)
    return state


def _failed(scene: Scene, state: State, form: Form | None, problem: Fault) -> State:
    tool = scene.tool(form) if form else None
    if form is None or tool is None or problem.code == "unknown_tool":
        return replace(state, form=None).saying(*wording.fault(problem))
    if tool.effect and (problem.in_doubt or problem.code == "result_too_large"):
        return _left(scene, state, form, problem)
    wrong = [slot for name in problem.fields if (slot := tool.slots.get(name.partition(".")[0]))]
    if wrong:
        for slot in wrong:
            form = form.without(slot.name)
        asking = replace(form, stage=Stage.ASKING, asked=wrong[0].name, tries=0, called=False)
        return state.filling(asking).saying(f"The {wrong[0].noun} was not accepted.", *wording.ask(wrong[0], state))
    failed = replace(form, stage=Stage.FAILED, asked=None, called=False)
    return state.filling(failed).saying(*wording.fault(problem))


def _left(scene: Scene, state: State, form: Form, problem: Fault) -> State:
    """What may have had its effect is not offered again: another function call would be another effect."""
    doubts = (*state.doubts, (form.tool, form.arguments()))[-_MAX_DOUBTS:] if problem.in_doubt else state.doubts
    state = replace(state, doubts=doubts, form=None if form is state.form else state.form)
    state = state.saying(*(wording.IN_DOUBT if problem.in_doubt else wording.DONE_UNTOLD))
    if state.form is not None or state.calls:
        return state
    if state.parked:
        return resume(scene, state)
    return replace(state.saying("Is there anything else I can do?"), done=True)


def assistant_said(state: State) -> State:
    """The reply became part of the conversation, whole or cut short: it is not said again by itself."""
    return replace(state, reply=(), fresh=False)


def nudge(scene: Scene, state: State) -> State:
    """A reply is wanted although nothing happened since the last one."""
    state = replace(state, reply=(), spoken=())
    if state.calls:
        return state.saying("One moment please, I'm still waiting for an answer.")
    if state.form is None:
        return state.saying(f"Are you still there? I can {wording.capabilities(scene.domain)}.")
    return ask_again(scene, state.saying("Are you still there?"), state.form)
