"""What is recorded of an effect, and a ledger for processes without a database."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from perhop.errors import PerhopError
from perhop.tools.base import ToolContext

__all__ = ["EffectLedger", "EffectRecord", "EffectState", "EffectsDownError", "MemoryLedger"]


class EffectsDownError(PerhopError):
    """The record could not be made, so the effect must not be sent."""


class EffectState(StrEnum):
    """How far an effect got."""

    PENDING = "pending"
    """Recorded; it may have been sent."""

    DONE = "done"
    """The tool answered with a result."""

    REFUSED = "refused"
    """Certainly nothing happened: the tool said so, or was never reached."""

    UNKNOWN = "unknown"
    """Sent, and nobody can find out whether it happened; it is reported and never sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRecord:
    """One effect, as it is recorded before it is sent.

    Attributes:
        context: whose effect; its ``idempotency_key`` is the key of the record.
        tool: name of the tool.
        deadline: Unix time, s; when it is past, whoever sent it is not waiting any more.
        arguments: JSON text, kept until the outcome is known, and only for tools that can be asked once more with the
            same key; None for others.
    """

    context: ToolContext
    tool: str
    deadline: float
    arguments: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """What makes it this effect and no other."""
        return self.context.idempotency_key


class EffectLedger(Protocol):
    """Keeps records of effects."""

    async def begin(self, record: EffectRecord) -> EffectState | None:
        """Records an effect; when this returns None the record is safe and new, and the effect may be sent.

        Returns:
            The state of an earlier record of the same key; then nothing was changed.

        Raises:
            EffectsDownError: it could not be recorded.
        """

    def end(self, key: str, state: EffectState, code: str | None = None) -> None:
        """Notes an outcome; returns at once, it is written soon.

        Args:
            code: of the error, if there was one.
        """


class MemoryLedger:
    """A ledger that is lost with its process; the oldest records are forgotten first.

    Args:
        capacity: records kept.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._states: OrderedDict[str, EffectState] = OrderedDict()

    async def begin(self, record: EffectRecord) -> EffectState | None:
        known = self._states.get(record.key)
        if known is None:
            self._states[record.key] = EffectState.PENDING
            while len(self._states) > self._capacity:
                self._states.popitem(last=False)
        return known

    def end(self, key: str, state: EffectState, code: str | None = None) -> None:  # noqa: ARG002 - nobody asks for it
        if key in self._states:
            self._states[key] = state
