"""What waits to be written to one peer: in order, counted in bytes, one waiter."""

from __future__ import annotations

import asyncio
from collections import deque

from perhop.realtime.audio import AudioChunk

__all__ = ["Outbox"]


class Outbox:
    """A queue between the code that has something to say and the one task that writes it.

    Whoever pushes looks at :attr:`bytes` and decides what happens at the limit; nothing here blocks or drops by itself.
    """

    __slots__ = ("_queue", "_wake", "bytes")

    def __init__(self) -> None:
        self._queue: deque[tuple[bytes, AudioChunk | None]] = deque()
        self._wake = asyncio.Event()
        self.bytes = 0

    def push(self, message: bytes, chunk: AudioChunk | None = None) -> None:
        """Appends a message; ``chunk`` is the audio it carries, if it carries any."""
        self._queue.append((message, chunk))
        self.bytes += len(message)
        self._wake.set()

    def pop(self) -> bytes | None:
        """The next message, or None when there is none."""
        if not self._queue:
            return None
        message, _ = self._queue.popleft()
        self.bytes -= len(message)
        return message

    def drop_audio(self) -> list[AudioChunk]:
        """Takes out every message that carries audio, and returns what they carried."""
        dropped = [chunk for _, chunk in self._queue if chunk is not None]
        self._queue = deque(entry for entry in self._queue if entry[1] is None)
        self.bytes = sum(len(message) for message, _ in self._queue)
        return dropped

    def drop_all(self) -> None:
        """Forgets everything."""
        self._queue.clear()
        self.bytes = 0

    def wake(self) -> None:
        """Makes ``wait`` return although nothing was pushed."""
        self._wake.set()

    async def wait(self) -> None:
        """Returns once something was pushed, or ``wake`` was called, since the last ``wait``."""
        await self._wake.wait()
        self._wake.clear()
