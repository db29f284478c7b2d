"""Caller audio that no item holds yet, addressed in ms of session audio time."""

from __future__ import annotations

__all__ = ["InputBuffer"]


class InputBuffer:
    """A bounded stretch of audio at the live end of the session's time line.

    Audio time counts every byte ever appended, so it is exact and independent of what was thrown away. When the buffer
    is full, further audio is lost until the buffer is emptied; time goes on all the same.

    Args:
        bytes_per_ms: of the session's input format.
        max_ms: the most it holds.
    """

    def __init__(self, bytes_per_ms: int, max_ms: int) -> None:
        self._bytes_per_ms = bytes_per_ms
        self._max_ms = max_ms
        self._data = bytearray()
        self._origin_ms = 0  # time of byte 0; moves only when the format changes
        self._first = 0  # bytes since the origin
        self._end = 0
        self._full = False

    @property
    def start_ms(self) -> int:
        """Time of the oldest audio held."""
        return self._origin_ms + self._first // self._bytes_per_ms

    @property
    def end_ms(self) -> int:
        """Session audio time now: whole ms appended so far."""
        return self._origin_ms + self._end // self._bytes_per_ms

    @property
    def held_ms(self) -> int:
        """Whole ms of audio held."""
        return len(self._data) // self._bytes_per_ms

    def append(self, audio: bytes) -> bool:
        """Adds audio, O(len(audio)).

        Returns:
            False when this audio is the first that did not fit; True otherwise.
        """
        self._end += len(audio)
        if self._full:
            return True
        if len(self._data) + len(audio) > self._max_ms * self._bytes_per_ms:
            self._full = True
            return False
        self._data += audio
        return True

    def read(self, start_ms: int, end_ms: int) -> bytes:
        """The audio held between two times; shorter when not all of it is held."""
        start = max(0, self._index(start_ms))
        return bytes(memoryview(self._data)[start : max(start, self._index(end_ms))])

    def discard_before(self, ms: int) -> None:
        """Forgets audio older than ``ms``."""
        count = min(self._index(ms), len(self._data))
        if count <= 0:
            return
        if count == len(self._data):
            self._restart(max(self._first + count, self._end if self._full else 0))
            return
        del self._data[:count]
        self._first += count

    def clear(self) -> None:
        """Forgets all audio; time stays."""
        self._restart(self._end)

    def change_format(self, bytes_per_ms: int) -> None:
        """Goes on in another format; audio of the old one is forgotten."""
        self._origin_ms = self.end_ms
        self._bytes_per_ms = bytes_per_ms
        self._end = 0
        self._restart(0)

    def _index(self, ms: int) -> int:
        return (ms - self._origin_ms) * self._bytes_per_ms - self._first

    def _restart(self, first: int) -> None:
        self._data.clear()
        self._first = first
        self._full = False
