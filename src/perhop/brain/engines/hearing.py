"""What every recognising job has in common: audio comes in, is decoded piece by piece, and words go out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from perhop.brain.engines.worker import Output

__all__ = ["Ear", "Hearing"]

_BYTES_PER_MS = 48
_OPENING = 700 * _BYTES_PER_MS
"""Audio waited for before decoding starts, to know the voice and the microphone. An utterance is opened with 0.3 s of
what came before it and ends in 0.2 s of silence, so even of a short answer nothing is left to decode at its end."""
_PIECE = 100 * _BYTES_PER_MS
"""Decoded in one turn, about 10 ms of work."""
_LONGEST = 120_000 * _BYTES_PER_MS
"""Of an utterance; what goes beyond it is not heard."""
_SHORTEST = 60 * _BYTES_PER_MS


class Ear(Protocol):
    """A decoder at work on one utterance."""

    def start(self, opening: bytes) -> None:
        """Begins; ``opening`` is heard again afterwards."""

    def hear(self, pcm: bytes) -> None:
        """Decodes."""

    def partial(self) -> str:
        """The words so far."""

    def finish(self) -> dict[str, object]:
        """Ends; the result to send."""

    def release(self) -> None:
        """Gives the decoder back, in the middle of an utterance or not."""


class Hearing:
    """One utterance: a job of the worker.

    Args:
        acquire: an ear, or None while all are busy; whoever gives one back wakes the job.
    """

    def __init__(self, output: Output, acquire: Callable[[], Ear | None]) -> None:
        self._output = output
        self._acquire = acquire
        self._ear: Ear | None = None
        self._pending = bytearray()
        self._length = 0
        self._started = False
        self._ended = False
        self._said = ""

    def feed(self, data: bytes) -> None:
        """Takes PCM, 24 kHz."""
        if self._length < _LONGEST:
            self._pending += data
            self._length += len(data)
        else:
            self._output.taken(len(data))

    def end(self) -> None:
        """The utterance is complete."""
        self._ended = True

    def step(self) -> bool:
        """Decodes up to 100 ms, and answers when nothing is left."""
        if self._ear is None:
            self._ear = self._acquire()
            if self._ear is None:
                return False
        if not self._started:
            if not self._ended and len(self._pending) < _OPENING:
                return False
            if self._ended and len(self._pending) < _SHORTEST:
                self._output.done({"text": ""})
                return False
            self._ear.start(bytes(self._pending[:_OPENING]))
            self._started = True
        if self._pending:
            self._decode(self._ear)
        if self._pending:
            return True
        if self._ended:
            self._output.done(self._ear.finish())
        return False

    def close(self) -> None:
        """Gives the ear back."""
        if self._ear is not None:
            self._ear.release()
            self._ear = None

    def _decode(self, ear: Ear) -> None:
        piece = bytes(self._pending[:_PIECE])
        del self._pending[:_PIECE]
        ear.hear(piece)
        self._output.taken(len(piece))
        said = ear.partial()
        if said != self._said:
            self._said = said
            self._output.event({"text": said})
