"""What the dialogue says: prompts, read-backs, help, excuses. Short sentences, none of them a form letter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

from perhop.brain.dialogue.phrasing import capital, sentence
from perhop.brain.dialogue.results import Fault
from perhop.brain.dialogue.state import Form, State
from perhop.brain.grammar.samples import read_sample
from perhop.brain.grammar.schema import Kind, Slot, Tool
from perhop.brain.grammar.understand import Domain
from perhop.brain.grammar.values import Json, say_value
from perhop.text.verbalise import say_list

__all__ = [
    "DONE_UNTOLD",
    "IN_DOUBT",
    "NO_TOOLS",
    "STILL_IN_DOUBT",
    "ask",
    "ask_again",
    "capabilities",
    "confirmation",
    "examples",
    "fault",
    "not_understood",
    "read_back",
]

NO_TOOLS = (
    "I have no tools in this session, so there is little I can do beyond being polite.",
    "For free conversation, configure the URL of a chat completions server.",
)
_MAX_TITLES = 6
_MAX_OPTIONS = 5
_WHICH_ONE = "Which one would you like?"

_PROMPTS: dict[Kind, str] = {
    Kind.DATE: "For which day?",
    Kind.DATE_TIME: "On which day, and at what time?",
    Kind.EMAIL: "What is the e-mail address?",
    Kind.NAME: "What name, please?",
    Kind.PHONE: "What is the phone number?",
    Kind.TIME: "At what time?",
}


def capabilities(domain: Domain) -> str:
    """ "search listings, book a viewing or send the details"."""
    titles = [tool.title for tool in domain.tools.values()]
    shown = titles[:_MAX_TITLES]
    if len(titles) > _MAX_TITLES:
        shown[-1] = "more"
    return say_list(shown, joint="or")


def samples(domain: Domain, count: int, *, skip: int = 0) -> list[str]:
    """Phrases that work, one a tool first, with plausible values in their slots."""
    rounds = max((len(tool.samples) for tool in domain.tools.values()), default=0)
    texts = [
        (tool, tool.samples[n]) for n in range(rounds) for tool in domain.tools.values() if n < len(tool.samples)
    ] or [(tool, tool.title) for tool in domain.tools.values()]
    turned = texts[skip % len(texts) :] + texts[: skip % len(texts)] if texts else []
    return [_filled(tool, text) for tool, text in turned[:count]]


def _filled(tool: Tool, sample: str) -> str:
    for name in read_sample(sample).slots:
        slot = tool.slots.get(name)
        value = examples(slot)[0] if slot else "something"
        sample = re.sub(r"\{\s*" + re.escape(name) + r"\s*\}", value.replace("\\", ""), sample)
    return sample


def examples(slot: Slot) -> list[str]:
    """Values one could say, at least one."""
    match slot.kind:
        case Kind.CHOICE if slot.choices:
            return [choice.label for choice in slot.choices[:_MAX_OPTIONS]]
        case Kind.INTEGER | Kind.NUMBER | Kind.MONEY:
            low = slot.schema.get("minimum")
            first = int(low) if isinstance(low, int | float) else 2
            return (
                ["2,000 dollars"]
                if slot.kind is Kind.MONEY and first < 2000
                else [str(max(first, 2) if first >= 0 else first)]
            )
        case Kind.LIST if slot.item is not None:
            return [say_list(examples(slot.item)[:2])]
        case _:
            return {
                Kind.BOOLEAN: ["yes", "no"],
                Kind.CODE: ["b 2 7, one by one"],
                Kind.DATE: ["Friday", "March 5th"],
                Kind.DATE_TIME: ["Friday at 2:30 pm"],
                Kind.EMAIL: ["john dot smith at example dot com"],
                Kind.NAME: ["Sam Brown", "or spell it: b, r, o, w, n"],
                Kind.PHONE: ["5 1 0, 5 5 5, 0 1 3 4"],
                Kind.TIME: ["2:30 pm", "half past two"],
            }.get(slot.kind, ["anything you like"])


# -- asking -----------------------------------------------------------------------------------------------------------


def ask(slot: Slot, state: State) -> list[str]:
    """The question for a slot."""
    if slot.reference and state.offers(slot):
        # Right after a list was told there is no need to tell it again.
        names = [] if state.fresh else [label for label in state.labels() if label]
        question = slot.prompt or _WHICH_ONE
        return (
            [question]
            if len(names) > _MAX_OPTIONS or not names
            else [question, capital(say_list(names, joint="or")) + "?"]
        )
    if slot.prompt:
        return [slot.prompt]
    if prompt := _PROMPTS.get(slot.kind):
        return [prompt]
    match slot.kind:
        case Kind.CHOICE if slot.open or len(slot.choices) > _MAX_OPTIONS:
            return [f"Which {slot.noun}?"]
        case Kind.CHOICE:
            return [f"Which {slot.noun}: {say_list([choice.label for choice in slot.choices], joint='or')}?"]
        case Kind.BOOLEAN:
            return [f"{capital(slot.noun)}: yes or no?"]
        case Kind.INTEGER if slot.noun.endswith("s"):
            return [f"How many {slot.noun}?"]
        case Kind.LIST:
            return [f"Which {slot.noun}? You can name several."]
    return [f"What is the {slot.noun}?"]


def ask_again(slot: Slot, state: State, tries: int) -> list[str]:
    """The question once more, never twice in a row in the same words."""
    shown = say_list(examples(slot)[:3], joint="or")
    if tries == 1:
        return ["Sorry, I didn't get that.", *ask(slot, state)]
    if tries % 2 == 0:
        if slot.reference and state.labels():
            return [f"I need to know which one. You can say the first one, or {state.labels()[-1] or 'the last one'}."]
        return [f"I still need the {slot.noun}. For example: {shown}."]
    return [f"I have trouble hearing the {slot.noun}. You can also type it, or say cancel.", *ask(slot, state)[:1]]


# -- reading back -----------------------------------------------------------------------------------------------------


def read_back(tool: Tool, values: Mapping[str, Json], state: State, today: date) -> list[str]:
    """Every value in a few words: "on Friday, November 27th", "at 2:30 pm", "under the name Sam Brown"."""
    parts = []
    for name, slot in tool.slots.items():
        if name not in values:
            continue
        value = values[name]
        label = state.label_of(slot, value) if slot.reference else ""
        said = label or say_value(slot, value, today)
        if slot.say:
            parts.append(slot.say.replace("{value}", said) if "{value}" in slot.say else f"{slot.say} {said}")
            continue
        # "I'll connect you to a department: sales", not "department sales".
        named = slot.kind is not Kind.CHOICE and slot.label(value) is not None
        bare = bool(label) or named or (slot.kind is Kind.CHOICE and slot.noun in tool.title)
        parts.append(_part(slot, value, said, bare=bare))
    return [part for part in parts if part]


def _part(slot: Slot, value: Json, said: str, *, bare: bool) -> str:
    if bare:
        return said
    match slot.kind:
        case Kind.DATE:
            return f"on {said}"
        case Kind.TIME:
            return f"at {said}"
        case Kind.NAME:
            return f"under the name {said}" if slot.noun in ("name", "full name") else f"{slot.noun} {said}"
        case Kind.PHONE:
            return f"phone number {said}"
        case Kind.EMAIL:
            return f"e-mail {said}"
        case Kind.BOOLEAN:
            return f"{slot.noun}: {said}"
        case Kind.INTEGER if slot.noun.endswith("s") and len(slot.noun) > 2:
            return f"{said} {slot.noun[:-1] if value == 1 else slot.noun}"
        case Kind.CHOICE if slot.open:
            return said
    return f"{slot.noun}: {said}" if slot.kind is Kind.TEXT else f"{slot.noun} {said}"


def confirmation(tool: Tool, form: Form, state: State, today: date) -> list[str]:
    """The read-back and the question. A tool that only looks is confirmed in what was unsure and nothing else."""
    values = form.arguments()
    if not tool.effect:
        values = {name: values[name] for name in form.unsure()}
        return [sentence(f"that is {', '.join(read_back(tool, values, state, today))}"), "Is that right?"]
    parts = ", ".join(read_back(tool, values, state, today))
    return [sentence(f"I'll {tool.title}: {parts}" if parts else f"I'll {tool.title}"), "Is that right?"]


# -- trouble ----------------------------------------------------------------------------------------------------------


def not_understood(domain: Domain, misses: int) -> list[str]:
    """An honest fallback: what it can do, then examples, each time others."""
    if misses == 1:
        return [f"Sorry, I didn't get that. I can {capabilities(domain)}."]
    first, *more = samples(domain, 2, skip=misses - 2)
    said = f"“{first}”" + (f" or “{more[0]}”" if more else "")
    if misses == 2:
        return [f"I'm still not following. You could say: {said}."]
    opening = ("I understand only a few things.", "Let's try it differently.")[misses % 2]
    return [f"{opening} Try {said}, or type it."]


IN_DOUBT = (
    "I'm sorry, I got no clear answer, and I can't tell whether it went through.",
    "So I won't do it again: somebody has to check first.",
)
"""Of an effect nobody knows of; there is nothing to try again."""

STILL_IN_DOUBT = "I still can't tell whether it went through the last time, so it may be done twice."

DONE_UNTOLD = ("That was done, but the answer was too long for me to read.",)


def fault(problem: Fault) -> list[str]:
    """What went wrong, honestly, and the way forward."""
    message = sentence(problem.message[:300])
    match problem.code:
        case "timeout" | "cancelled":
            return ["That took too long and I got no answer.", "Shall I try again?"]
        case "busy":
            return ["The system is too busy right now.", "Shall I try again?"]
        case "result_too_large":
            return ["That found more than I can handle.", "Could you narrow it down?"]
        case "unknown_tool":
            return ["I'm sorry, that isn't available right now."]
    if message and len(message) > 1:
        return [message, "You can change something, or say try again or cancel."]
    return ["I'm sorry, that didn't work.", "Shall I try again?"]


def which_of(tools: Sequence[Tool]) -> str:
    """The question between several things it could do."""
    return f"Would you like to {say_list([tool.title for tool in tools], joint='or')}?"
