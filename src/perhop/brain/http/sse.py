"""Server-sent events, as far as the chat API uses them."""

from __future__ import annotations

from perhop.errors import LimitExceededError

__all__ = ["SseParser"]

_MAX_EVENT = 1 << 20


class SseParser:
    """Cuts a stream of bytes into the data of its events, wherever reads were split.

    Follows the parsing rules of the HTML standard (9.2.6) for ``data`` lines; other fields and comments are skipped.
    An event that was begun when the stream ends is not given out, as the standard has it.
    """

    __slots__ = ("_after_cr", "_data", "_line", "_size")

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[str]:
        """The data of each event that ``chunk`` completed.

        Raises:
            LimitExceededError: an event over 1 MiB.
        """
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # CR LF that was split is one end of line, not two
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events: list[str] = []
        for index, piece in enumerate(lines):
            self._line += piece
            self._size += len(piece)
            if self._size > _MAX_EVENT:
                raise LimitExceededError(f"a server-sent event is over {_MAX_EVENT} bytes")
            if index < len(lines) - 1:
                self._end_line(events)
        return events

    def _end_line(self, events: list[str]) -> None:
        line = bytes(self._line)
        self._line.clear()
        if not line:
            if self._data:
                events.append(b"\n".join(self._data).decode(errors="replace"))
            self._data = []
            self._size = 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
