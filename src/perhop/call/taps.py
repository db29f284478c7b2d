"""Taps: whoever follows a call without being its caller. A controller, and later transcript, audit and viewers.

Everything is a direct call inside the event loop, so a tap returns at once: what takes time (a socket, a disk) has a
bounded queue of its own and a rule of its own for when that is full. The call never waits for a tap.
"""

from __future__ import annotations

from typing import Protocol

from perhop.call.legs import EndReason
from perhop.errors import LimitExceededError
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ServerEvent

__all__ = ["MAX_TAPS", "Tap", "Taps"]

MAX_TAPS = 32
"""Taps of one call; each costs a share of every event."""


class Tap(Protocol):
    """One follower of a call. Every method returns at once and raises nothing."""

    def on_event(self, event: ServerEvent) -> None:
        """A server event as the caller gets it, in order; any but ``response.output_audio.delta``."""

    def on_audio(self, chunk: AudioChunk) -> None:
        """Model audio as the caller gets it, 24 kHz mono s16le; only for taps that asked for it."""

    def on_ended(self, reason: EndReason) -> None:
        """The call is over; nothing follows."""


class Taps:
    """The taps of one call. They may come and go while they are being told something."""

    __slots__ = ("_all", "_hearing", "_limit", "_own")

    def __init__(self, *, limit: int = MAX_TAPS) -> None:
        self._limit = limit
        # Tuples, replaced as a whole: whoever iterates over one is not disturbed by a change.
        self._all: tuple[Tap, ...] = ()
        self._hearing: tuple[Tap, ...] = ()
        self._own: tuple[Tap, ...] = ()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, tap: Tap, *, audio: bool, own: bool = False) -> None:
        """One more follows from now on.

        Args:
            audio: whether it gets the model's audio too.
            own: it is Perhop's own, and gets also what clients did not ask for.

        Raises:
            LimitExceededError: there are too many.
        """
        if len(self._all) >= self._limit:
            raise LimitExceededError(f"{self._limit} follow this call already, which is the limit")
        self._all = (*self._all, tap)
        if audio:
            self._hearing = (*self._hearing, tap)
        if own:
            self._own = (*self._own, tap)

    def remove(self, tap: Tap) -> None:
        """This one hears no more; harmless for one that is not there."""
        self._all = tuple(other for other in self._all if other is not tap)
        self._hearing = tuple(other for other in self._hearing if other is not tap)
        self._own = tuple(other for other in self._own if other is not tap)

    def event(self, event: ServerEvent) -> None:
        """Tells everybody of an event."""
        for tap in self._all:
            tap.on_event(event)

    def hidden_event(self, event: ServerEvent) -> None:
        """Tells Perhop's own taps of an event that clients did not ask for."""
        for tap in self._own:
            tap.on_event(event)

    def audio(self, chunk: AudioChunk) -> None:
        """Hands audio to those who asked for it."""
        for tap in self._hearing:
            tap.on_audio(chunk)

    def ended(self, reason: EndReason) -> None:
        """Tells everybody that the call is over, and lets them go."""
        taps, self._all, self._hearing, self._own = self._all, (), (), ()
        for tap in taps:
            tap.on_ended(reason)
