"""What others want to know of calls as they go: metrics, traces, webhooks, the store. Names and figures only.

Whoever wants to know derives from :class:`CallObserver` and overrides what it cares about. Everything is a direct call
inside the event loop: it returns at once and raises nothing, and what takes time has a bounded queue of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from perhop.call.turns import Turn

if TYPE_CHECKING:
    from perhop.call.call import Call
    from perhop.call.line import Replacement

__all__ = ["CallObserver", "ErrorSide", "Observers", "ToolRun", "Usage", "report_replacement"]

ErrorSide = Literal["client", "model", "call"]
"""Who is to blame for an ``error`` event: a client's own event, the model, or the call itself (limits, shutdown)."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One run of a tool.

    Attributes:
        name: of the tool, as its agent declares it.
        code: why it failed; None when it did not.
        began_at: s, on the clock of the call, as is ``ended_at``.
    """

    name: str
    ok: bool
    code: str | None
    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What one response used.

    Attributes:
        model: the configured name it is accounted under.
        tokens: by kind: ``input_text``, ``input_audio``, ``cached_text``, ``cached_audio``, ``output_text``,
            ``output_audio``.
        cost: in the currency of the price table; None without a price.
    """

    model: str
    tokens: Mapping[str, int] = field(default_factory=dict)
    cost: float | None = None


class CallObserver:
    """Told of everything that can be counted in calls. This one ignores it all."""

    def call_started(self, call: Call) -> None:
        """A caller is about to be joined to a model."""

    def call_ended(self, call: Call) -> None:
        """The call is over; ``call.ended`` says why."""

    def first_audio(self, call: Call, seconds: float) -> None:
        """End of the caller's speech to the first audio on its way to the caller."""

    def turn_ended(self, call: Call, turn: Turn) -> None:
        """A turn was answered, interrupted or given up."""

    def tool_ran(self, call: Call, run: ToolRun) -> None:
        """A tool of the agent was run."""

    def error(self, call: Call, code: str, side: ErrorSide) -> None:
        """An ``error`` event went to a client."""

    def session_opened(self, call: Call, model: str) -> None:
        """A model session of this call begins; ``model`` is a configured name."""

    def session_closed(self, call: Call, model: str) -> None:
        """A model session of this call is over; once for every ``session_opened``."""

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:
        """A new model session took over from the one before.

        Args:
            forced: the deadline came before a quiet moment did.
            gap_s: silence that the caller could hear because of it.
        """

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:
        """A model session took the place of one that was lost, so long after the loss."""

    def failed_over(self, call: Call, model: str) -> None:
        """Another configured model takes over."""

    def resumed(self, call: Call, *, seconds: float) -> None:
        """A caller who was lost is back, so long after."""

    def audio_lost(self, call: Call, *, seconds: float) -> None:
        """So much of the caller's audio was more than is kept while there is no model session."""

    def used(self, call: Call, usage: Usage) -> None:
        """A response told what it used."""


class Observers(CallObserver):
    """Tells several observers, in this order."""

    def __init__(self, *observers: CallObserver) -> None:
        self._all = observers

    def call_started(self, call: Call) -> None:
        for each in self._all:
            each.call_started(call)

    def call_ended(self, call: Call) -> None:
        for each in self._all:
            each.call_ended(call)

    def first_audio(self, call: Call, seconds: float) -> None:
        for each in self._all:
            each.first_audio(call, seconds)

    def turn_ended(self, call: Call, turn: Turn) -> None:
        for each in self._all:
            each.turn_ended(call, turn)

    def tool_ran(self, call: Call, run: ToolRun) -> None:
        for each in self._all:
            each.tool_ran(call, run)

    def error(self, call: Call, code: str, side: ErrorSide) -> None:
        for each in self._all:
            each.error(call, code, side)

    def session_opened(self, call: Call, model: str) -> None:
        for each in self._all:
            each.session_opened(call, model)

    def session_closed(self, call: Call, model: str) -> None:
        for each in self._all:
            each.session_closed(call, model)

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:
        for each in self._all:
            each.renewed(call, forced=forced, gap_s=gap_s)

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:
        for each in self._all:
            each.reconnected(call, seconds=seconds, attempts=attempts)

    def failed_over(self, call: Call, model: str) -> None:
        for each in self._all:
            each.failed_over(call, model)

    def resumed(self, call: Call, *, seconds: float) -> None:
        for each in self._all:
            each.resumed(call, seconds=seconds)

    def audio_lost(self, call: Call, *, seconds: float) -> None:
        for each in self._all:
            each.audio_lost(call, seconds=seconds)

    def used(self, call: Call, usage: Usage) -> None:
        for each in self._all:
            each.used(call, usage)


def report_replacement(
    observer: CallObserver, call: Call, why: Replacement, *, left: str, lost: bool, gap_s: float
) -> None:
    """Tells an observer that a model session came in force.

    Args:
        left: the model of the one before.
        lost: something was under way in the one before.
        gap_s: how long there was none.
    """
    if why == "start":
        return  # counted when it was asked for
    observer.session_closed(call, left)
    observer.session_opened(call, call.model)
    match why:
        case "renewal":
            observer.renewed(call, forced=lost, gap_s=gap_s)
        case "reconnect":
            observer.reconnected(call, seconds=gap_s, attempts=1)
        case "resume":
            observer.resumed(call, seconds=gap_s)
    if left != call.model:
        observer.failed_over(call, call.model)
