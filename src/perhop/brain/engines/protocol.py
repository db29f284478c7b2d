"""What a server and its engine processes say to each other over a socket pair.

A frame is ``length`` (u32, little endian; of what follows), ``kind`` (u8), ``stream`` (u32), payload. The server
numbers its streams from 1 and never uses a number twice in one process; stream 0 is the process itself. Frames of
different streams mix freely, those of one stream keep their order::

    server                                     engine
    OPEN   {request}, JSON                     READY    stream 0, once, when it can work
    DATA   input, e.g. PCM                     TAKEN    u32: so many bytes of input are worked off
    END    no more input                       DATA     output, e.g. PCM
    CANCEL forget it; no answer follows        EVENT    {progress}, JSON
    PING   stream 0                            PONG     stream 0
                                               DONE     {result}, JSON; the stream is over
                                               FAILED   {"code", "message"}, JSON; the stream is over

An engine may still send frames of a stream that was cancelled a moment ago; the server drops them. TAKEN lets the
server bound what waits in pipes and queues: it stops sending when too much is on the way.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from perhop.errors import PerhopError

__all__ = ["MAX_FRAME_BYTES", "Frame", "FrameError", "FrameParser", "Kind", "pack"]

MAX_FRAME_BYTES = 1 << 20
"""Longest frame after its length field; longer input is cut into several DATA frames by the sender."""

_HEADER = Struct("<IBI")
_REST = _HEADER.size - 4


class Kind(IntEnum):
    """What a frame means; see the module's table."""

    OPEN = 1
    DATA = 2
    END = 3
    CANCEL = 4
    PING = 5
    READY = 16
    TAKEN = 17
    EVENT = 18
    DONE = 19
    FAILED = 20
    PONG = 21


class Frame(NamedTuple):
    """One frame."""

    kind: Kind
    stream: int
    payload: bytes


class FrameError(PerhopError):
    """The other side does not speak this protocol; the connection is of no use any more."""


def pack(kind: Kind, stream: int, payload: bytes = b"") -> bytes:
    """A frame as bytes.

    Raises:
        FrameError: the payload is too long.
    """
    length = _REST + len(payload)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _HEADER.pack(length, kind, stream) + payload


class FrameParser:
    """Cuts a byte stream into frames, wherever its reads were split."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completed.

        Raises:
            FrameError: a length or kind that cannot be; frames before it in ``data`` are lost with it.
        """
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= 4:
            length = int.from_bytes(buffer[start : start + 4], "little")
            if not _REST <= length <= MAX_FRAME_BYTES:
                raise FrameError(f"a frame cannot have {length} bytes")
            end = start + 4 + length
            if len(buffer) < end:
                break
            _, number, stream = _HEADER.unpack_from(buffer, start)
            try:
                kind = Kind(number)
            except ValueError as error:
                raise FrameError(f"frames of kind {number} do not exist") from error
            frames.append(Frame(kind, stream, bytes(buffer[start + _HEADER.size : end])))
            start = end
        del buffer[:start]
        return frames
