"""Audio that travels inside events: in the session's formats for clients, 24 kHz PCM between the legs.

The live audio of a call is converted where it arrives and leaves, at the legs. Clips inside items, and appends that
come as events (over a data channel), are the same for every transport and are converted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pybase64

from perhop.media.transcode import PCM, FromWire, clip_from_wire, clip_to_wire, session_formats, wire_bytes_per_ms
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    APPEND_MAX_BYTES,
    ClientEvent,
    ConversationItemCreate,
    ConversationItemRetrieved,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCreate,
    decode_audio,
)
from perhop.realtime.items import ContentPart, Item, MessageItem
from perhop.realtime.session_fields import AudioFormatType

__all__ = ["CLIPS_MAX_S", "EventAudio", "clips_of"]

CLIPS_MAX_S = 120
"""Audio in the items of one event, where it has to be converted: a second of it takes 0.2 ms, in one go."""

_ItemT = TypeVar("_ItemT", bound=Item)


class EventAudio:
    """Converts for one call, by the session that is in force."""

    def __init__(self) -> None:
        self._heard: AudioFormatType = PCM
        self._said: AudioFormatType = PCM
        self._appended = FromWire(PCM)

    def put_in_force(self, session: Mapping[str, Any]) -> None:
        """Takes the formats of an effective session object; what it does not say stays."""
        heard, said = session_formats(session)
        if heard is not None and heard != self._heard:
            self._heard, self._appended = heard, FromWire(heard)
        self._said = said or self._said

    def appended(self, event: InputAudioBufferAppend) -> bytes:
        """The audio of an append, as PCM.

        Raises:
            ProtocolError: it is not base64, or too much.
        """
        audio = event.decoded()
        most_s = APPEND_MAX_BYTES // wire_bytes_per_ms(PCM) // 1000
        if len(audio) > most_s * 1000 * wire_bytes_per_ms(self._heard):  # as long as it could be in PCM
            raise ProtocolError("invalid_value", f"'audio' holds more than {most_s} s of audio.", "audio")
        return self._appended.push(audio)

    def to_model(self, event: ClientEvent) -> ClientEvent:
        """A client event with PCM in its items; the event itself when there is nothing to do.

        Raises:
            ProtocolError: a clip is not base64, or all of them are too long together.
        """
        if self._heard != PCM:
            self._bound_clips(event)
        match event:
            case InputAudioBufferClear() | InputAudioBufferCommit():
                self._appended.reset()
            case ConversationItemCreate() if self._heard != PCM:
                return event.model_copy(update={"item": self._item_to_model(event.item, at="item")})
            case ResponseCreate() if self._heard != PCM and event.response is not None and event.response.input:
                given = [
                    self._item_to_model(item, at=f"response.input[{index}]")
                    for index, item in enumerate(event.response.input)
                ]
                return event.model_copy(update={"response": event.response.model_copy(update={"input": given})})
            case _:
                pass
        return event

    def to_clients(self, event: ConversationItemRetrieved) -> ConversationItemRetrieved:
        """A retrieved item with its audio in the format of whoever speaks in it."""
        item = event.item
        kind = self._said if isinstance(item, MessageItem) and item.role == "assistant" else self._heard

        def convert(part: ContentPart, _at: str) -> bytes:
            return clip_to_wire(kind, pybase64.b64decode(part.audio or ""))

        return event if kind == PCM else event.model_copy(update={"item": _with_clips(item, convert, at="item")})

    def _item_to_model(self, item: _ItemT, *, at: str) -> _ItemT:
        def convert(part: ContentPart, at: str) -> bytes:
            return clip_from_wire(self._heard, decode_audio(part.audio or "", param=at))

        return _with_clips(item, convert, at=at)

    def _bound_clips(self, event: ClientEvent) -> None:
        left = CLIPS_MAX_S * 1000 * wire_bytes_per_ms(self._heard) * 4 // 3
        for at, encoded in clips_of(event):
            left -= len(encoded)
            if left < 0:
                raise ProtocolError(
                    "invalid_value", f"The audio of one event has more than {CLIPS_MAX_S} s with '{at}'.", at
                )


def clips_of(event: ClientEvent) -> Iterator[tuple[str, str]]:
    """The audio in the items of a client event: where each clip stands, and its base64."""
    items: Sequence[tuple[str, Item]] = ()
    match event:
        case ConversationItemCreate():
            items = [("item", event.item)]
        case ResponseCreate() if event.response is not None:
            items = [(f"response.input[{index}]", item) for index, item in enumerate(event.response.input or ())]
        case _:
            pass
    for at, item in items:
        if isinstance(item, MessageItem):
            for index, part in enumerate(item.content):
                if part.audio is not None:
                    yield f"{at}.content[{index}].audio", part.audio


def _with_clips(item: _ItemT, convert: Callable[[ContentPart, str], bytes], *, at: str) -> _ItemT:
    """The item with every clip replaced by its conversion; the item itself when it has none."""
    if not isinstance(item, MessageItem) or all(part.audio is None for part in item.content):
        return item
    parts = [
        part
        if part.audio is None
        else part.model_copy(
            update={"audio": pybase64.b64encode_as_string(convert(part, f"{at}.content[{index}].audio"))}
        )
        for index, part in enumerate(item.content)
    ]
    return item.model_copy(update={"content": parts})
