"""The caller's side of a direct call: no media and no events pass here, the caller has both from the model."""

from __future__ import annotations

import asyncio

from perhop.call.legs import CallerSink, EndReason, HopStats, Position, Transport
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ServerEvent

__all__ = ["DirectLeg"]


class DirectLeg:
    """A caller who talks to the model; a :class:`~perhop.call.legs.CallerLeg` for Perhop's books.

    Nobody tells when the caller can hear the model. It counts as connected some time after it was given the model's
    answer, or when its page first reports what it measures.

    Args:
        connects_within_s: from the answer.
    """

    transport: Transport = "direct"
    clocked = False

    def __init__(self, *, connects_within_s: float = 1.0) -> None:
        self._connects_within_s = connects_within_s
        self._sink: CallerSink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_answered = False

    def answered(self) -> None:
        """The caller is given the model's answer now."""
        self._is_answered = True
        self._timer = asyncio.get_running_loop().call_later(self._connects_within_s, self._ready)

    # -- CallerLeg ----------------------------------------------------------------------------------------------------

    def attach(self, sink: CallerSink) -> None:
        """Names the call."""
        self._sink = sink

    def send(self, event: ServerEvent) -> None:
        """The model tells the caller itself."""

    def play(self, chunk: AudioChunk) -> None:
        """The model plays it itself."""

    def end_audio(self, response_id: str) -> None:
        """The model knows."""

    def clear(self) -> str | None:
        """Nothing is audible from here."""
        return None

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None:
        """The model knows."""

    def position(self, item_id: str) -> Position:  # noqa: ARG002 - of the protocol
        """Nothing is played from here."""
        return Position(0, 0)

    def report(self, *, jitter_buffer_ms: float | None) -> None:  # noqa: ARG002 - of the protocol
        """The page measures, so it is connected."""
        if self._is_answered:
            self._ready()

    def stats(self) -> HopStats:
        """Nothing is measured here; what the page measures is in its reports."""
        return HopStats()

    def close(self, reason: EndReason) -> None:  # noqa: ARG002 - of the protocol
        """The model ends the caller's connection."""
        self._sink = None
        self._disarm()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _ready(self) -> None:
        self._disarm()
        if self._sink is not None:
            self._sink.on_caller_ready()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
