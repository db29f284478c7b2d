"""Paces the model's audio to one caller: chunks in at any speed, one 20 ms frame out on every pull.

The model speaks faster than real time; what was really put on the wire decides where an interrupted item is truncated.
So this is the one owner of that truth: it counts sent bytes per item exactly, knows which response is audible, and says
when a response starts and stops.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from perhop.errors import LimitExceededError
from perhop.media.timescale import shorten
from perhop.realtime.audio import BYTES_PER_MS, FRAME_BYTES, AudioChunk

__all__ = ["Playout", "PlayoutEvent"]

MAX_QUEUE_MS = 600_000
MAX_ITEMS = 64
MAX_CLOSED = 64


@dataclass(slots=True, frozen=True)
class PlayoutEvent:
    """What the last call did: ``started`` with a response's first frame, ``stopped`` with its last one.

    A response that is cleared does not report ``stopped``; :meth:`Playout.clear` says so itself.
    """

    kind: Literal["started", "stopped"]
    response_id: str


@dataclass(slots=True, eq=False)
class _Response:
    """Audio of one response that waits to be sent, in order."""

    id: str
    chunks: deque[AudioChunk] = field(default_factory=deque)
    bytes: int = 0
    started: bool = False
    ended: bool = False


class Playout:
    """The playout queue of one leg. Frames are :data:`~perhop.realtime.audio.FRAME_BYTES` of 24 kHz mono s16le.

    Responses play one after another in the order of their first chunk. The last frame of an ended response is filled up
    with silence; while a response is open, what does not fill a frame waits for more. A response that runs dry while
    another one already waits is taken as ended.

    What happened is kept in :attr:`events` until :meth:`take_events`; look at it after every call, once the frame is on
    the wire. In the steady case, one frame in and one frame out, the two calls cost about 1 µs.
    """

    __slots__ = ("_closed", "_limit", "_offset", "_queue", "_sent", "_waiting", "dropped_bytes", "events")

    def __init__(self, *, limit_ms: int = MAX_QUEUE_MS) -> None:
        """An empty queue.

        Args:
            limit_ms: how much audio may wait; beyond it :meth:`push` refuses.
        """
        self.events: list[PlayoutEvent] = []
        """What happened and was not taken yet, oldest first."""
        self.dropped_bytes = 0
        """Audio pushed but never sent: of cleared responses, and beyond the limit."""
        self._limit = limit_ms * BYTES_PER_MS
        self._queue: deque[_Response] = deque()
        self._offset = 0  # into the first chunk of the first response
        self._waiting = 0  # bytes, all responses together
        self._sent: dict[str, int] = {}  # bytes by item, of the newest MAX_ITEMS
        self._closed: dict[str, None] = {}  # responses that take no audio any more, the newest MAX_CLOSED

    def push(self, chunk: AudioChunk) -> None:
        """Queues audio of a response, any length.

        Audio of a response that was cleared is dropped: what the model still sends of it must not be heard.

        Raises:
            LimitExceededError: more would wait than the limit. The chunk and all later audio of its response are
                dropped (later pushes of it are silent), so what plays is cut short but never has a hole.
        """
        size = len(chunk.audio)
        response = self._queue[-1] if self._queue else None
        if response is None or response.ended or response.id != chunk.response_id:
            response = self._admit(chunk.response_id) if size else None
            if response is None:
                self.dropped_bytes += size
                return
        if self._waiting + size > self._limit:
            response.ended = True
            self._close(response.id)
            self.dropped_bytes += size
            raise LimitExceededError(
                f"{self._limit // BYTES_PER_MS // 1000} s of audio already wait to be played; "
                f"the rest of {response.id} is dropped"
            )
        response.chunks.append(chunk)
        response.bytes += size
        self._waiting += size

    def _admit(self, response_id: str) -> _Response | None:
        """The queued response of this id, a new one, or None when it was closed."""
        if response_id in self._closed:
            return None
        for response in self._queue:
            if response.id == response_id:
                response.ended = False
                return response
        response = _Response(response_id)
        self._queue.append(response)
        return response

    def end(self, response_id: str) -> None:
        """No more audio of this response follows; ``stopped`` comes with its last frame, at once if that is sent."""
        for response in self._queue:
            if response.id == response_id:
                response.ended = True
                if not response.bytes and response is self._queue[0]:
                    self._finish(response)
                return

    def pull(self) -> bytes | None:
        """The next 20 ms to send, or None when there is nothing to say now."""
        queue = self._queue
        while queue:
            response = queue[0]
            if response.bytes >= FRAME_BYTES:
                frame = self._take(response)
            elif not response.ended and len(queue) == 1:
                return None
            elif response.bytes:
                frame = self._take_rest(response)
            else:
                self._finish(response)
                continue
            if not response.started:
                response.started = True
                self.events.append(PlayoutEvent("started", response.id))
            if response.ended and not response.bytes:
                self._finish(response)
            return frame
        return None

    def pull_shortened(self, most_ms: int) -> tuple[bytes | None, int]:
        """As :meth:`pull`, but out of more audio than the frame is long, if there is more: so a delay is made up.

        The audio is sped up for a moment without a change of its pitch.

        Args:
            most_ms: by how much the audio may be longer than the frame, up to 20. It is shortened best by a period of
                the voice, so 10 are much better than 5.

        Returns:
            The frame, and by how many bytes what it was made of was longer; 0 when there was not enough.
        """
        response = self._queue[0] if self._queue else None
        most = most_ms * BYTES_PER_MS
        length = FRAME_BYTES + most
        if response is None or not response.started or response.bytes < length:
            return self.pull(), 0
        shorter = shorten(self._peek(response, length), most // 2)
        taken = length - len(shorter)
        self._gather(response, FRAME_BYTES + taken)
        if response.ended and not response.bytes:
            self._finish(response)
        return shorter[:FRAME_BYTES], taken

    def clear(self) -> str | None:
        """Drops everything that waits (barge-in). What was sent stays counted.

        Returns:
            The response that was audible: started, and neither stopped nor cleared before. None when none was.
        """
        audible = self.audible
        for response in self._queue:
            self._close(response.id)
        self.dropped_bytes += self._waiting
        self._queue.clear()
        self._waiting = 0
        self._offset = 0
        return audible

    def sent_ms(self, item_id: str) -> int:
        """How much of this item was handed out by :meth:`pull`, in whole ms; 0 for an item never played.

        The newest 64 items are remembered.
        """
        return self._sent.get(item_id, 0) // BYTES_PER_MS

    def take_events(self) -> list[PlayoutEvent]:
        """Everything in :attr:`events`, which is empty afterwards."""
        events, self.events = self.events, []
        return events

    @property
    def audible(self) -> str | None:
        """The response whose audio is being sent, also while it waits for more; None between responses."""
        return self._queue[0].id if self._queue and self._queue[0].started else None

    @property
    def queued_ms(self) -> int:
        """Audio that waits, in whole ms."""
        return self._waiting // BYTES_PER_MS

    def _take(self, response: _Response) -> bytes:
        """A whole frame of a response that has one."""
        chunk = response.chunks[0]
        audio = chunk.audio
        start = self._offset
        end = start + FRAME_BYTES
        if end > len(audio):
            return self._gather(response, FRAME_BYTES)
        if end == len(audio):
            response.chunks.popleft()
            self._offset = 0
        else:
            self._offset = end
        response.bytes -= FRAME_BYTES
        self._waiting -= FRAME_BYTES
        self._count(chunk.item_id, FRAME_BYTES)
        return audio[start:end]

    def _peek(self, response: _Response, size: int) -> bytes:
        """The next ``size`` bytes, which stay."""
        parts: list[bytes] = []
        start = self._offset
        for chunk in response.chunks:
            parts.append(chunk.audio[start : start + size])
            size -= len(parts[-1])
            start = 0
            if not size:
                break
        return b"".join(parts)

    def _take_rest(self, response: _Response) -> bytes:
        """Less than a frame, filled up with silence."""
        return self._gather(response, response.bytes).ljust(FRAME_BYTES, b"\0")

    def _gather(self, response: _Response, size: int) -> bytes:
        """``size`` bytes out of as many chunks as it takes."""
        parts: list[bytes] = []
        missing = size
        while missing:
            chunk = response.chunks[0]
            part = chunk.audio[self._offset : self._offset + missing]
            if self._offset + len(part) == len(chunk.audio):
                response.chunks.popleft()
                self._offset = 0
            else:
                self._offset += len(part)
            missing -= len(part)
            self._count(chunk.item_id, len(part))
            parts.append(part)
        response.bytes -= size
        self._waiting -= size
        return b"".join(parts)

    def _count(self, item_id: str, size: int) -> None:
        sent = self._sent
        if item_id in sent:
            sent[item_id] += size
            return
        if len(sent) == MAX_ITEMS:
            del sent[next(iter(sent))]
        sent[item_id] = size

    def _finish(self, response: _Response) -> None:
        """Takes the first response out of the queue."""
        self._queue.popleft()
        self._offset = 0
        if response.started:
            self.events.append(PlayoutEvent("stopped", response.id))

    def _close(self, response_id: str) -> None:
        if len(self._closed) == MAX_CLOSED:
            del self._closed[next(iter(self._closed))]
        self._closed[response_id] = None
