"""The same function call twice, and two function calls that mean the same."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from perhop.tools.base import JsonObject, Tool, ToolContext

__all__ = ["Once", "Twins"]

R = TypeVar("R")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Once:
    """What identifies an effect.

    Attributes:
        key: of this one function call.
        meaning: the same for every function call of this call with the same tool and the same arguments.
    """

    key: str
    meaning: str

    @classmethod
    def of(cls, tool: Tool, arguments: JsonObject, context: ToolContext) -> Once:
        """Of a function call with these arguments, as JSON gave them."""
        meant = json.dumps([context.tenant, context.call_id, tool.name, arguments], sort_keys=True)
        return cls(context.idempotency_key, hashlib.sha256(meant.encode(errors="surrogatepass")).hexdigest())


class Twins(Generic[R, A]):
    """What runs (``R``) and was answered (``A``) lately.

    Args:
        capacity: answers remembered; the oldest are forgotten first.
    """

    def __init__(self, capacity: int = 512) -> None:
        self._capacity = capacity
        self._running: dict[str, R] = {}
        self._meant: dict[str, R] = {}
        self._keys: dict[str, list[str]] = {}
        self._answered: OrderedDict[str, A] = OrderedDict()
        self._meanings: dict[str, str] = {}

    def clashes(self, once: Once) -> bool:
        """Whether another function call, one that meant something else, had the same id."""
        return self._meanings.get(once.key, once.meaning) != once.meaning

    def answer(self, once: Once) -> A | None:
        """What the same function call was answered, if that is remembered."""
        return self._answered.get(once.key)

    def running(self, once: Once) -> R | None:
        """The run of the same function call, or of one that means the same and has no answer yet. What asks so gets
        its answer, and will be remembered with it."""
        run = self._running.get(once.key) or self._meant.get(once.meaning)
        if run is not None and once.key not in self._running:
            self._note(once, run)
        return run

    def begin(self, once: Once, run: R) -> None:
        """This one runs now."""
        self._meant[once.meaning] = run
        self._note(once, run)

    def end(self, once: Once, answer: A) -> None:
        """It has its answer, and so have its twins."""
        self._meant.pop(once.meaning, None)
        for key in self._keys.pop(once.meaning, []):
            self._running.pop(key, None)
            self._answered[key] = answer
        while len(self._answered) > self._capacity:
            self._meanings.pop(self._answered.popitem(last=False)[0], None)

    def _note(self, once: Once, run: R) -> None:
        self._running[once.key] = run
        self._meanings[once.key] = once.meaning
        self._keys.setdefault(once.meaning, []).append(once.key)
