"""What the parts of a :class:`~perhop.realtime.server.RealtimeServer` share: configuration, conversation, output."""

from __future__ import annotations

from dataclasses import dataclass, field

from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.conversation import Conversation, Entry
from perhop.realtime.effects import Effect
from perhop.realtime.events import ConversationItemAdded, ConversationItemDeleted, ConversationItemDone, ServerEvent
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import Item
from perhop.realtime.rates import RateLimits
from perhop.realtime.session import SessionConfig

__all__ = ["Core", "Output", "ServerLimits"]

Output = ServerEvent | AudioChunk | Effect


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of one session.

    Attributes:
        max_buffer_ms: audio not committed yet; more than a client may append at once as a file.
        min_commit_ms: least audio a client may commit.
        max_item_audio: bytes of audio kept for ``conversation.item.retrieve``, over all items; 87 s.
        max_items: items of the conversation; the oldest fall off beyond it.
        max_content: characters of all items; a client cannot add beyond it.
        max_parallel: out-of-band responses at a time.
        max_input_tokens: what the model takes in at once, instructions and tools included.
        transcript_wait_s: how long a response waits for the words of an utterance before it goes on without them.
        rates: responses and tokens a minute; neither limited nor shown when None.
    """

    max_buffer_ms: int = 400_000
    min_commit_ms: int = 100
    max_item_audio: int = 4 * 1024 * 1024
    max_items: int = 4_096
    max_content: int = 16 * 1024 * 1024
    max_parallel: int = 16
    max_input_tokens: int = 28_672
    transcript_wait_s: float = 15.0
    rates: RateLimits | None = None


@dataclass(slots=True)
class Core:
    """One session's shared state. Outputs collect in ``out`` until the server hands them over.

    Attributes:
        transcoded: audio is 24 kHz PCM here whatever formats the session has, because the host converts at its edge.
        sighted: the model can see images.
    """

    config: SessionConfig
    session_id: str
    expires_at: int
    new_id: IdFactory
    limits: ServerLimits
    conversation: Conversation
    transcoded: bool = False
    sighted: bool = True
    out: list[Output] = field(default_factory=list)

    @property
    def input_bytes_per_ms(self) -> int:
        """Bytes of one millisecond of caller audio."""
        return BYTES_PER_MS if self.transcoded else self.config.audio.input.format.bytes_per_ms

    def event_id(self) -> str:
        """An id for the next server event."""
        return self.new_id("event_")

    def emit(self, output: Output) -> None:
        """Adds one output, in order."""
        self.out.append(output)

    def take(self) -> list[Output]:
        """What collected since the last call."""
        taken, self.out = self.out, []
        return taken

    def add_item(self, entry: Entry, *, position: int | None = None) -> None:
        """Puts an item into the conversation and says so."""
        fallen = self.conversation.add(entry, position=position)
        self.emit(ConversationItemAdded(event_id=self.event_id(), previous_item_id=entry.previous_id, item=entry.item))
        for item_id in fallen:
            self.emit(ConversationItemDeleted(event_id=self.event_id(), item_id=item_id))

    def item_done(self, entry: Entry, item: Item | None = None) -> None:
        """Says that an item reached its final state (``item``, or as it is), unless it has left the conversation."""
        if not entry.removed:
            self.emit(
                ConversationItemDone(
                    event_id=self.event_id(), previous_item_id=entry.previous_id, item=item or entry.item
                )
            )
