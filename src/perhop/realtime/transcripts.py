"""The words of committed audio: who is still waiting for them, and what the client is told."""

from __future__ import annotations

from dataclasses import dataclass

from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.effects import Transcript, TranscriptDelta, TranscriptFailed
from perhop.realtime.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    TranscriptionError,
    UsageDuration,
)

__all__ = ["Transcripts"]


@dataclass(slots=True)
class _Expected:
    entry: Entry
    deadline: float
    shown: bool
    given: str = ""
    """What the client was told in pieces."""


class Transcripts:
    """Every utterance handed to the recogniser, until its words come, fail to come, or are not needed any more.

    The model always gets the words; the client gets events about them only where the session asks for transcription.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._expected: dict[str, _Expected] = {}
        self._drafts: dict[str, str] = {}  # of utterances not committed yet: what the client was told of their words

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._expected

    def expect(self, entry: Entry, now: float, *, shown: bool = True) -> None:
        """The recogniser was asked for this item's words.

        Args:
            shown: tell the client, provided the session has transcription configured.
        """
        wanted = shown and self._core.config.audio.input.transcription is not None
        given = self._drafts.pop(entry.id, "")
        self._expected[entry.id] = _Expected(entry, now + self._core.limits.transcript_wait_s, wanted, given)

    def hear(self, item_id: str) -> None:
        """Speech goes on; words of it that are certain may be shown before it is committed."""
        self._drafts[item_id] = ""

    def drop(self, item_id: str) -> None:
        """The speech was not committed; nothing more is said about it."""
        self._drafts.pop(item_id, None)

    def forget(self, item_id: str) -> None:
        """The item is gone; its words are not needed."""
        self._expected.pop(item_id, None)

    def delta(self, piece: TranscriptDelta) -> None:
        """A further piece of the words."""
        expected = self._expected.get(piece.item_id)
        if expected is not None:
            self._add(expected, piece.text)
        elif piece.item_id in self._drafts and self._core.config.audio.input.transcription is not None:
            self._drafts[piece.item_id] += piece.text
            self._tell(piece.item_id, 0, piece.text)

    def _add(self, expected: _Expected, words: str) -> None:
        if expected.shown and words:
            expected.given += words
            self._tell(expected.entry.id, expected.entry.audio_index or 0, words)

    def _tell(self, item_id: str, content_index: int, words: str) -> None:
        self._core.emit(
            ConversationItemInputAudioTranscriptionDelta(
                event_id=self._core.event_id(), item_id=item_id, content_index=content_index, delta=words
            )
        )

    def complete(self, transcript: Transcript) -> bool:
        """The final words. What of them no piece had told the client comes as one more piece first: clients that show
        pieces only need no other way, and the pieces of a recogniser that gives none are one.

        Returns:
            Whether anybody was waiting for them.
        """
        expected = self._expected.pop(transcript.item_id, None)
        if expected is None:
            return False
        expected.entry.understood(transcript.text, shown=expected.shown)
        if transcript.text.startswith(expected.given):
            self._add(expected, transcript.text[len(expected.given) :])
        if expected.shown:
            seconds = transcript.seconds or expected.entry.audio_ms / 1000
            self._core.emit(
                ConversationItemInputAudioTranscriptionCompleted(
                    event_id=self._core.event_id(),
                    item_id=transcript.item_id,
                    content_index=expected.entry.audio_index or 0,
                    transcript=transcript.text,
                    usage=UsageDuration(seconds=seconds),
                )
            )
        return True

    def fail(self, failure: TranscriptFailed) -> bool:
        """There will be no words.

        Returns:
            Whether anybody was waiting for them.
        """
        expected = self._expected.pop(failure.item_id, None)
        if expected is None:
            return False
        if expected.shown:
            error = TranscriptionError(type="transcription_error", code=failure.code, message=failure.message)
            self._core.emit(
                ConversationItemInputAudioTranscriptionFailed(
                    event_id=self._core.event_id(),
                    item_id=failure.item_id,
                    content_index=expected.entry.audio_index or 0,
                    error=error,
                )
            )
        return True

    def next_deadline(self) -> float | None:
        """When the longest wait is over."""
        return min((expected.deadline for expected in self._expected.values()), default=None)

    def overdue(self, now: float) -> list[str]:
        """Items whose words have been waited for long enough."""
        return [item_id for item_id, expected in self._expected.items() if expected.deadline <= now]
