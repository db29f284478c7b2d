"""The agent's voice on its way to the caller, and what happens to it when the caller talks over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from perhop.call.bargein import truncation
from perhop.call.clients import Clients
from perhop.call.history import History
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemTruncated,
    OutputAudioBufferCleared,
    ResponseDone,
    ServerEvent,
)
from perhop.realtime.ids import IdFactory

__all__ = ["PLAYER_LAG_S", "AgentVoice", "Voice"]

PLAYER_LAG_S = 0.3
"""How far behind a client with a player of its own may be when nothing is missing: it buffers before it begins."""


class Voice(Protocol):
    """What the agent says in one call, wherever it is played."""

    @property
    def playing(self) -> bool:
        """Whether the caller still has something to hear, as far as that is known."""

    @property
    def clocked(self) -> bool:
        """Whether it is known when a response was played."""

    @property
    def interruptions(self) -> int:
        """So far."""

    def play(self, chunk: AudioChunk) -> bool:
        """Hands audio to the caller; returns whether it is still wanted."""

    def observe(self, event: ServerEvent) -> str | None:
        """Takes in an event of the model; returns the response that was played to its end with it."""

    def interrupt(self, live_response_id: str | None) -> bool:
        """Silences the agent at once, and has the model forget what was not heard.

        Args:
            live_response_id: audio of it may still be on its way; it will not be played.

        Returns:
            Whether that is done here. Else it is the client's or the model's own business.
        """

    def received_ms(self, response: ResponseDone) -> int:
        """Audio of this response as it came from the model."""


class AgentVoice:
    """The :class:`Voice` of a call whose audio passes here; the caller's leg plays it, or the caller's client does.

    Args:
        clients: the caller among them.
        history: counts it.
        to_model: tells the model what it must forget.
        tell: tells clients what was cut off, before the model is told.
    """

    def __init__(
        self,
        clients: Clients,
        history: History,
        *,
        to_model: Callable[[ClientEvent], None],
        tell: Callable[[ServerEvent], None],
        new_id: IdFactory,
    ) -> None:
        self.interruptions = 0
        self._clients = clients
        self._history = history
        self._to_model = to_model
        self._tell = tell
        self._new_id = new_id
        self._silenced: set[str] = set()

    @property
    def playing(self) -> bool:
        """Whether the leg has something left to play; of one that does not play by itself nobody knows."""
        return self.clocked and bool(self._history.unplayed())

    @property
    def clocked(self) -> bool:
        """Whether the leg plays by itself."""
        return self._clients.leg.clocked

    def play(self, chunk: AudioChunk) -> bool:
        """Hands audio to the caller and to whoever listens in; returns whether it is still wanted."""
        if self._silenced and chunk.response_id in self._silenced:
            return False
        self._history.add_audio(chunk)
        self._clients.hear(chunk)
        return True

    def observe(self, event: ServerEvent) -> None:
        """Takes in an event of the model. What was played, the leg reports."""
        match event:
            case ResponseDone():
                response_id = event.response.id or ""
                if response_id in self._silenced:
                    self._silenced.discard(response_id)
                elif self.clocked:
                    self._clients.end_audio(response_id)
            case ConversationItemTruncated() if not self.clocked:
                self._clients.leg.stopped(event.item_id, event.audio_end_ms)
            case _:
                pass

    def interrupt(self, live_response_id: str | None) -> bool:
        """Silences the leg, if it is one that plays; a client that plays by itself stops by itself."""
        leg = self._clients.leg
        if not leg.clocked:
            leg.stopped()
            return False
        audible = leg.clear()
        if audible is not None:
            self.interruptions += 1
            self._tell(OutputAudioBufferCleared(event_id=self._new_id("event_"), response_id=audible))
        for entry in self._history.unplayed():
            position = leg.position(entry.item_id)
            cut = truncation(entry.item_id, entry.content_index, position=position, received_ms=entry.received_ms)
            if cut is not None:
                self._to_model(cut)
            self._history.played_out(entry.response_id)
            if entry.response_id == live_response_id:
                self._silenced.add(entry.response_id)
        return True

    def received_ms(self, response: ResponseDone) -> int:
        """Counted as it passed."""
        return sum(self._history.received_ms(item.id) for item in response.response.output or () if item.id)
