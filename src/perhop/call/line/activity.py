"""Whether a model session can be left: nobody speaks, nothing is being answered, nothing is owed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from perhop.realtime.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieved,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)

__all__ = ["ANSWER_DUE_S", "Activity"]

ANSWER_DUE_S = 2.0
"""How long a session gets to answer a spoken turn before it counts as one that will not."""


@dataclass(slots=True)
class Activity:
    """What is under way in one model session.

    Args:
        transcript_wait_s: how long a transcript is waited for.

    Attributes:
        automatic: turn detection creates responses.
        transcribing: transcripts of the caller's turns can be expected.
        speaking: the caller is, as far as the model has told.
        responses: ids of live responses.
    """

    transcript_wait_s: float
    automatic: bool = True
    transcribing: bool = False
    speaking: bool = False
    responses: set[str] = field(default_factory=set)
    _answer_due: float | None = None
    _transcripts: dict[str, float] = field(default_factory=dict)

    def observe(self, event: ServerEvent, now: float) -> None:
        """Takes in an event of the session."""
        match event:
            case InputAudioBufferSpeechStarted():
                self.speaking = True
                self._answer_due = None
            case InputAudioBufferSpeechStopped():
                self.speaking = False
                self._answer_due = now + ANSWER_DUE_S
            case InputAudioBufferCommitted():
                self.speaking = False
                self._answer_due = now + ANSWER_DUE_S if self.automatic else None
                if self.transcribing:
                    self._transcripts[event.item_id] = now + self.transcript_wait_s
            case InputAudioBufferCleared():
                self.speaking = False
                self._answer_due = None
            case ConversationItemInputAudioTranscriptionCompleted() | ConversationItemInputAudioTranscriptionFailed():
                self._transcripts.pop(event.item_id, None)
            case ConversationItemRetrieved() if event.item.id is not None:
                self._transcripts.pop(event.item.id, None)
            case ResponseCreated():
                self._answer_due = None
                self.responses.add(event.response.id or "")
            case ResponseDone():
                self.responses.discard(event.response.id or "")
            case _:
                pass

    def quiet(self, now: float) -> bool:
        """Whether nothing is under way."""
        if self.speaking or self.responses:
            return False
        if self._answer_due is not None and now < self._answer_due:
            return False
        return all(now >= until for until in self._transcripts.values())
