"""The grammar of everything a caller can say to a set of tools, as JSGF for a recogniser.

One loop of slot phrases is shared by all requests, so that slots come in any order, any number of them, and the grammar
grows with the sum of the slots, not with their combinations. Whatever state the dialogue is in, everything stays
possible; the state only adds the short answers that its question calls for.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

from perhop.brain.grammar.acts import COMMON, Act
from perhop.brain.grammar.pointing import POINTING
from perhop.brain.grammar.samples import Cues, Sample
from perhop.brain.grammar.schema import Kind, Slot, Tool, stem
from perhop.brain.grammar.spoken_rules import RULES, alternatives, names_rule, speakable, value_rule
from perhop.brain.grammar.understand import Domain

__all__ = ["Grammar", "build_grammar"]

_POLITE = (
    "please", "i'd like to", "i would like to", "i want to", "i need to", "can you", "could you", "can i", "let's",
)  # fmt: skip
_LOOK = (
    "show me", "find me", "find", "see", "look for", "search for", "give me", "i'm looking for", "i need", "i want",
    "i'd like", "do you have", "what about",
)  # fmt: skip
_QUESTIONS = ("what", "when", "where", "who", "how", "is ", "are ", "do ")
_ARTICLES = frozenset({"a", "an", "the", "some", "any", "my", "your"})
_WEAK = frozenset({Kind.CODE, Kind.EMAIL, Kind.INTEGER, Kind.NAME, Kind.NUMBER, Kind.PHONE, Kind.TIME})
"""Kinds whose bare value means nothing unless it was asked for."""
_ONLY_ASKED = frozenset({Kind.CODE, Kind.EMAIL, Kind.NAME})
"""Kinds whose rules are too wide to be offered at any time."""
_FIXES = "make it | make that | change it to | i meant | i said | actually"
_SHORT_CUES: dict[Kind, tuple[str, ...]] = {
    Kind.DATE: ("on", "for"),
    Kind.PHONE: (),
    Kind.TIME: ("at", "around"),
}
"""Cues of one syllable that are worth what they cost in false hearing."""
_CARRIERS: dict[Kind, tuple[str, ...]] = {
    Kind.EMAIL: ("my email is",),
    Kind.NAME: ("my name is", "the name is", "i'm", "this is", "under"),
    Kind.PHONE: ("my number is", "area code"),
    Kind.TIME: ("at", "around"),
}
_ASKED_POLITELY = (Act.REPEAT, Act.RESTART, Act.CANCEL, Act.HUMAN, Act.HELP, Act.MORE)
_LIKELY, _POSSIBLE, _UNLIKELY = "1.0", "0.01", "0.000001"
"""Weights count once, as they are, against some 3 nats of sound a frame: only very small ones are felt."""
_MAX_REPEATED = 3
_MAX_CUES = 8
_REFERENCE = re.compile(r"<([a-z_0-9]+)>")
_TOKEN = re.compile(r"[a-z']+")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A compiled grammar.

    Attributes:
        text: JSGF; equal for equal tools and dialogue state.
        pronunciations: CMU phones of words no dictionary has, one string a variant.
    """

    text: str
    pronunciations: dict[str, tuple[str, ...]]

    def words(self) -> frozenset[str]:
        """Every word that can be said in it."""
        body = self.text.split("\n", 2)[-1]
        return frozenset(_TOKEN.findall(re.sub(r"<[^>]*>|/[0-9.]+/|^public", " ", body, flags=re.MULTILINE)))

    def missing(self, dictionary: Container[str]) -> frozenset[str]:
        """The words a dictionary lacks and no pronunciation was given for."""
        return frozenset(word for word in self.words() if word not in dictionary and word not in self.pronunciations)


def build_grammar(
    domain: Domain, *, tool: Tool | None = None, asked: Slot | None = None, again: bool = False
) -> Grammar:
    """The grammar for a dialogue state.

    Args:
        domain: the tools.
        tool: the one whose form is in hand; without ``asked`` it is being confirmed or changed.
        asked: its slot that was just asked for: bare values of it become sentences.
        again: whether that was asked for in vain before: a name is then expected to be spelled.
    """
    rules: dict[str, str] = {}
    sentences = []
    answer = _answer(asked, again=again) if asked is not None else ""
    # Wide values close the sentence: the end of every name times the beginning of everything else is a large grammar.
    apart = asked is not None and asked.kind in _ONLY_ASKED
    if answer and apart:
        sentences.append(f"/{_LIKELY}/ {answer} [please]")
    for number, (name, each) in enumerate(domain.tools.items(), start=1):
        openers = _openings(domain, each)
        if tool is not None and name == tool.name:
            openers += _changes(tool) if asked is None else [answer] if answer and not apart else []
        lead = alternatives(openers)
        rules[f"tail_{number}"] = _tail(domain, each, rules)
        weight = _LIKELY if tool is None or name == tool.name else _UNLIKELY
        sentences.append(f"/{weight}/ [okay | and] {f'[{lead}] ' if lead else ''}<tail_{number}> [please]")
    sentences.append(f"/{_POSSIBLE if tool is None or asked else _LIKELY}/ {_acts()}")
    text = _assemble("\n  | ".join(sentences), rules)
    pronunciations = {word: phones for each in domain.tools.values() for word, phones in each.pronunciations.items()}
    return Grammar(text, pronunciations)


def _assemble(utterance: str, rules: dict[str, str]) -> str:
    """The grammar's text with the rules that are reached, in the order they are."""
    available = {**RULES, **rules}
    wanted = _REFERENCE.findall(utterance)
    order: dict[str, None] = {}
    while wanted:
        name = wanted.pop(0)
        if name not in order:
            order[name] = None
            wanted += _REFERENCE.findall(available[name])
    lines = ["#JSGF V1.0;", "grammar perhop;", f"public <utterance> = {utterance};"]
    return "\n".join([*lines, *(f"<{name}> = {available[name]};" for name in order)]) + "\n"


def _tail(domain: Domain, tool: Tool, rules: dict[str, str]) -> str:
    """The slots of a tool in the order its samples have them, any of them left out."""
    phrases = [
        _phrase(tool.slots[name], domain.cues[tool.name][name], rules)
        for name in _order(tool, domain.samples[tool.name])
    ]
    return " ".join(f"[{phrase}]" for phrase in phrases if phrase) or "<NULL>"


def _order(tool: Tool, samples: Sequence[Sample]) -> list[str]:
    """The slots in the order of the longest sample; those that another order has later come once more at the end."""
    longest_first = sorted(samples, key=lambda sample: -len(sample.slots))
    order = list(dict.fromkeys(name for sample in longest_first for name in sample.slots if name in tool.slots))
    order += [name for name in tool.slots if name not in order]
    others = [sample.slots for sample in longest_first]
    dates = [slot.name for slot in tool.slots.values() if slot.kind is Kind.DATE]
    times = [slot.name for slot in tool.slots.values() if slot.kind is Kind.TIME]
    # "at two on friday" is as good as "on friday at two".
    others += [(times[0], dates[0]), (dates[0], times[0])] if dates and times else []
    limit = len(order) + _MAX_REPEATED
    for names in others:
        at = 0
        for name in names:
            if name in order[at:]:
                at = order.index(name, at) + 1
            elif name in order and len(order) < limit:
                order.append(name)
                at = len(order)
    return order


def _phrase(slot: Slot, cues: Cues, rules: dict[str, str]) -> str:
    """A slot's value with its cues.

    Nothing here is so short and so free that a recogniser would put it where there is only noise: a value that is a
    lone number needs its cue, and "it" needs a verb.
    """
    if not slot.reference:
        return _value_phrase(slot, cues, rules)
    pointed = f"[of | for] ({alternatives(POINTING)})"
    # Some identifiers have names of their own: "Doctor Lee".
    named = _value_phrase(slot, cues, rules) if slot.choices else ""
    return f"({pointed} | {named})" if named else pointed


def _value_phrase(slot: Slot, cues: Cues, rules: dict[str, str]) -> str:
    phrase = _measured_phrase(slot, cues, rules)
    # A name for a number says by itself what it is: "a studio in oakland" has no bedrooms.
    names = names_rule(slot) if slot.kind is not Kind.CHOICE else ""
    return f"({phrase} | [a | an] ({names}))" if names and phrase else f"[a | an] ({names})" if names else phrase


def _measured_phrase(slot: Slot, cues: Cues, rules: dict[str, str]) -> str:
    before, after = _cue_texts(slot, cues)
    value = None if slot.kind in _ONLY_ASKED else value_rule(slot)
    if value is None:
        return ""
    if not re.fullmatch(r"<\w+>", value):
        name = next((name for name, body in rules.items() if body == value), f"value_{len(rules)}")
        rules[name] = value
        value = f"<{name}>"
    if slot.kind is Kind.CHOICE and not slot.open:
        value = f"[the] {value}"
    if slot.kind not in _WEAK:
        return (f"[{alternatives(before)}] " if before else "") + value + (f" [{alternatives(after)}]" if after else "")
    if after:
        return (f"[{alternatives(before)}] " if before else "") + f"{value} ({alternatives(after)})"
    return f"({alternatives(before)}) {value}" if before else ""


def _cue_texts(slot: Slot, cues: Cues) -> tuple[list[str], list[str]]:
    """The cues before and after a value, as they are said; "bedrooms is two" is understood, but nobody says it."""
    noun = {stem(word) for word in slot.noun.split()}
    before = [cue for cue in cues.before if not {stem(word) for word in cue} <= noun | {"is"}]
    if slot.kind in _SHORT_CUES:
        before = [cue for cue in before if len(cue) > 1 or cue[0] in _SHORT_CUES[slot.kind]]
    if slot.kind is Kind.MONEY:
        return [text for cue in before if (text := speakable(" ".join(cue)))][:_MAX_CUES], []  # dollars are in its rule
    texts = [[speakable(" ".join(cue)) for cue in side] for side in (before, cues.after)]
    return [text for text in texts[0] if text][:_MAX_CUES], [text for text in texts[1] if text][:_MAX_CUES]


def _openings(domain: Domain, tool: Tool) -> list[str]:
    """How requests for a tool open: "[please] book a viewing", "show me a", "i'm looking for"."""
    found: dict[str, dict[str, None]] = {"act": {}, "look": {}, "as is": {}}
    refers = any(slot.reference for slot in tool.slots.values())
    for lead in [*(sample.lead for sample in domain.samples[tool.name]), tuple(speakable(tool.title).split())]:
        kind, text = _opening(speakable(" ".join(lead)), effect=tool.effect)
        found[kind][text] = None
        if refers and kind == "act":
            # "Book a viewing of the first one" is said, and so is "book the first one" and "book it".
            verb = text.split()[0]
            found[kind] |= dict.fromkeys((verb, f"{verb} (it | that one | this one)"))
    requests = [alternatives(found["act"])] if found["act"] else []
    if found["look"]:
        objects = alternatives(found["look"])
        requests.append(f"({alternatives(_LOOK)}) [a | an | the | some | any]{f' [{objects}]' if objects else ''}")
    return [*([f"[{alternatives(_POLITE)}] ({alternatives(requests)})"] if requests else []), *found["as is"]]


def _changes(tool: Tool) -> list[str]:
    """What opens an utterance while a tool is being confirmed."""
    nouns = alternatives(speakable(slot.noun) for slot in tool.slots.values())
    change = [f"[change] the ({nouns})"] if nouns else []
    return [f"yes | (no | nope) [{_FIXES}] | {_FIXES}", *change]


def _opening(lead: str, *, effect: bool) -> tuple[Literal["act", "look", "as is"], str]:
    """What the opening of a sample is: something to do, something to look for (and what), or words as they are."""
    polite = next((p for p in sorted(_POLITE, key=len, reverse=True) if lead == p or lead.startswith(p + " ")), "")
    rest = lead[len(polite) :].strip()
    look = next((p for p in sorted(_LOOK, key=len, reverse=True) if rest == p or rest.startswith(p + " ")), "")
    if not look and not polite:
        look = next((p for p in _LOOK if lead == p or lead.startswith(p + " ")), "")
    if look:
        words = rest[len(look) :].split()
        while words and words[0] in _ARTICLES:
            words.pop(0)
        return "look", " ".join(words)
    if rest and (polite or effect or not lead.startswith(_QUESTIONS)):
        return "act", rest
    return "as is", lead


def _acts() -> str:
    """What is said about the conversation itself."""
    asked = alternatives(text for act in _ASKED_POLITELY for text in COMMON[act])
    said = alternatives(text for act in Act if act not in _ASKED_POLITELY for text in COMMON[act])
    return f"([can you | could you | can i | i want to | i'd like to | please] ({asked}) | {said}) [please]"


def _answer(asked: Slot, *, again: bool) -> str:
    """The bare value of a slot, with the few words people put in front of it."""
    if asked.kind is Kind.DATE:
        return "[on] <date_answer>"
    if asked.kind not in _WEAK:
        return "<number> [dollars]" if asked.kind is Kind.MONEY else ""
    carriers = ["it's", "it is", "make it", *_CARRIERS.get(asked.kind, ())]
    value = "<spelled_name>" if asked.kind is Kind.NAME and again else value_rule(asked)
    if value and (names := names_rule(asked)):
        value = f"{value} | [a | an] ({names})"
    return f"[{alternatives(carriers)}] ({value})" if value else ""
