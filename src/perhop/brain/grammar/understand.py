"""Understanding one utterance against a set of tools: what it is about, which values it gives, what it points at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from perhop.brain.grammar.acts import FILLERS, Act, read_act
from perhop.brain.grammar.fills import Fill, find_fills
from perhop.brain.grammar.free import asked_fill, cued_fills
from perhop.brain.grammar.lexicon import Lexicon
from perhop.brain.grammar.pointing import Pointer, read_pointer
from perhop.brain.grammar.samples import Cues, Sample, read_cues, read_sample
from perhop.brain.grammar.schema import Kind, Tool, humanise, read_tools
from perhop.brain.grammar.values import Value, check
from perhop.text.words import Word, split

__all__ = ["Domain", "Focus", "Heard", "understand"]

_MAX_READ = 500
"""Characters of an utterance that are looked at; a message that was asked for is taken whole all the same."""
_MARKS = frozenset("!?;%@+")
"""Marks that say nothing here; others part values from each other."""
_LEXICAL = 0.7
_CUED = 0.35
_UNCUED = 0.2
_POINTED = 0.3
_NOTHING_ELSE = 0.3
_IN_A_MESSAGE = 0.35
_MOST_EVIDENCE = 0.6


class Domain:
    """A session's tools, prepared for understanding. Immutable.

    Args:
        specs: ``session.tools``.
    """

    def __init__(self, specs: Sequence[Mapping[str, Any]]) -> None:
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in read_tools(specs) if tool.fit}
        self.samples: Mapping[str, tuple[Sample, ...]] = {
            name: tuple(read_sample(text) for text in tool.samples) for name, tool in self.tools.items()
        }
        self.openings: Mapping[str, frozenset[tuple[str, ...]]] = {
            name: frozenset(words for sample in samples for words in (sample.words, sample.lead) if len(words) > 1)
            for name, samples in self.samples.items()
        }
        self.cues: Mapping[str, Mapping[str, Cues]] = {
            name: read_cues(tool, self.samples[name]) for name, tool in self.tools.items()
        }
        for tool in self.tools.values():
            for slot in tool.slots.values():
                check(slot, "")  # compiles its pattern, which the caller need not wait for
        self.lexicon = Lexicon({name: (tool, self.samples[name]) for name, tool in self.tools.items()})

    @cached_property
    def slot_names(self) -> frozenset[str]:
        """What tools can be told, whichever tool."""
        return frozenset(name for tool in self.tools.values() for name in tool.slots)

    @cached_property
    def nouns(self) -> frozenset[str]:
        """What a result may be called, from the names of identifiers: ``listing_id`` makes "listing" one."""
        return frozenset(
            humanise(slot.name).rsplit(" ", 1)[0].split()[-1]
            for tool in self.tools.values()
            for slot in tool.slots.values()
            if slot.reference and " " in humanise(slot.name)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """What the conversation is at.

    Attributes:
        today: what "tomorrow" is relative to.
        tool: the one whose form is being filled.
        asked: its slot that was just asked for.
        filled: its slots that have values.
        labels: what the entries of the last list are called.
    """

    today: date
    tool: str | None = None
    asked: str | None = None
    filled: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What was understood.

    Attributes:
        act: what it says about the conversation itself; ``act_end`` is the index of the first word after that.
        fills: the values for each tool's slots, by tool and slot.
        ranking: tools by how clearly they were asked for, 0 to 1.3, best first.
        lexical: how much of the words, values aside, speaks for each tool: 0 to 1.
        pointer: the entry of the last list that was pointed at.
    """

    text: str
    words: tuple[Word, ...]
    act: Act | None = None
    act_end: int = 0
    fills: Mapping[str, Mapping[str, Fill]] = field(default_factory=dict)
    ranking: tuple[tuple[str, float], ...] = ()
    lexical: Mapping[str, float] = field(default_factory=dict)
    pointer: Pointer | None = None

    @property
    def whole_act(self) -> Act | None:
        """The act, if the utterance is nothing else."""
        return self.act if self.act_end == len(self.words) else None


def understand(domain: Domain, text: str, focus: Focus) -> Heard:
    """Reads an utterance, spoken or typed. Takes well under a millisecond for an ordinary sentence and a few tools."""
    tokens = tuple(word for word in split(text[:_MAX_READ]) if word.text not in _MARKS)
    words = [token.text for token in tokens]
    act, act_end = read_act(words) or (None, 0)
    tool = domain.tools.get(focus.tool or "")
    asked = tool.slots.get(focus.asked or "") if tool else None
    pointer = None
    if focus.labels:
        alone = asked is None or asked.kind is not Kind.DATE
        pointer = read_pointer(words, focus.labels, nouns=domain.nouns, alone=alone)
    fills = {name: _fills(domain, name, text, tokens, words, focus) for name in domain.tools}
    if pointer is not None and pointer.index is not None and not pointer.named:
        # "the first one" is no date, and the "one" in it no number.
        fills = {
            name: {slot: fill for slot, fill in found.items() if fill.start < pointer.start or fill.end > pointer.end}
            for name, found in fills.items()
        }
    lexical: dict[str, float] = {}
    ranking = []
    for name in domain.tools:
        lexical[name], total = _score(domain, name, words, fills[name], pointer, act_end)
        ranking.append((name, total))
    ranking.sort(key=lambda pair: -pair[1])
    # After the ranking: as an answer any words will do, yet they may be asking for something else.
    if tool and asked and asked.name not in fills[tool.name]:
        given = _answer(asked, act, text, tokens, act_end, fills[tool.name])
        if given:
            fills[tool.name] = {**fills[tool.name], asked.name: given}
    return Heard(text, tokens, act, act_end, fills, tuple(ranking), lexical, pointer)


def _fills(
    domain: Domain, name: str, text: str, tokens: Sequence[Word], words: Sequence[str], focus: Focus
) -> dict[str, Fill]:
    slots, cues = domain.tools[name].slots, domain.cues[name]
    current = name == focus.tool
    fills = find_fills(
        slots,
        cues,
        words,
        today=focus.today,
        asked=focus.asked if current else None,
        filled=focus.filled if current else frozenset(),
    )
    return cued_fills(slots, cues, text, tokens, fills)


def _answer(
    asked: Any, act: Act | None, text: str, tokens: Sequence[Word], act_end: int, others: Mapping[str, Fill]
) -> Fill | None:
    """An answer that only makes sense because it was asked for: yes to a yes-or-no question, free text."""
    if asked.kind is Kind.BOOLEAN:
        if act not in (Act.YES, Act.NO):
            return None
        return Fill(asked.name, Value(act is Act.YES), 0, act_end, cued=True, score=3.0)
    if act is not None and act_end == len(tokens) and asked.kind is not Kind.TEXT:
        return None
    return asked_fill(asked, text, tokens, act_end if act is not None else 0, others)


def _score(
    domain: Domain, name: str, words: Sequence[str], fills: Mapping[str, Fill], pointer: Pointer | None, act_end: int
) -> tuple[float, float]:
    consumed = [at < act_end for at in range(len(words))]
    evidence = 0.0
    for fill in fills.values():
        consumed[fill.start : fill.end] = [True] * (fill.end - fill.start)
        evidence += _CUED if fill.cued else _UNCUED
    if pointer is not None:
        consumed[pointer.start : pointer.end] = [True] * (pointer.end - pointer.start)
        if any(slot.reference for slot in domain.tools[name].slots.values()):
            evidence += _POINTED
    rest = tuple(word for word, used in zip(words, consumed, strict=True) if not used and word not in FILLERS)
    # Words that mean nothing to any tool may be the beginning of a message.
    takes_text = any(slot.kind is Kind.TEXT and slot.name not in fills for slot in domain.tools[name].slots.values())
    lexical = domain.lexicon.score(words, consumed, name, unknown=_IN_A_MESSAGE if takes_text else 1.0)
    lexical = 1.0 if rest in domain.openings[name] else lexical
    if fills and not any(domain.lexicon.telling(word) for word, used in zip(words, consumed, strict=True) if not used):
        evidence += _NOTHING_ELSE
    return lexical, _LEXICAL * lexical + min(evidence, _MOST_EVIDENCE)
