"""What can be counted of a call as it goes on, read off what its clients are shown and told to its observer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from perhop.call.legs import CallerLeg, HopStats
from perhop.call.observer import CallObserver, ErrorSide, ToolRun, Usage
from perhop.call.turns import Turn, TurnWatch
from perhop.realtime.events import ErrorEvent, ResponseContentPartAdded, ServerEvent

if TYPE_CHECKING:
    from perhop.call.call import Call

__all__ = ["CallWatch"]


class CallWatch:
    """Of one call: its turns, its errors, its tools, what it uses, and how good its caller's hop was.

    Args:
        leg: of the caller. A direct call's plays nothing: the model does, and tells when; and what announces a part of
            model audio stands for the audio, which does not pass here.
        clock: s, monotonic.
    """

    def __init__(self, call: Call, observer: CallObserver, leg: CallerLeg, *, clock: Callable[[], float]) -> None:
        self._call = call
        self._observer = observer
        self._clock = clock
        self._heard_here = leg.transport != "direct"
        self._turns = TurnWatch(clocked=leg.clocked or not self._heard_here)
        self._leg = leg
        self._earlier = HopStats()

    @property
    def turns(self) -> int:
        """That began so far."""
        return self._turns.count

    @property
    def hop(self) -> HopStats:
        """Of the caller's leg now; what is counted goes on from leg to leg."""
        return self._leg.stats().after(self._earlier)

    def leg_changed(self, leg: CallerLeg) -> None:
        """The caller is on another leg, which may play in another way."""
        self._earlier = self.hop
        self._leg = leg
        self._turns.clocked = leg.clocked

    def shown(self, event: ServerEvent, side: ErrorSide) -> None:
        """Clients are about to be told this; an error is the fault of ``side``."""
        if isinstance(event, ErrorEvent):
            self._observer.error(self._call, event.error.code or "", side)
            return
        self._turn_over(self._turns.observe(event, self._clock()))
        if not self._heard_here and isinstance(event, ResponseContentPartAdded) and event.part.type == "audio":
            self.audio()

    def audio(self) -> None:
        """A piece of model audio went to the caller."""
        if self._turns.wants_audio:
            self._turns.audio(self._clock())

    def refused(self, code: str) -> None:
        """A client was answered with this error, for a mistake of its own."""
        self._observer.error(self._call, code, "client")

    def tool_ran(self, run: ToolRun) -> None:
        """A tool of the agent was run."""
        self._observer.tool_ran(self._call, run)

    def used(self, usage: Usage) -> None:
        """A response told what it used."""
        self._observer.used(self._call, usage)

    def end(self) -> None:
        """The call is over."""
        self._turn_over(self._turns.end(self._clock()))

    def _turn_over(self, turn: Turn | None) -> None:
        if turn is None:
            return
        if turn.first_audio_s is not None:
            self._observer.first_audio(self._call, turn.first_audio_s)
        self._observer.turn_ended(self._call, turn)
