"""The caller's audio of turns that have no transcript yet, so that a new session can hear what it cannot read."""

from __future__ import annotations

from collections.abc import Mapping

from perhop.realtime.events import (
    ConversationItemDeleted,
    ConversationItemInputAudioTranscriptionCompleted,
    ServerEvent,
)

__all__ = ["MAX_BYTES", "TurnAudio"]

MAX_BYTES = 60_000 * 48
"""A minute in all; beyond it the oldest turn is forgotten."""


class TurnAudio:
    """Kept audio by item id, 24 kHz mono s16le."""

    def __init__(self) -> None:
        self._turns: dict[str, bytes] = {}
        self._held = 0

    @property
    def turns(self) -> Mapping[str, bytes]:
        """Those without a transcript."""
        return self._turns

    def keep(self, item_id: str, audio: bytes) -> None:
        """This is what the caller said in this turn."""
        self._drop(item_id)
        if not audio or len(audio) > MAX_BYTES:
            return
        self._turns[item_id] = audio
        self._held += len(audio)
        while self._held > MAX_BYTES:
            self._drop(next(iter(self._turns)))

    def observe(self, event: ServerEvent) -> None:
        """Takes in an event: what was written down need not be kept."""
        if isinstance(event, ConversationItemInputAudioTranscriptionCompleted | ConversationItemDeleted):
            self._drop(event.item_id)

    def _drop(self, item_id: str) -> None:
        self._held -= len(self._turns.pop(item_id, b""))
