"""What can be counted of a call as it goes on, read off what its clients are shown and told to its observer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from perhop.call.observer import CallObserver, ErrorSide
from perhop.call.turns import Turn, TurnWatch
from perhop.realtime.events import ErrorEvent, ResponseContentPartAdded, ServerEvent

if TYPE_CHECKING:
    from perhop.call.call import Call

__all__ = ["CallWatch"]


class CallWatch:
    """Of one call: its turns and its errors.

    Args:
        clocked: it is known when a response was played.
        heard_here: model audio passes here; else the part that announces it stands for it.
        clock: s, monotonic.
    """

    def __init__(
        self, call: Call, observer: CallObserver, *, clocked: bool, heard_here: bool, clock: Callable[[], float]
    ) -> None:
        self._call = call
        self._observer = observer
        self._heard_here = heard_here
        self._clock = clock
        self._turns = TurnWatch(clocked=clocked)

    @property
    def turns(self) -> int:
        """That began so far."""
        return self._turns.count

    def leg_changed(self, *, clocked: bool) -> None:
        """The caller is on another leg, which may play in another way."""
        self._turns.clocked = clocked

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

    def end(self) -> None:
        """The call is over."""
        self._turn_over(self._turns.end(self._clock()))

    def _turn_over(self, turn: Turn | None) -> None:
        if turn is None:
            return
        if turn.first_audio_s is not None:
            self._observer.first_audio(self._call, turn.first_audio_s)
        self._observer.turn_ended(self._call, turn)
