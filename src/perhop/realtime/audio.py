"""Model audio on the hot path: the one server event that is never built as an object tree."""

from __future__ import annotations

from dataclasses import dataclass

import pybase64

__all__ = ["BYTES_PER_MS", "FRAME_BYTES", "FRAME_MS", "SAMPLE_RATE", "AudioChunk"]

SAMPLE_RATE = 24_000
"""Hz; the model's own rate, mono, signed 16-bit little endian, on every internal hop."""

FRAME_MS = 20
BYTES_PER_MS = SAMPLE_RATE * 2 // 1000
FRAME_BYTES = FRAME_MS * BYTES_PER_MS


@dataclass(slots=True, frozen=True)
class AudioChunk:
    """A stretch of one item's audio: the decoded form of ``response.output_audio.delta``.

    Attributes:
        audio: bytes in the session's output format (24 kHz mono s16le unless G.711 was negotiated).
    """

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    audio: bytes

    def to_json(self, event_id: str) -> bytes:
        """The event as it goes over a WebSocket. Ids are ours or the model's and never need escaping."""
        return (
            b'{"type":"response.output_audio.delta","event_id":"%b","response_id":"%b","item_id":"%b",'
            b'"output_index":%d,"content_index":%d,"delta":"%b"}'
        ) % (
            event_id.encode(),
            self.response_id.encode(),
            self.item_id.encode(),
            self.output_index,
            self.content_index,
            pybase64.b64encode(self.audio),
        )
