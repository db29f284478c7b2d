"""Audio of a WebSocket session in the formats that are in force, as its own events announce them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from perhop.media.transcode import PCM, FromWire, ToWire, format_kind, session_formats, wire_bytes_per_ms
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import (
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from perhop.realtime.session_fields import AudioFormatType

__all__ = ["SessionAudio"]

_ITEMS_KEPT = 64
"""Items being converted at once; far more than responses may be live."""

_SLICE_MS = 1_000
"""Of a large append converted at a time."""


class SessionAudio:
    """Converts between 24 kHz PCM and what the client speaks and hears.

    The caller's format is the session's. The model's is settled for each response when that is created, so a later
    change of the session does not cut through one; see ``response.created``.
    """

    __slots__ = ("_hearing", "_input", "_items", "_output", "_responses")

    def __init__(self) -> None:
        self._input: AudioFormatType = PCM
        self._output: AudioFormatType = PCM
        self._hearing = FromWire(PCM)
        self._responses: dict[str, AudioFormatType] = {}
        self._items: OrderedDict[str, tuple[AudioFormatType, ToWire]] = OrderedDict()

    @property
    def growth(self) -> int:
        """Bytes of PCM that a byte of the caller's audio becomes."""
        return self._hearing.growth

    def hear(self, audio: bytes) -> Iterator[bytes]:
        """The caller's audio as PCM, in pieces of at most a second."""
        step = _SLICE_MS * wire_bytes_per_ms(self._input)
        if len(audio) <= step or self._input == PCM:
            yield self._hearing.push(audio)
            return
        for start in range(0, len(audio), step):
            yield self._hearing.push(audio[start : start + step])

    def restart(self) -> None:
        """The caller's audio begins anew: the buffer was cleared or committed."""
        self._hearing.reset()

    def bytes_per_ms(self, response_id: str) -> int:
        """Bytes of one millisecond of this response's audio, as the client gets it."""
        return wire_bytes_per_ms(self._format_of(response_id))

    def say(self, chunk: AudioChunk) -> AudioChunk:
        """Model audio as the client gets it; the first piece of an item may become an empty one."""
        kind = self._format_of(chunk.response_id)
        if kind == PCM:
            return chunk
        known, stream = self._items.get(chunk.item_id, (PCM, None))
        if stream is None or known != kind:
            stream = ToWire(kind)
            self._items[chunk.item_id] = kind, stream
            if len(self._items) > _ITEMS_KEPT:
                self._items.popitem(last=False)
        audio = stream.push(chunk.audio)
        return AudioChunk(chunk.response_id, chunk.item_id, chunk.output_index, chunk.content_index, audio)

    def observe(self, event: ServerEvent) -> AudioChunk | None:
        """Takes in an event that is about to be sent to the client.

        Returns:
            The last audio of an item that this event closes, to be sent before it; in G.711.
        """
        match event:
            case SessionCreated() | SessionUpdated():
                self._configure(event.session)
            case ResponseCreated():
                sound = event.response.audio.output if event.response.audio else None
                kind = format_kind(sound.format) if sound else None
                self._responses[event.response.id or ""] = kind or self._output
            case ResponseOutputAudioDone() if event.item_id in self._items:
                _, stream = self._items.pop(event.item_id)
                rest = stream.flush()
                if rest:
                    return AudioChunk(event.response_id, event.item_id, event.output_index, event.content_index, rest)
            case ResponseDone():
                self._responses.pop(event.response.id or "", None)
            case _:
                pass
        return None

    def _format_of(self, response_id: str) -> AudioFormatType:
        return self._responses.get(response_id, self._output)

    def _configure(self, session: Mapping[str, Any]) -> None:
        heard, said = session_formats(session)
        if heard is not None and heard != self._input:
            self._input, self._hearing = heard, FromWire(heard)
        self._output = said or self._output
