"""When the turns of a call began and ended, read off its events.

Pure: no I/O; time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perhop.realtime.events import (
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)
from perhop.realtime.items import FunctionCallItem

__all__ = ["Turn", "TurnOutcome", "TurnWatch"]

TurnOutcome = Literal["completed", "cancelled", "failed", "incomplete", "interrupted", "unanswered"]
"""The status of the last response; or the caller spoke into the answer, or before there was one."""

_STATUSES: dict[str | None, TurnOutcome] = {"cancelled": "cancelled", "failed": "failed", "incomplete": "incomplete"}


@dataclass(slots=True)
class Turn:
    """One caller utterance and the response to it. Times are in s, on the clock of the call.

    Attributes:
        number: from 1.
        spoken: whether the caller spoke; else the response was asked for, as for a greeting or a text.
        began_at: the caller began to speak, or the response began.
        heard_at: the caller's speech ended.
        audible_at: the first audio of an answer left for the caller.
        ended_at: the answer was played, or given to a caller who plays it by itself.
        responses: that the model began.
        function_calls: of these responses.
    """

    number: int
    spoken: bool
    began_at: float
    heard_at: float | None = None
    audible_at: float | None = None
    ended_at: float | None = None
    responses: int = 0
    function_calls: int = 0
    outcome: TurnOutcome = "unanswered"

    @property
    def first_audio_s(self) -> float | None:
        """End of the caller's speech to the first audio of the answer."""
        if self.heard_at is None or self.audible_at is None:
            return None
        return self.audible_at - self.heard_at


class TurnWatch:
    """Follows the events that clients are shown.

    Args:
        clocked: the caller leg plays in real time and says when it is done; then a turn ends with its playout.

    Attributes:
        clocked: may change when the caller comes back over another leg.
    """

    def __init__(self, *, clocked: bool) -> None:
        self.count = 0
        self.clocked = clocked
        self._turn: Turn | None = None
        self._live: str | None = None
        self._playing: str | None = None
        self._is_answered = False
        self._has_audio = False
        self._was_played = False

    @property
    def wants_audio(self) -> bool:
        """Whether :meth:`audio` would note something; asked for every piece of model audio, so it is cheap."""
        return self._live is not None and not self._has_audio

    def audio(self, now: float) -> None:
        """The caller leg was given audio of the live response: a clocked one will say when it plays it."""
        self._has_audio = True
        if self._turn is not None and self._turn.audible_at is None and not self.clocked:
            self._turn.audible_at = now

    def observe(self, event: ServerEvent, now: float) -> Turn | None:
        """Takes in one event; returns the turn that ended with it, if any."""
        match event:
            case InputAudioBufferSpeechStarted():
                return self._speech_started(now)
            case InputAudioBufferSpeechStopped() | InputAudioBufferCommitted():
                return self._speech_stopped(now)
            case ResponseCreated():
                self._created(event.response.id, now)
            case ResponseDone() if event.response.id == self._live and self._turn is not None:
                return self._done(self._turn, event, now)
            case OutputAudioBufferStarted():
                if self._turn is not None and event.response_id == self._live:
                    self._playing = event.response_id
                    if self._turn.audible_at is None:
                        self._turn.audible_at = now
            case OutputAudioBufferStopped() | OutputAudioBufferCleared():
                return self._silent(event, now)
            case _:
                pass
        return None

    def end(self, now: float) -> Turn | None:
        """The call is over; returns the turn that was open."""
        return self._end(now)

    def _speech_started(self, now: float) -> Turn | None:
        ended = None
        if self._turn is not None and self._turn.responses:
            ended = self._end(now, "interrupted")
        if self._turn is None:
            self._begin(now, spoken=True)
        elif not self._turn.responses:
            self._turn.heard_at = None  # the caller goes on after a pause
        return ended

    def _speech_stopped(self, now: float) -> Turn | None:
        ended = None
        if self._turn is not None and self._turn.responses:
            # A turn committed by hand into an answer that is still going on.
            ended = self._end(now, "interrupted")
        if self._turn is None:
            self._begin(now, spoken=True)
        if self._turn is not None and self._turn.heard_at is None:
            self._turn.heard_at = now
        return ended

    def _created(self, response_id: str | None, now: float) -> None:
        if self._turn is None:
            self._begin(now, spoken=False)
        if self._turn is not None:
            self._turn.responses += 1
        self._live = response_id
        self._is_answered = self._has_audio = self._was_played = False

    def _done(self, turn: Turn, event: ResponseDone, now: float) -> Turn | None:
        calls = sum(isinstance(item, FunctionCallItem) for item in event.response.output or ())
        turn.function_calls += calls
        turn.outcome = _STATUSES.get(event.response.status, "completed")
        if calls and turn.outcome == "completed":
            self._live = None
            return None  # the answer follows the tools
        self._is_answered = True
        if self.clocked and self._has_audio and not self._was_played:
            return None
        return self._end(now)

    def _silent(self, event: OutputAudioBufferStopped | OutputAudioBufferCleared, now: float) -> Turn | None:
        if event.response_id != self._playing:
            return None
        self._playing = None
        self._was_played = True
        if isinstance(event, OutputAudioBufferCleared) and self._turn is not None:
            self._turn.outcome = "interrupted"
        return self._end(now) if self._is_answered else None

    def _begin(self, now: float, *, spoken: bool) -> None:
        self.count += 1
        self._turn = Turn(self.count, spoken, now)
        self._live = self._playing = None
        self._is_answered = self._has_audio = self._was_played = False

    def _end(self, now: float, outcome: TurnOutcome | None = None) -> Turn | None:
        turn, self._turn = self._turn, None
        self._live = self._playing = None
        self._is_answered = self._has_audio = self._was_played = False
        if turn is not None:
            turn.ended_at = now
            turn.outcome = outcome or turn.outcome
        return turn
