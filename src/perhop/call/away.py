"""The caller's side of a call while the caller is away: it says nothing and hears nothing, but the call goes on."""

from __future__ import annotations

from perhop.call.legs import CallerLeg, CallerSink, EndReason, HopStats, Position, Transport
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ServerEvent

__all__ = ["AwayLeg"]


class AwayLeg:
    """Stands for the leg that was lost until another one takes its place.

    Args:
        lost: the leg that was; how good it was at last stays visible. What it counted is the call's to keep.
    """

    clocked = False

    def __init__(self, lost: CallerLeg) -> None:
        self.transport: Transport = lost.transport
        last = lost.stats()
        self._stats = HopStats(rtt_ms=last.rtt_ms, jitter_ms=last.jitter_ms, remote_jitter_ms=last.remote_jitter_ms)

    def attach(self, sink: CallerSink) -> None:
        """Nobody is there."""

    def send(self, event: ServerEvent) -> None:
        """Nobody hears it; who comes back is told the session as it then is."""

    def play(self, chunk: AudioChunk) -> None:
        """Nobody hears it."""

    def end_audio(self, response_id: str) -> None:
        """There is none."""

    def clear(self) -> str | None:
        """Nothing is audible."""
        return None

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None:
        """Nothing is played."""

    def position(self, item_id: str) -> Position:  # noqa: ARG002 - of the protocol
        """Nothing is played."""
        return Position(0, 0)

    def report(self, *, jitter_buffer_ms: float | None) -> None:
        """Nobody reports."""

    def stats(self) -> HopStats:
        """As they were last."""
        return self._stats

    def close(self, reason: EndReason) -> None:
        """Nothing to close."""
