"""The caller's audio of turns that have no transcript yet, so that a new session can hear what it cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ConversationItemDeleted,
    ConversationItemInputAudioTranscriptionCompleted,
    ServerEvent,
    decode_audio,
)
from perhop.realtime.items import Item, MessageItem

__all__ = ["MAX_BYTES", "TurnAudio"]

MAX_BYTES = 60_000 * 48
"""A minute in all; beyond it the oldest turn is forgotten."""

MAX_ENCODED = (MAX_BYTES + 2) // 3 * 4
"""The same as base64."""


class TurnAudio:
    """Kept audio by item id and content part, 24 kHz mono s16le."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, int], bytes] = {}
        self._held = 0

    @property
    def turns(self) -> Mapping[tuple[str, int], bytes]:
        """Those without a transcript."""
        return self._turns

    def keep(self, item_id: str, audio: bytes, *, part: int = 0) -> None:
        """This is what the caller said in this turn."""
        self._drop(item_id, part)
        if not audio or len(audio) > MAX_BYTES:
            return
        self._turns[item_id, part] = audio
        self._held += len(audio)
        while self._held > MAX_BYTES:
            self._drop(*next(iter(self._turns)))

    def keep_clips(self, item: Item) -> None:
        """A client added this item: its clips are audio that no model says again."""
        if not isinstance(item, MessageItem):
            return
        for index, part in enumerate(item.content):
            if part.type == "input_audio" and part.audio and len(part.audio) <= MAX_ENCODED:
                with suppress(ProtocolError):  # the model has taken it, whatever it is
                    self.keep(item.id or "", decode_audio(part.audio, param="audio"), part=index)

    def observe(self, event: ServerEvent) -> None:
        """Takes in an event: what was written down need not be kept."""
        match event:
            case ConversationItemInputAudioTranscriptionCompleted():
                self._drop(event.item_id, event.content_index)
            case ConversationItemDeleted():
                for item_id, part in [key for key in self._turns if key[0] == event.item_id]:
                    self._drop(item_id, part)
            case _:
                pass

    def _drop(self, item_id: str, part: int) -> None:
        self._held -= len(self._turns.pop((item_id, part), b""))
