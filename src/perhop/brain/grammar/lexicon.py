"""Which tool an utterance asks for: by the words of samples, titles and names, weighted by how telling they are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rapidfuzz import fuzz, process

from perhop.brain.grammar.samples import Sample
from perhop.brain.grammar.schema import Tool, stem
from perhop.text.words import split, vocabulary

__all__ = ["Lexicon"]

_FUNCTION_WORDS = frozenset(
    vocabulary(
        "a about am an and any are as at be but by can can't could did do does don't for from get give go got had "
        "has have hello hey hi how i i'd i'll i'm i've if in is it it's its just let let's like may me my need "
        "not of on one ones or our out please so some tell than thank thanks that that's the their them then "
        "there they this to uh um up us want was we we'd we're were what what's when where which who will with "
        "would you you're your yes no okay ok now today also actually really something someone anything maybe "
        "well know here"
    )
)
_TYPO_CUTOFF = 84
_SHORTEST_TYPO = 5


class Lexicon:
    """The vocabulary of a set of tools.

    Args:
        tools: with their samples taken apart.
    """

    def __init__(self, tools: Mapping[str, tuple[Tool, Sequence[Sample]]]) -> None:
        weights: dict[str, dict[str, float]] = defaultdict(dict)
        for name, (tool, samples) in tools.items():
            sources = [
                (0.35, [word.text for word in split(tool.description)]),
                (0.4, [word for slot in tool.slots.values() for word in slot.noun.split()]),
                (1.0, [word for sample in samples for word in sample.words]),
                (1.0, [word.text for text in (tool.title, tool.name.replace("_", " ")) for word in split(text)]),
            ]
            for weight, words in sources:
                for word in words:
                    if self.telling(word):
                        known = weights[stem(word)]
                        known[name] = max(known.get(name, 0.0), weight)
        self._unknown = math.log(1 + len(tools))
        self._weights = {
            word: {name: weight * math.log(1 + len(tools) / len(of)) for name, weight in of.items()}
            for word, of in weights.items()
        }
        self._most = {word: max(of.values()) for word, of in self._weights.items()}
        self._long = [word for word in self._weights if len(word) >= _SHORTEST_TYPO]

    @staticmethod
    def telling(word: str) -> bool:
        """Whether a word says anything about what is wanted."""
        return word not in _FUNCTION_WORDS and word[0].isalpha() and len(word) > 1

    def score(self, words: Sequence[str], consumed: Sequence[bool], tool: str, *, unknown: float = 1.0) -> float:
        """How much of what the words say, slot values aside, speaks for a tool: 0 to 1.

        Args:
            words: lower-case words of the utterance.
            consumed: which of them belong to slot values.
            tool: its name.
            unknown: what words of no tool count against it.
        """
        said = matched = 0.0
        for word, used in zip(words, consumed, strict=True):
            if used or not self.telling(word):
                continue
            known = self._known(stem(word))
            said += self._most[known] if known else self._unknown * unknown
            matched += self._weights[known].get(tool, 0.0) if known else 0.0
        return matched / said if said else 0.0

    def _known(self, word: str) -> str | None:
        if word in self._weights:
            return word
        if len(word) < _SHORTEST_TYPO:
            return None
        close = process.extractOne(word, self._long, scorer=fuzz.ratio, score_cutoff=_TYPO_CUTOFF)
        return close[0] if close else None
