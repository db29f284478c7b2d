"""The grammar of everything a caller can say to a set of tools, as JSGF for a recogniser.

One loop of slot phrases is shared by all requests, so that slots come in any order, any number of them, and the grammar
grows with the sum of the slots, not with their combinations. Whatever state the dialogue is in, everything stays
possible; the state only adds the short answers that its question calls for.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass

from perhop.brain.grammar.acts import PHRASES, Act
from perhop.brain.grammar.pointing import POINTING
from perhop.brain.grammar.samples import Cues
from perhop.brain.grammar.schema import Kind, Slot, Tool
from perhop.brain.grammar.spoken_rules import RULES, alternatives, speakable, value_rule
from perhop.brain.grammar.understand import Domain

__all__ = ["Grammar", "build_grammar"]

_POLITE = (
    "please", "i'd like to", "i would like to", "i want to", "i need to", "can you", "could you", "can i", "could i",
    "let's", "we'd like to", "can you please", "could you please",
)  # fmt: skip
_LOOK = (
    "show me", "find me", "find", "see", "look for", "look at", "search for", "get me", "give me", "i'm looking for",
    "we're looking for", "i need", "i want", "i'd like", "do you have", "are there", "is there", "what about",
    "how about",
)  # fmt: skip
_QUESTIONS = ("what", "when", "where", "who", "how", "is ", "are ", "do ")
_ARTICLES = frozenset({"a", "an", "the", "some", "any", "my", "your"})
_WEAK = frozenset({Kind.CODE, Kind.EMAIL, Kind.INTEGER, Kind.MONEY, Kind.NAME, Kind.NUMBER, Kind.PHONE, Kind.TIME})
"""Kinds whose bare value means nothing unless it was asked for."""
_ONLY_ASKED = frozenset({Kind.CODE, Kind.EMAIL, Kind.NAME})
"""Kinds whose rules are too wide to be offered at any time."""
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


def build_grammar(domain: Domain, *, asked: Slot | None = None, confirming: Tool | None = None) -> Grammar:
    """The grammar for a dialogue state.

    Args:
        domain: the tools.
        asked: the slot that was just asked for: its bare values become sentences.
        confirming: the tool being confirmed: its slots can be named ("change the time").
    """
    rules: dict[str, str] = {}
    phrases = _phrases(domain, rules)
    openers = [_request(domain)] if domain.tools else []
    openers += [f"({alternatives(PHRASES[Act.YES])})", f"({alternatives(PHRASES[Act.NO])}) [<fix>]", "<fix>"]
    if confirming is not None:
        nouns = alternatives(speakable(slot.noun) for slot in confirming.slots.values())
        openers.append(f"[change] [the] ({nouns})" if nouns else "")
    rules["fix"] = "make it | make that | change it to | i meant | i mean | i said | actually | sorry"
    rules["opener"] = alternatives(openers)
    rules["filler"] = "um | uh | well | okay | so | and"
    sentences = ["[<filler>] [<opener>] [<phrases>] [please]", _acts()]
    if phrases:
        rules["phrase"] = alternatives(phrases)
        rules["phrases"] = "[<filler>] <phrase> [<phrases>]"
    else:
        sentences[0] = "[<filler>] [<opener>] [please]"
    answer = _answer(asked)
    if answer:
        rules["answer"] = answer
        sentences = [f"/1.0/ {sentence}" for sentence in sentences]
        sentences.insert(0, "/2.0/ [<filler>] <answer> [please]")
    text = _assemble("\n  | ".join(sentences), rules)
    pronunciations = {word: phones for tool in domain.tools.values() for word, phones in tool.pronunciations.items()}
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


def _phrases(domain: Domain, rules: dict[str, str]) -> list[str]:
    """A phrase for every slot, with its cues; slots that sound the same share one."""
    found: dict[str, None] = {}
    numbers: dict[str, str] = {}
    for name, tool in domain.tools.items():
        for slot in tool.slots.values():
            value = None if slot.kind in _ONLY_ASKED else value_rule(slot)
            if value is None:
                continue
            if value not in numbers:
                numbers[value] = (
                    value if value.startswith("<") and value.count("<") == 1 and value.endswith(">") else ""
                )
                if not numbers[value]:
                    rule = f"value_{len(numbers)}"
                    rules[rule] = value
                    numbers[value] = f"<{rule}>"
            found[_phrase(slot, numbers[value], domain.cues[name][slot.name])] = None
    if any(slot.reference for tool in domain.tools.values() for slot in tool.slots.values()):
        found[alternatives(POINTING)] = None
    return list(found)


def _phrase(slot: Slot, value: str, cues: Cues) -> str:
    before = alternatives(_cue_texts(cues.before))
    after = alternatives(_cue_texts(cues.after))
    tail = f" [{after}]" if after else ""
    head = "[a | the] " if slot.kind in (Kind.CHOICE, Kind.INTEGER) else ""
    if slot.kind not in _WEAK:
        return f"[{before}] {head}{value}{tail}" if before else f"{head}{value}{tail}"
    cued = [f"({before}) {head}{value}{tail}"] if before else []
    return " | ".join([*cued, f"{head}{value} ({after})"] if after else cued)


def _cue_texts(cues: Iterable[tuple[str, ...]]) -> list[str]:
    texts = [speakable(" ".join(cue)) for cue in cues]
    return [text for text in texts if text][:_MAX_CUES]


def _request(domain: Domain) -> str:
    """How requests open: "[please] book a viewing", "show me a", "i'm looking for"."""
    acting: dict[str, None] = {}
    looking: dict[str, None] = {}
    literal: dict[str, None] = {}
    for name, tool in domain.tools.items():
        leads = [sample.lead for sample in domain.samples[name]] + [tuple(speakable(tool.title).split())]
        for lead in leads:
            _sort_lead(speakable(" ".join(lead)), acting, looking, literal, effect=tool.effect)
    polite = f"[{alternatives(_POLITE)}]"
    found = []
    if acting:
        found.append(f"{polite} ({alternatives(acting)})")
    if looking:
        objects = alternatives(looking)
        tail = f" [{objects}]" if objects else ""
        found.append(f"{polite} ({alternatives(_LOOK)}) [a | an | the | some | any]{tail}")
    found += literal
    return alternatives(found)


def _sort_lead(
    lead: str, acting: dict[str, None], looking: dict[str, None], literal: dict[str, None], *, effect: bool
) -> None:
    """Puts the opening of a sample where it belongs: something to do, something to look for, or words as they are."""
    polite = next((p for p in sorted(_POLITE, key=len, reverse=True) if lead == p or lead.startswith(p + " ")), "")
    rest = lead[len(polite) :].strip()
    look = next((p for p in sorted(_LOOK, key=len, reverse=True) if rest == p or rest.startswith(p + " ")), "")
    look_at_start = look or next((p for p in _LOOK if lead == p or lead.startswith(p + " ")), "")
    if look_at_start:
        words = (rest if look else lead)[len(look_at_start) :].split()
        while words and words[0] in _ARTICLES:
            words.pop(0)
        looking[" ".join(words)] = None
    elif rest and (polite or effect or not lead.startswith(_QUESTIONS)):
        acting[rest] = None
    elif lead:
        literal[lead] = None


def _acts() -> str:
    """Everything about the conversation itself, but for yes and no."""
    asked = [
        text for act in (Act.REPEAT, Act.RESTART, Act.CANCEL, Act.HUMAN, Act.HELP, Act.MORE) for text in PHRASES[act]
    ]
    said = [text for act in (Act.WAIT, Act.HELLO, Act.THANKS, Act.BYE) for text in PHRASES[act]]
    polite = "[can you | could you | i want to | i'd like to | please]"
    return f"{polite} ({alternatives(asked)}) [please] | {alternatives(said)}"


def _answer(asked: Slot | None) -> str:
    """What only makes sense as the answer to a question."""
    if asked is None or asked.kind is Kind.BOOLEAN or asked.kind not in _WEAK:
        return ""
    value = value_rule(asked)
    carriers = "it's | it is | make it"
    if asked.kind is Kind.NAME:
        carriers += " | my name is | the name is | i'm | this is | under"
    if asked.kind in (Kind.PHONE, Kind.EMAIL):
        carriers += " | my number is | area code" if asked.kind is Kind.PHONE else " | my email is"
    if asked.kind is Kind.TIME:
        carriers += " | at | around"
    return f"[{carriers}] ({value})" if value else ""
