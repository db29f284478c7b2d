"""The client's commands about items: create, delete, retrieve, truncate."""

from __future__ import annotations

from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.effects import Transcribe
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    decode_audio,
)
from perhop.realtime.items import ContentPart, FunctionCallItem, Item, McpCallItem, MessageItem
from perhop.realtime.transcripts import Transcripts
from perhop.realtime.wire import clipped

__all__ = ["ItemCommands", "entry_of"]


def entry_of(core: Core, item: Item, *, at: str) -> Entry:
    """The entry for an item a client gave: named, in its final state, nulls left out, audio taken out.

    Args:
        at: where the item stands in the event, for the error's ``param``.

    Raises:
        ProtocolError: audio that is not base64, or images for a model that cannot see.
    """
    fields: dict[str, object] = {name: value for name, value in item if value is not None}
    fields["id"] = item.id or core.new_id("item_")
    if "status" in type(item).model_fields:
        fields["status"] = "incomplete" if fields.get("status") == "incomplete" else "completed"
    if isinstance(item, FunctionCallItem):
        fields["call_id"] = item.call_id or core.new_id("call_")
    if isinstance(item, McpCallItem):
        fields["output"] = item.output
    audio = b""
    if isinstance(item, MessageItem):
        _check_sight(core, item, at=at)
        fields["content"] = [_shown(part) for part in item.content]
        audio = b"".join(
            decode_audio(part.audio, param=f"{at}.content[{index}].audio")
            for index, part in enumerate(item.content)
            if part.audio is not None
        )
    shown = type(item).model_validate(fields)
    per_ms = core.input_bytes_per_ms
    return Entry(item=shown, known=shown, audio=audio, bytes_per_ms=per_ms, audio_ms=len(audio) // per_ms)


def _check_sight(core: Core, item: MessageItem, *, at: str) -> None:
    for index, part in enumerate(item.content):
        if part.type == "input_image" and not core.sighted:
            message = "This model cannot see images; describe them in an input_text instead."
            raise ProtocolError("invalid_value", message, f"{at}.content[{index}].type")


def _shown(part: ContentPart) -> ContentPart:
    """A part as events show it: no audio, no nulls but the transcript a caller's audio does not have yet."""
    fields: dict[str, object] = {name: value for name, value in part if value is not None and name != "audio"}
    if part.type == "input_audio":
        fields["transcript"] = part.transcript
    return ContentPart.model_validate(fields)


class ItemCommands:
    """Carries the commands out on the conversation."""

    def __init__(self, core: Core, transcripts: Transcripts) -> None:
        self._core = core
        self._transcripts = transcripts

    def create(self, event: ConversationItemCreate, now: float) -> None:
        """Inserts an item."""
        conversation = self._core.conversation
        if event.item.id in conversation:
            message = f"The conversation has an item '{clipped(event.item.id or '')}' already."
            raise ProtocolError("invalid_value", message, "item.id")
        position = self._position(event.previous_item_id)
        entry = entry_of(self._core, event.item, at="item")
        if conversation.size + entry.size > self._core.limits.max_content:
            raise ProtocolError("invalid_value", "The conversation is full: delete items, or start a new one.", "item")
        clip = entry.audio  # more than is kept can be recognised
        self._core.add_item(entry, position=position)
        self._core.item_done(entry)
        self.transcribe(entry, clip, now)

    def transcribe(self, entry: Entry, clip: bytes, now: float, *, shown: bool = True) -> None:
        """Has the words of a client's audio recognised, unless it gave them."""
        if clip and not entry.known.text():
            self._core.emit(Transcribe(entry.id, clip))
            self._transcripts.expect(entry, now, shown=shown)

    def delete(self, event: ConversationItemDelete) -> None:
        """Removes an item."""
        self._find(event.item_id, "item_delete_invalid_item_id")
        self._core.conversation.remove(event.item_id)
        self._transcripts.forget(event.item_id)
        self._core.emit(ConversationItemDeleted(event_id=self._core.event_id(), item_id=event.item_id))

    def retrieve(self, event: ConversationItemRetrieve) -> None:
        """Shows an item with its audio."""
        entry = self._find(event.item_id, "item_retrieve_invalid_item_id")
        self._core.emit(ConversationItemRetrieved(event_id=self._core.event_id(), item=entry.retrieved()))

    def truncate(self, event: ConversationItemTruncate) -> None:
        """Cuts an assistant's audio to what was heard."""
        entry = self._find(event.item_id, "item_truncate_invalid_item_id")
        item = entry.item
        if not isinstance(item, MessageItem) or item.role != "assistant":
            raise ProtocolError("invalid_value", "Only assistant messages can be truncated.", "item_id")
        if event.content_index >= max(1, len(item.content)):
            message = f"The item has no content part {event.content_index}."
            raise ProtocolError("invalid_value", message, "content_index")
        if event.audio_end_ms > entry.audio_ms:
            message = f"Audio content of {entry.audio_ms} ms is already shorter than {event.audio_end_ms} ms."
            raise ProtocolError("invalid_value", message, "audio_end_ms")
        entry.truncate(event.audio_end_ms)
        self._core.conversation.keep_audio(entry)
        self._core.emit(
            ConversationItemTruncated(
                event_id=self._core.event_id(),
                item_id=event.item_id,
                content_index=event.content_index,
                audio_end_ms=event.audio_end_ms,
            )
        )

    def _find(self, item_id: str, code: str) -> Entry:
        entry = self._core.conversation.get(item_id)
        if entry is None:
            raise ProtocolError(code, f"The conversation has no item '{clipped(item_id)}'.", "item_id")
        return entry

    def _position(self, previous_item_id: str | None) -> int | None:
        if previous_item_id is None:
            return None
        if previous_item_id == "root":
            return 0
        position = self._core.conversation.position_after(previous_item_id)
        if position is None:
            message = f"The conversation has no item '{clipped(previous_item_id)}' to insert after."
            raise ProtocolError("invalid_value", message, "previous_item_id")
        return position
