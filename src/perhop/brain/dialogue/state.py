"""What a conversation is at, as immutable values: the form being filled, what is known, what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Literal

from perhop.brain.dialogue.results import Result
from perhop.brain.grammar.schema import Slot, Tool
from perhop.brain.grammar.understand import Domain
from perhop.brain.grammar.values import Json, Value
from perhop.brain.providers import FunctionCall, Said

__all__ = ["Form", "Given", "Stage", "State", "Step"]

Step = Said | FunctionCall

_MAX_RESULTS = 4
_MAX_PARKED = 2


class Stage(Enum):
    """What a form waits for."""

    ASKING = auto()
    """The value of ``asked``."""
    CONFIRMING = auto()
    """Yes, no, or a correction."""
    CHANGING = auto()
    """What should be different: the caller said no to the read-back."""
    CALLING = auto()
    """The result: the function call was decided on."""
    FAILED = auto()
    """Try again, change something, or leave it: the tool could not do it."""


@dataclass(frozen=True, slots=True)
class Given:
    """A slot's value and where it is from.

    Attributes:
        origin: said now, known from before, or taken from a result that was pointed at.
        tool: the one it was given to.
    """

    value: Value
    origin: Literal["said", "known", "pointed"] = "said"
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """A tool on its way to being called.

    Attributes:
        asked: the slot that was asked for last.
        tries: how often that was asked without getting it.
        called: whether its function call is part of the conversation.
        settled: whether unsure values were confirmed.
    """

    tool: str
    values: Mapping[str, Given] = field(default_factory=dict)
    stage: Stage = Stage.ASKING
    asked: str | None = None
    tries: int = 0
    called: bool = False
    settled: bool = False

    def having(self, given: Mapping[str, Given]) -> Form:
        """With further values, which replace those it had; what was confirmed before no longer is."""
        return replace(self, values={**self.values, **given}, settled=False) if given else self

    def without(self, name: str) -> Form:
        """With one value forgotten."""
        return replace(self, values={key: value for key, value in self.values.items() if key != name})

    def missing(self, tool: Tool) -> Slot | None:
        """The first required slot without a value."""
        return next((slot for slot in tool.required if slot.name not in self.values), None)

    def unsure(self) -> tuple[str, ...]:
        """Slots whose value has to be confirmed whatever the tool does."""
        return () if self.settled else tuple(n for n, given in self.values.items() if not given.value.sure)

    def arguments(self) -> dict[str, Json]:
        """The arguments of its function call."""
        return {name: given.value.json for name, given in self.values.items()}


@dataclass(frozen=True, slots=True)
class State:
    """Everything a conversation means to the dialogue; a pure function of its items.

    Attributes:
        form: what is being filled, confirmed or run.
        parked: forms set aside for a digression, the latest last.
        known: the last value of every property that was given, by name.
        results: what was found, newest first.
        selected: the entry of the newest list that was pointed at.
        offset: how many entries of the newest list have been said.
        last: the last form that succeeded.
        looked: the last of them that changed nothing, so that it can be asked again with other values.
        doubts: tools and arguments of which nobody knows whether they had their effect.
        calls: function calls without an output, by function_call_id.
        waits: how often the caller was told to wait for them.
        choosing: tools to choose from, when it was not clear which was meant.
        misses: utterances not understood in a row.
        done: whether the caller was asked if there is anything else.
        reply: what to say or do now; ``fresh`` when it tells results nobody has heard yet.
        spoken: what was said last, for "repeat".
    """

    form: Form | None = None
    parked: tuple[Form, ...] = ()
    known: Mapping[str, Given] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    selected: int | None = None
    offset: int = 0
    last: Form | None = None
    looked: Form | None = None
    doubts: tuple[tuple[str, Mapping[str, Json]], ...] = ()
    calls: Mapping[str, tuple[str, Mapping[str, Json]]] = field(default_factory=dict)
    waits: int = 0
    choosing: tuple[str, ...] = ()
    misses: int = 0
    done: bool = False
    reply: tuple[Step, ...] = ()
    fresh: bool = False
    spoken: tuple[str, ...] = ()

    def saying(self, *sentences: str) -> State:
        """With these sentences added to the reply."""
        said = tuple(Said(text) for text in sentences if text)
        return replace(self, reply=(*self.reply, *said), spoken=(*self.spoken, *(piece.text for piece in said)))

    def filling(self, form: Form | None) -> State:
        """With this form in hand."""
        return replace(self, form=form, choosing=(), done=False)

    def parking(self, form: Form) -> State:
        """With this form set aside; of more than two the oldest is dropped."""
        return replace(self, parked=(*self.parked, form)[-_MAX_PARKED:])

    def found(self, result: Result) -> State:
        """With a result; a list replaces what was pointed at before."""
        if not result.entries:
            # Nothing found: what the same tool found before is no longer meant.
            kept = tuple(r for r in self.results if r.tool != result.tool) if result.listed else self.results
            return replace(self, results=kept)
        results = (result, *self.results)[:_MAX_RESULTS]
        if not result.listed and any(kept.listed for kept in self.results):
            # A booking made from a list does not take the list away: "and the second one?"
            return replace(self, results=_keeping_list(results, self.results))
        return replace(self, results=results, selected=0 if len(result.entries) == 1 else None, offset=0)

    def listing(self) -> Result | None:
        """The newest list, else the newest single object."""
        return next((r for r in self.results if r.listed), self.results[0] if self.results else None)

    def labels(self) -> tuple[str, ...]:
        """What the entries that can be pointed at are called."""
        listing = self.listing()
        return listing.labels if listing else ()

    def label_of(self, slot: Slot, value: Json) -> str:
        """What the entry with this identifier is called, or empty; as it was listed, if it was."""
        results = sorted(self.results, key=lambda result: not result.listed)
        return next((label for result in results if (label := result.label_of(slot, value))), "")

    def pointed(self, slot: Slot, index: int | None = None) -> Json:
        """What the results give to a slot: the entry meant, of the newest result that has such a field."""
        if index is not None:
            listing = self.listing()
            return listing.provides(slot, index) if listing else None
        for result in self.results:
            several = len(result.entries) > 1
            at = self.selected if several else 0
            value = None if at is None else result.provides(slot, at)
            if value is not None or several:
                return value
        return None

    def offers(self, slot: Slot) -> bool:
        """Whether an entry of the newest list can be pointed at for a slot."""
        listing = self.listing()
        return listing is not None and any(listing.provides(slot, n) is not None for n in range(len(listing.entries)))


def _keeping_list(results: tuple[Result, ...], before: tuple[Result, ...]) -> tuple[Result, ...]:
    """The newest results, the newest list among them even if it is older than the limit."""
    newest = next(result for result in before if result.listed)
    return results if newest in results else (*results[:-1], newest)


def referable(domain: Domain, state: State) -> list[str]:
    """The tools that can be used on an entry of the newest list."""
    return [
        tool.name
        for tool in domain.tools.values()
        if any(slot.reference and state.offers(slot) for slot in tool.slots.values())
    ]
