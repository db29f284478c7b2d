"""What the model was told and has not settled yet, in order: audio not committed, events not answered.

When a session is lost or replaced, this is what its successor is told again, after the conversation so far. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from perhop.realtime.audio import BYTES_PER_MS
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ErrorEvent,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    ResponseCreate,
    ResponseCreated,
    ServerEvent,
    SessionUpdate,
    SessionUpdated,
)

__all__ = ["ANSWERED", "MAX_EVENTS", "Journal"]

MAX_EVENTS = 512
"""Unanswered events kept; beyond it the oldest is forgotten."""

ANSWERED = (
    SessionUpdate,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemTruncate,
    ConversationItemRetrieve,
    InputAudioBufferCommit,
    InputAudioBufferClear,
    ResponseCreate,
)
"""Events that a model answers; a further session is told no others."""


class Journal:
    """The open end of what a call says to its model.

    Positions are bytes of caller audio since the call began.

    Args:
        keep: False for a model that cannot be lost; then no audio is kept.
        tail_s: audio kept in which no speech was found yet.
        max_s: audio kept at most; beyond it the oldest is lost.

    Attributes:
        position: where the next caller audio goes.
    """

    def __init__(self, *, keep: bool, tail_s: float, max_s: float) -> None:
        self.position = 0
        self._given_up = 0
        self._keep = keep
        self._tail = int(tail_s * 1000) * BYTES_PER_MS
        self._max = int(max_s * 1000) * BYTES_PER_MS
        self._entries: deque[tuple[int, bytes] | ClientEvent] = deque()
        self._events = 0
        self._held = 0
        self._settled = 0
        self._speech_from: int | None = None
        self._speech_to: int | None = None
        self._committing: str | None = None
        self._manual = False
        self._gap = False
        self._spoken = b""

    # -- what the model is told ---------------------------------------------------------------------------------------

    def heard(self, pcm: bytes) -> None:
        """Caller audio went to the model, or would have."""
        start = self.position
        self.position += len(pcm)
        if not self._keep:
            return
        self._entries.append((start, pcm))
        self._held += len(pcm)
        self._trim()

    def told(self, event: ClientEvent) -> None:
        """An event went to the model, or would have; those that nothing answers are not kept."""
        if not isinstance(event, ANSWERED):
            return
        if isinstance(event, ResponseCreate) and (event.response is None or event.response.conversation != "none"):
            return  # the coordinator keeps those
        self._entries.append(event)
        self._events += 1
        if self._events > MAX_EVENTS and not self._gap:  # in a gap nobody has got it yet, and clients are refused more
            self._remove(next(entry for entry in self._entries if not isinstance(entry, tuple)))

    # -- what the model answers ---------------------------------------------------------------------------------------

    def observe(self, event: ServerEvent) -> ClientEvent | None:
        """Takes in an event of the model that holds the conversation.

        Returns:
            The event of ours that is settled by it.
        """
        match event:
            case SessionUpdated():
                return self._settle(SessionUpdate)
            case ConversationItemAdded():
                if event.item.id is not None and event.item.id == self._committing:
                    return self._committed_as_item()
                return self._settle(ConversationItemCreate, event.item.id)
            case ConversationItemDeleted():
                return self._settle(ConversationItemDelete, event.item_id)
            case ConversationItemTruncated():
                return self._settle(ConversationItemTruncate, event.item_id)
            case ConversationItemRetrieved():
                return self._settle(ConversationItemRetrieve, event.item.id)
            case ResponseCreated() if event.response.conversation_id is None:
                return self._settle(ResponseCreate)
            case InputAudioBufferCommitted():
                # Not settled before the conversation has the item: lost in between, the audio would be in neither.
                self._committing = event.item_id
                return None
            case InputAudioBufferCleared():
                self._speech_from = self._speech_to = None
                return self._settle_by_hand(InputAudioBufferClear)
            case ErrorEvent() if event.error.event_id is not None:
                return self._refused(event.error.event_id)
            case _:
                return None

    def settle(self, event: ClientEvent) -> None:
        """This one was answered otherwise."""
        self._remove(event)

    def is_deleting(self, event: ClientEvent) -> bool:
        """Whether the item that an event is about is to be deleted."""
        item_id = _item_id(event)
        return item_id is not None and any(
            isinstance(entry, ConversationItemDelete) and entry.item_id == item_id for entry in self._entries
        )

    def speech_started(self, position: int) -> None:
        """Speech was found, beginning here: from here on everything is kept."""
        self._speech_from = max(position, self._settled)
        self._speech_to = None

    def speech_stopped(self, position: int) -> None:
        """Speech ended here; it is kept until the conversation has it."""
        self._speech_to = position

    def speech_was_none(self) -> None:
        """What was found to be speech is not found again: nobody will tell its end."""
        self._speech_from = self._speech_to = None

    def take_spoken(self) -> bytes:
        """The audio that became an item with the last event, once."""
        spoken, self._spoken = self._spoken, b""
        return spoken

    def manual(self, manual: bool) -> None:
        """Whether the clients commit by hand; then nothing settles by itself."""
        self._manual = manual

    def gap(self, gap: bool) -> None:
        """Whether there is no session that hears the caller; then everything is kept."""
        self._gap = gap

    # -- what a successor is told -------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether events wait for their answer, or audio for its commit."""
        return self._events > 0 or self.speech_is_open or (self._manual and self._held > 0)

    @property
    def speech_is_open(self) -> bool:
        """Whether speech was found that the conversation does not have yet."""
        return self._speech_from is not None

    @property
    def first_audio(self) -> int:
        """Position of the first audio that is kept."""
        return next((entry[0] for entry in self._entries if isinstance(entry, tuple)), self.position)

    def take_lost_ms(self) -> int:
        """How much did not fit that a successor would have to hear, ms; once."""
        lost, self._given_up = self._given_up // BYTES_PER_MS, 0
        return lost

    def replay(self) -> Iterator[tuple[int, bytes] | ClientEvent]:
        """All of it in order: audio with its position, events as they were."""
        return iter(list(self._entries))

    def events(self) -> list[ClientEvent]:
        """Those that wait for their answer, in order."""
        return [entry for entry in self._entries if not isinstance(entry, tuple)]

    def clear_audio(self) -> None:
        """The caller is away; what was said before is over, but for turns that the caller ended by hand."""
        entries = list(self._entries)
        commits = [index for index, entry in enumerate(entries) if isinstance(entry, InputAudioBufferCommit)]
        if commits and self._manual:
            ended = commits[-1] + 1
            self._entries = deque(
                entry for index, entry in enumerate(entries) if index < ended or not isinstance(entry, tuple)
            )
            self._held = sum(len(entry[1]) for entry in self._entries if isinstance(entry, tuple))
        else:
            self._settle_before(self.position)
        self._speech_from = self._speech_to = None

    # -- inside -------------------------------------------------------------------------------------------------------

    def _trim(self) -> None:
        """Forgets audio in which nothing will be found any more, and what is beyond the limit."""
        if self._gap or self._manual:
            keep_from = self._settled
        elif self._speech_from is not None:
            keep_from = self._speech_from
        else:
            keep_from = max(self._settled, self.position - self._tail)
        self._drop_before(keep_from)
        if self._held > self._max:
            self._given_up += self._held - self._max
            self._drop_before(self.position - self._max)

    def _drop_before(self, position: int) -> None:
        entries = self._entries
        while entries:
            first = entries[0]
            if not isinstance(first, tuple):
                self._drop_audio_behind_events(position)
                return
            start, pcm = first
            if start + len(pcm) > position:
                if start < position:
                    entries[0] = (position, pcm[position - start :])
                    self._held -= position - start
                return
            entries.popleft()
            self._held -= len(pcm)

    def _drop_audio_behind_events(self, position: int) -> None:
        """The same with unanswered events in front, which stay."""
        kept: deque[tuple[int, bytes] | ClientEvent] = deque()
        for entry in self._entries:
            if not isinstance(entry, tuple) or entry[0] >= position:
                kept.append(entry)
                continue
            start, pcm = entry
            self._held -= min(len(pcm), position - start)
            if start + len(pcm) > position:
                kept.append((position, pcm[position - start :]))
        self._entries = kept

    def _settle_before(self, position: int) -> None:
        self._given_up = 0  # the oldest is given up, so that is what was settled first
        self._settled = max(self._settled, position)
        self._drop_before(self._settled)

    def _between(self, start: int, end: int) -> bytes:
        pieces = []
        for entry in self._entries:
            if isinstance(entry, tuple) and entry[0] < end and entry[0] + len(entry[1]) > start:
                first, pcm = entry
                pieces.append(pcm[max(0, start - first) : end - first])
        return b"".join(pieces)

    def _settle(self, kind: type[ClientEvent], item_id: str | None = None) -> ClientEvent | None:
        for entry in self._entries:
            if isinstance(entry, kind) and (item_id is None or _item_id(entry) == item_id):
                self._remove(entry)
                return entry
        return None

    def _committed_as_item(self) -> ClientEvent | None:
        """What was committed is in the conversation: by hand everything before the commit, by itself the speech."""
        self._committing = None
        if any(isinstance(entry, InputAudioBufferCommit) for entry in self._entries):
            return self._settle_by_hand(InputAudioBufferCommit)
        if self._speech_from is not None:
            end = self._speech_to if self._speech_to is not None else self.position
            self._spoken = self._between(self._speech_from, end)
            self._speech_from = self._speech_to = None
            self._settle_before(end)
        return None

    def _settle_by_hand(self, kind: type[ClientEvent]) -> ClientEvent | None:
        """A commit or clear settles the audio in front of it."""
        before = self._settled
        for entry in self._entries:
            if isinstance(entry, tuple):
                before = entry[0] + len(entry[1])
            elif isinstance(entry, kind):
                if kind is InputAudioBufferCommit:
                    self._spoken = self._between(self._settled, before)
                self._remove(entry)
                self._speech_from = self._speech_to = None
                self._settle_before(before)
                return entry
        return None

    def _refused(self, event_id: str) -> ClientEvent | None:
        for entry in self._entries:
            if not isinstance(entry, tuple) and entry.event_id == event_id:
                self._remove(entry)
                return entry
        return None

    def _remove(self, event: ClientEvent) -> None:
        for index, entry in enumerate(self._entries):
            if entry is event:
                del self._entries[index]
                self._events -= 1
                return


def _item_id(event: ClientEvent) -> str | None:
    if isinstance(event, ConversationItemCreate):
        return event.item.id
    if isinstance(event, ConversationItemDelete | ConversationItemTruncate | ConversationItemRetrieve):
        return event.item_id
    return None
