"""What a caller may say next, for the recogniser: a grammar a dialogue state, made once and kept."""

from __future__ import annotations

from perhop.brain.dialogue.state import Stage, State
from perhop.brain.dialogue.wording import capabilities
from perhop.brain.grammar.jsgf import build_grammar
from perhop.brain.grammar.schema import Kind, Slot
from perhop.brain.grammar.spelling import spellings
from perhop.brain.grammar.understand import Domain
from perhop.brain.providers import Expectation

__all__ = ["Grammars"]

_MAX_PROMPT = 400


class Grammars:
    """The grammars of one set of tools. Each takes a few milliseconds to write and is kept: there are at most as many
    as slots and tools together.

    Args:
        domain: the tools.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._spellings = spellings(domain)
        self._known: dict[tuple[str, str | None, bool], Expectation] = {}
        labels = [
            choice.label for tool in domain.tools.values() for slot in tool.slots.values() for choice in slot.choices
        ]
        about = f"A caller wants to {capabilities(domain)}." if domain.tools else ""
        self._prompt = " ".join([about, ", ".join(dict.fromkeys(labels))]).strip()[:_MAX_PROMPT]

    def expectation(self, state: State) -> Expectation:
        """What to expect in a state of the dialogue."""
        form = state.form
        confirming = form is not None and form.stage in (Stage.CONFIRMING, Stage.CHANGING, Stage.FAILED)
        asked = form.asked if form is not None and form.stage is Stage.ASKING else None
        again = form is not None and asked is not None and form.tries > 0
        key = (form.tool if form is not None and (asked or confirming) else "", asked, again)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._build(*key)
        return found

    def _build(self, name: str, asked: str | None, again: bool) -> Expectation:
        tool = self._domain.tools.get(name)
        slot = tool.slots.get(asked) if tool and asked else None
        prompt = f"{slot.prompt or slot.noun}. {self._prompt}"[:_MAX_PROMPT] if slot else self._prompt
        if not self._domain.tools or (slot is not None and _only_free(slot)):
            return Expectation(prompt=prompt)
        grammar = build_grammar(self._domain, tool=tool, asked=slot, again=again)
        return Expectation(
            grammar=grammar.text,
            pronunciations=dict(grammar.pronunciations),
            spellings=self._spellings,
            prompt=prompt,
        )


def _only_free(slot: Slot) -> bool:
    """Whether anything at all may be the answer, so that a grammar would only mishear it."""
    inner = slot.item if slot.kind is Kind.LIST and slot.item is not None else slot
    return inner.kind is Kind.TEXT or (inner.kind is Kind.CHOICE and not inner.choices)
