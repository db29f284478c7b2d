"""What to make of an utterance: something about the conversation itself, an answer within a form, or a request."""

from __future__ import annotations

import re
from dataclasses import replace

from perhop.brain.dialogue import wording
from perhop.brain.dialogue.courtesy import answer_act
from perhop.brain.dialogue.forms import Scene, call, digress, mistaken, open_form, progress, refine, take
from perhop.brain.dialogue.results import describe
from perhop.brain.dialogue.state import Form, Stage, State, referable
from perhop.brain.grammar.acts import FILLERS, PHRASES, Act, read_act
from perhop.brain.grammar.fills import Fill
from perhop.brain.grammar.schema import Kind, Tool
from perhop.brain.grammar.understand import Focus, Heard, understand
from perhop.brain.grammar.values import check
from perhop.text.verbalise import say_list
from perhop.text.words import split, vocabulary

__all__ = ["INTENT", "ask_again", "focus_of", "is_answer", "respond_to"]

INTENT = 0.45
_CLOSE = 0.1
_SWITCH = 0.55
_SWITCH_WORDS = 0.5
_ANOTHER_REQUEST = 0.6
_CHANGE_WORDS = re.compile(r"\b(change|different|another|wrong|other)\b|\bcorrect (it|that|this|the|my)\b(?! is)")
_REFUSING = frozenset(vocabulary("no not never without don't won't can't cannot isn't doesn't wait later"))
_ASKING = frozenset(vocabulary("is was are am would will"))
_AGREEING = frozenset(word for act in (Act.YES, Act.THANKS) for phrase in PHRASES[act] for word in phrase.split()) | {
    *vocabulary("a all an as be can could everything excellent for good i i'd i'll i'm is it it's like lovely love"),
    *vocabulary("make may me my nice of our then the this to us want we we'd with wonderful works would certainly"),
    *vocabulary("definitely indeed reserve book booking reservation appointment schedule"),
}
"""What may follow a yes; no word of it turns the meaning of another."""


def focus_of(scene: Scene, state: State) -> Focus:
    """What the next utterance is heard against."""
    form = state.form
    return Focus(
        today=scene.today,
        tool=form.tool if form else None,
        asked=form.asked if form and form.stage is Stage.ASKING else None,
        filled=frozenset(form.values) if form else frozenset(),
        labels=state.labels(),
    )


def respond_to(scene: Scene, before: State, state: State, text: str) -> State:
    """The reply to an utterance.

    Args:
        scene: the tools and the day.
        before: as it was, for "repeat".
        state: the same with an empty reply.
        text: what was said; empty when nothing was made out.
    """
    form = state.form
    undone = form is not None and form.stage is Stage.CALLING
    if form is not None and undone:  # decided, but cut short before the call was made
        form = replace(form, stage=Stage.CONFIRMING if scene.tool(form).effect else Stage.ASKING)
        state = replace(state, form=form)
    heard = understand(scene.domain, text, focus_of(scene, state))
    if not heard.words:
        return _missed(scene, state, silent=True)
    act = heard.whole_act
    if act is not None and not is_answer(scene, form, act):
        return answer_act(scene, replace(state, misses=0), act, spoken=before.spoken)
    if state.choosing and (chosen := _choose(state, heard)):
        return open_form(scene, state, chosen, fills=heard.fills[chosen], pointer=heard.pointer)
    if form is None:
        return _request(scene, state, heard)
    after = _in_form(scene, state, form, heard)
    if after is not None:
        return after
    return progress(scene, state, form) if undone and not scene.tool(form).effect else _missed(scene, state)


def is_answer(scene: Scene, form: Form | None, act: Act) -> bool:
    """Whether an act is the value of the slot that was asked for: yes to a yes-or-no question, "hello" as a message.

    What ends, stops or asks for help never is: a caller who cannot get out is worse off than one who says a message
    in other words.
    """
    slot = scene.tool(form).slots.get(form.asked or "") if form and form.stage is Stage.ASKING else None
    if slot is None:
        return False
    if slot.kind is Kind.BOOLEAN:
        return act in (Act.YES, Act.NO)
    return slot.kind is Kind.TEXT and act in (Act.HELLO, Act.THANKS, Act.YES, Act.NO, Act.MORE)


def _choose(state: State, heard: Heard) -> str | None:
    """Which of the tools offered was meant."""
    if heard.act is Act.YES and len(state.choosing) == 1:
        return state.choosing[0]
    words = [word.text for word in heard.words]
    for n, word in enumerate(("first", "second", "third")):
        if word in words and n < len(state.choosing) and heard.pointer is None:
            return state.choosing[n]
    scores = sorted(((heard.lexical[name], name) for name in state.choosing), reverse=True)
    best = scores[0]
    runner_up = scores[1][0] if len(scores) > 1 else 0.0
    return best[1] if best[0] > 0.3 and best[0] > runner_up else None


def _in_form(scene: Scene, state: State, form: Form, heard: Heard) -> State | None:
    """Hears an utterance as part of the form in hand; None when it makes no sense there."""
    tool = scene.tool(form)
    asked = tool.slots.get(form.asked or "")
    fills = dict(heard.fills[form.tool])
    other = _other_request(form, heard) if asked is None or asked.kind is not Kind.TEXT else None
    if other is not None:
        return digress(scene, state, form, other, heard.fills[other], pointer=heard.pointer)
    wordy = max(heard.lexical.values(), default=0.0) >= _ANOTHER_REQUEST
    if wordy and (asked is None or asked.kind is not Kind.TEXT):
        fills = {name: fill for name, fill in fills.items() if not fill.free}
    pointer = heard.pointer
    if pointer is not None and (pointer.index is None and not (asked and asked.reference)):
        pointer = None
    fills = {
        name: fill
        for name, fill in fills.items()
        if not mistaken(state, tool.slots[name], fill, pointed=pointer is not None)
    }
    named = _named_slot(scene, form, heard) if form.stage is not Stage.ASKING and not fills else None
    if not fills and pointer is None and asked is None and named is None:
        fills = _short_answer(scene, state, form, heard)
    points = pointer is not None and any(slot.reference and state.offers(slot) for slot in tool.slots.values())
    if fills or points:
        return take(scene, state, form, fills, pointer=pointer if points else None)
    words = {word.text for word in heard.words}
    if form.stage is Stage.FAILED and words & {"again", "retry"} and not words & _REFUSING:
        return call(state, form)
    if form.stage is Stage.FAILED and heard.lexical[form.tool] >= _SWITCH_WORDS:
        return open_form(scene, state, form.tool)  # the same thing once more, from the start
    if named is not None:
        slot = tool.slots[named]
        changing = replace(form.without(named), stage=Stage.ASKING, asked=named, tries=0)
        return state.filling(changing).saying(*wording.ask(slot, state))
    if heard.act is Act.NO and form.stage is Stage.CONFIRMING:
        return answer_act(scene, state, Act.NO, spoken=())
    if heard.act is Act.YES and form.stage is Stage.CONFIRMING:
        return _agreed(scene, state, tool, heard)
    return None


def _agreed(scene: Scene, state: State, tool: Tool, heard: Heard) -> State | None:
    """A yes and more: consent only when the rest says yes again or is about what is going to be done anyway.

    Every refusal can begin like that ("yes but don't book it yet"), in more words than anybody can list. So it is the
    words of consent that are known; of anything else nothing is done, and the question is asked again.
    """
    rest = [word.text for word in heard.words[heard.act_end :]]
    match read_act(rest):
        case (Act.NO | Act.WAIT) as act, _:  # "yeah, no", "yes, wait"
            return answer_act(scene, state, act, spoken=())
    own = {word.text for text in (tool.title, *tool.samples) for word in split(text)} - _REFUSING
    said = [word for word in rest if word not in FILLERS]
    asks = bool(said) and said[0] in _ASKING  # "okay, is that right?"
    if asks or _CHANGE_WORDS.search(heard.text.lower()) or not all(word in _AGREEING or word in own for word in said):
        return None
    return answer_act(scene, state, Act.YES, spoken=())


def _short_answer(scene: Scene, state: State, form: Form, heard: Heard) -> dict[str, Fill]:
    """A bare value that only one of the form's slots can mean: "ten", when the time was refused."""
    found = {}
    for name in form.values:
        focus = replace(focus_of(scene, state), asked=name)
        fill = understand(scene.domain, heard.text, focus).fills[form.tool].get(name)
        slot = scene.tool(form).slots[name]
        if fill is None or fill.free or mistaken(state, slot, fill, pointed=False):
            continue
        if check(slot, fill.value.json) is None:
            found[name] = fill
    return found if len(found) == 1 else {}


def _other_request(form: Form, heard: Heard) -> str | None:
    """The tool another request is about, when the words clearly say so."""
    name, score = next(((name, score) for name, score in heard.ranking if name != form.tool), ("", 0.0))
    lexical = heard.lexical.get(name, 0.0)
    clear = score >= _SWITCH and lexical >= _SWITCH_WORDS and lexical > heard.lexical[form.tool] + _CLOSE
    return name if clear else None


def _named_slot(scene: Scene, form: Form, heard: Heard) -> str | None:
    """The slot a caller wants changed: "the time", "change the day"."""
    words = {word.text for word in heard.words}
    for slot in scene.tool(form).slots.values():
        noun = slot.noun.split()
        if slot.kind is not Kind.UNFIT and noun and (noun[-1] in words or noun[-1].rstrip("s") in words):
            return slot.name
    return None


def _request(scene: Scene, state: State, heard: Heard) -> State:
    """Hears an utterance as a request, with no form in hand."""
    looked = state.looked
    again = heard.fills.get(looked.tool, {}) if looked else {}
    if heard.ranking and heard.ranking[0][1] >= INTENT:
        name, score = heard.ranking[0]
        if looked is not None and not heard.lexical[name] and len(again) >= len(heard.fills[name]) > 0:
            return refine(scene, state, looked, again)
        rivals = [rival for rival, s in heard.ranking if s > score - _CLOSE]
        if len(rivals) > 1 and heard.lexical[name] - heard.lexical[rivals[1]] < _CLOSE:
            tools = [scene.domain.tools[rival] for rival in rivals[:3]]
            return replace(state, misses=0, choosing=tuple(rivals[:3])).saying(wording.which_of(tools))
        return open_form(scene, state, name, fills=heard.fills[name], pointer=heard.pointer)
    if looked is not None and again:
        return refine(scene, state, looked, again)
    if heard.pointer is not None and heard.pointer.index is not None:
        return _pointed_at(scene, state, heard.pointer.index)
    if heard.act in (Act.YES, Act.NO, Act.THANKS):
        return answer_act(scene, state, heard.act, spoken=())
    return _missed(scene, state)


def _pointed_at(scene: Scene, state: State, index: int) -> State:
    """An entry was pointed at and nothing asked of it: describe it, and offer what can be done with it."""
    listing = state.listing()
    if listing is None or not -len(listing.entries) <= index < len(listing.entries):
        count = len(listing.entries) if listing else 0
        return replace(state, misses=0).saying(f"There {'is only one' if count == 1 else f'are only {count}'}.")
    index %= len(listing.entries)
    state = replace(state, selected=index, misses=0).saying(describe(listing, index, scene.today))
    names = referable(scene.domain, state)[:3]
    if not names:
        return state
    return replace(state, choosing=tuple(names)).saying(wording.which_of([scene.domain.tools[name] for name in names]))


def _missed(scene: Scene, state: State, *, silent: bool = False) -> State:
    """Nothing was understood."""
    state = replace(state, misses=state.misses + 1)
    if state.form is not None:
        return ask_again(scene, state, state.form)
    if not scene.domain.tools:
        texts = wording.NO_TOOLS if state.misses % 2 else ("I'm sorry, I can't help with that without any tools.",)
        return state.saying(*texts)
    if silent and state.misses == 1:
        return state.saying(f"Sorry, I didn't hear anything. I can {wording.capabilities(scene.domain)}.")
    return state.saying(*wording.not_understood(scene.domain, state.misses))


def ask_again(scene: Scene, state: State, form: Form) -> State:
    """The open question of a form once more, in other words."""
    tries = form.tries + 1
    state = replace(state, form=replace(form, tries=tries))
    tool = scene.tool(form)
    slot = tool.slots.get(form.asked or "")
    if form.stage is Stage.ASKING and slot is not None:
        return state.saying(*wording.ask_again(slot, state, tries))
    if form.stage is Stage.CHANGING:
        nouns = [s.noun for s in tool.slots.values() if s.name in form.values]
        texts = ["What should I change?", f"You can change {say_list(nouns, joint='or')}, or say cancel."]
        return state.saying("Sorry, I didn't get that.", texts[tries % 2])
    if form.stage is Stage.FAILED:
        texts = ["Shall I try again? Please say yes or no.", "You can say try again, or cancel."]
        return state.saying(texts[tries % 2])
    if tries % 2:
        return state.saying("Sorry, I didn't get that.", *wording.confirmation(tool, form, state, scene.today))
    return state.saying("Please say yes to go ahead, or tell me what to change.")
