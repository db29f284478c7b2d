"""What every further model session has to be told: the configuration in force, the conversation, and what is unsettled.

Kept from what the sessions say, in the order they say it. No I/O, and time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perhop.call.history import History
from perhop.call.line.answers import answer_to
from perhop.call.line.epoch import Epoch
from perhop.call.line.journal import ANSWERED, MAX_EVENTS, Journal
from perhop.call.line.policy import LinePolicy
from perhop.call.line.rebuild import carried
from perhop.call.line.room import Room
from perhop.call.line.session_state import SessionState
from perhop.call.line.turn_audio import TurnAudio
from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ServerEvent,
    SessionUpdated,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import Item
from perhop.realtime.session import SessionConfig

__all__ = ["SPEECH_AGAIN_S", "Books"]

SPEECH_AGAIN_S = 2.0
"""How long a new session gets to find the speech it was told again; then nobody counts as speaking."""


class Books:
    """Of one call.

    Args:
        keep: False for a model whose session cannot be lost.
        policy: limits.

    Attributes:
        journal: what was told and is not settled.
        state: the configuration in force; from :meth:`open` on.
        speech_again_until: until when speech that was told to a new session again must be found in it, monotonic s.
    """

    state: SessionState

    def __init__(self, policy: LinePolicy, new_id: IdFactory, *, keep: bool) -> None:
        self.journal = Journal(keep=keep, tail_s=policy.tail_s, max_s=policy.gap_audio_s)
        self.speech_again_until: float | None = None
        self._turn_audio = TurnAudio()
        self._room = Room(MAX_EVENTS)
        self._policy = policy
        self._new_id = new_id

    def open(self, session: SessionConfig) -> None:
        """The first session is to have this configuration."""
        self.state = SessionState(session)

    def conversation(self, history: History) -> list[Item]:
        """The call's conversation as a session is told it."""
        return carried(history, budget=self._policy.history_tokens, audio=self._turn_audio.turns)

    def observe(self, event: ServerEvent, epoch: Epoch) -> ServerEvent | None:
        """Takes in an event of the session in force.

        Returns:
            The event as the call is to see it; None when the call knows of it already.
        """
        answered = self._settle(event, epoch)
        if isinstance(event, SessionUpdated):
            event = self.state.updated(event, answered)
            self.detection_changed(epoch)
        return None if self._is_speech_again(event) else epoch.on_call_time(event)

    def detection_changed(self, epoch: Epoch) -> None:
        """Turn detection may be another one now."""
        self.journal.manual(self.state.manual)
        epoch.activity.automatic = self.state.automatic
        epoch.activity.transcribing = self.state.transcribing

    def admit(self, event: ClientEvent) -> None:
        """Finds room for what a client says while there is no session.

        Raises:
            ProtocolError: there is none.
        """
        if isinstance(event, ANSWERED):
            self._room.take(event)

    def answer(self, event: ClientEvent, epoch: Epoch | None, history: History) -> list[ServerEvent] | None:
        """What to tell clients because of this event; None when it is a session's to answer.

        Args:
            epoch: the session in force, if there is one.
        """
        if epoch is None and self.journal.is_deleting(event):
            return None
        return answer_to(event, epoch, history, self._new_id)

    def unanswered(self, history: History) -> Iterator[ServerEvent]:
        """What the session that is gone has left unanswered and its successor, to which all items are text, cannot."""
        for event in self.journal.events():
            answers = self.answer(event, None, history)
            if answers is not None:
                self.journal.settle(event)
                yield from answers

    def hand_over(self, epoch: Epoch, history: History, now: float, *, moved: bool) -> Mapping[str, Any] | None:
        """Tells a session that comes in force all it has not been told yet.

        Args:
            moved: it is another model's.

        Returns:
            What is in force in it, as clients see it, where it is another model's or was asked to be different.
        """
        different = (moved or self.state.changed) and epoch.config is self.state.config
        shown = self.state.moved(epoch.session) if different else None
        epoch.configure(self.state.config)
        epoch.catch_up(self.conversation(history))
        epoch.offset = self.journal.first_audio
        speech_is_open = self.journal.speech_is_open
        for entry in self.journal.replay():
            if isinstance(entry, tuple):
                epoch.leg.append(entry[1])
            else:
                epoch.send(entry)
        self.journal.gap(False)
        self.detection_changed(epoch)
        if speech_is_open:
            self.speech_again_until = now + SPEECH_AGAIN_S
        return shown

    def gap(self) -> None:
        """There is no session any more."""
        self.speech_again_until = None
        self.journal.gap(True)
        self._room.begin(self.journal.events())

    def speech_missing(self, now: float) -> ServerEvent | None:
        """What to tell the call when speech that was told again was not found in time."""
        if self.speech_again_until is None or now < self.speech_again_until:
            return None
        self.speech_again_until = None
        self.journal.speech_was_none()
        return InputAudioBufferCleared(event_id=self._new_id("event_"))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _settle(self, event: ServerEvent, epoch: Epoch) -> ClientEvent | None:
        """What of the call's words and audio is settled; returns the client event that this one answers."""
        answered = self.journal.observe(event)
        match event:
            case InputAudioBufferSpeechStarted():
                self.journal.speech_started(epoch.offset + event.audio_start_ms * BYTES_PER_MS)
            case InputAudioBufferSpeechStopped():
                self.journal.speech_stopped(epoch.offset + event.audio_end_ms * BYTES_PER_MS)
            case ConversationItemAdded():
                spoken = self.journal.take_spoken()
                if spoken:
                    self._turn_audio.keep(event.item.id or "", spoken)
                elif isinstance(answered, ConversationItemCreate):
                    self._turn_audio.keep_clips(answered.item)
            case _:
                self._turn_audio.observe(event)
        return answered

    def _is_speech_again(self, event: ServerEvent) -> bool:
        """Speech that began in the session before is found again in this one: clients know of it already."""
        if self.speech_again_until is None:
            return False
        if isinstance(event, InputAudioBufferSpeechStarted | InputAudioBufferSpeechStopped):
            self.speech_again_until = None
        return isinstance(event, InputAudioBufferSpeechStarted)
