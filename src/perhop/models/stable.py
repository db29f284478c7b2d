"""Words of a recogniser that revises: which of them are certain enough to be shown while the caller still speaks."""

from __future__ import annotations

from collections import deque

__all__ = ["StableWords"]

AGREEING = 4
"""Hypotheses in a row that must have a word in its place."""

TAIL = 2
"""Words at the end that are never certain: what follows decides what they were."""


class StableWords:
    """Turns revised hypotheses into pieces that are only ever added to. One object an utterance."""

    def __init__(self) -> None:
        self._recent: deque[list[str]] = deque(maxlen=AGREEING)
        self._shown: list[str] = []

    def push(self, hypothesis: str) -> str:
        """Takes a whole hypothesis.

        Returns:
            What can be shown now and was not before, a space behind every word; often nothing. Once a hypothesis
            contradicts what was shown, nothing more is: the final words will put it right.
        """
        self._recent.append(hypothesis.split())
        if len(self._recent) < AGREEING:
            return ""
        agreed = 0
        newest = self._recent[-1]
        for words in zip(*self._recent, strict=False):
            if len(set(words)) > 1:
                break
            agreed += 1
        certain = newest[: min(agreed, len(newest) - TAIL)]
        if len(certain) <= len(self._shown) or certain[: len(self._shown)] != self._shown:
            return ""
        fresh = certain[len(self._shown) :]
        self._shown = certain
        return "".join(f"{word} " for word in fresh)
