"""The agent's voice on its way to the caller, and what happens to it when the caller talks over it."""

from __future__ import annotations

from collections.abc import Callable

from perhop.call.bargein import truncation
from perhop.call.history import History
from perhop.call.legs import CallerLeg
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent

__all__ = ["AgentVoice"]


class AgentVoice:
    """What the agent says in one call.

    Args:
        leg: plays it.
        history: counts it.
        to_model: tells the model what it must forget.

    Attributes:
        leg: another one when the caller comes back.
        interruptions: so far.
    """

    def __init__(self, leg: CallerLeg, history: History, to_model: Callable[[ClientEvent], None]) -> None:
        self.leg = leg
        self.interruptions = 0
        self._history = history
        self._to_model = to_model
        self._silenced: set[str] = set()

    @property
    def playing(self) -> bool:
        """Whether the caller still has something to hear, as far as the leg knows."""
        return self.leg.clocked and bool(self._history.unplayed())

    def play(self, chunk: AudioChunk) -> bool:
        """Hands audio to the caller; returns whether it is still wanted."""
        if self._silenced and chunk.response_id in self._silenced:
            return False
        self._history.add_audio(chunk)
        self.leg.play(chunk)
        return True

    def response_over(self, response_id: str) -> None:
        """No more audio of this response follows."""
        if response_id in self._silenced:
            self._silenced.discard(response_id)
        elif self.leg.clocked:
            self.leg.end_audio(response_id)

    def interrupt(self, live_response_id: str | None, cleared: Callable[[str], None]) -> None:
        """Silences the agent at once, and has the model forget what was not heard.

        Args:
            live_response_id: audio of it may still be on its way; it will not be played.
            cleared: called with the response that was audible, before the model is told.
        """
        audible = self.leg.clear()
        if audible is not None:
            self.interruptions += 1
            cleared(audible)
        for entry in self._history.unplayed():
            position = self.leg.position(entry.item_id)
            cut = truncation(entry.item_id, entry.content_index, position=position, received_ms=entry.received_ms)
            if cut is not None:
                self._to_model(cut)
            self._history.played_out(entry.response_id)
            if entry.response_id == live_response_id:
                self._silenced.add(entry.response_id)
