"""The two sides of a call, as protocols: what the call may ask of a leg, and what a leg tells the call.

Everything here is a direct synchronous call inside one event loop; there is no task, queue or lock per audio frame.
PCM is 24 kHz mono signed 16-bit little endian on both legs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, Protocol

from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ClientEvent, ServerEvent
from perhop.realtime.session import SessionConfig

__all__ = ["CallerLeg", "CallerSink", "EndReason", "HopStats", "ModelLeg", "ModelSink", "Position", "Transport"]

Transport = Literal["webrtc", "websocket", "sip", "media_streams", "whip", "direct"]


class EndReason(StrEnum):
    """Why a call ended: one word, the same for caller, API, webhooks, metrics and log (:mod:`perhop.call.endings`)."""

    CALLER_HANGUP = "caller_hangup"
    CALLER_LOST = "caller_lost"
    CALLER_NEVER_CONNECTED = "caller_never_connected"
    CALLER_ABUSE = "caller_abuse"
    MODEL_CLOSED = "model_closed"
    MODEL_FAILED = "model_failed"
    API_HANGUP = "api_hangup"
    TOOL_HANGUP = "tool_hangup"
    LIMIT_REACHED = "limit_reached"
    SESSION_EXPIRED = "session_expired"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Position:
    """How far one item's audio got, in ms of that item: ``sent`` is exact, ``played`` an estimate not above it."""

    sent_ms: int
    played_ms: int


@dataclass(slots=True)
class HopStats:
    """Quality of the hop between a caller and its edge, as known now; None where nothing was measured yet.

    Attributes:
        gaps: silences of more than 30 ms within a response, because the model's audio came too late.
        added_delay_ms: what waiting for late packets adds to the caller's audio now.
    """

    rtt_ms: float | None = None
    jitter_ms: float | None = None
    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    frames_concealed: int = 0
    packets_sent: int = 0
    gaps: int = 0
    remote_packets_lost: int | None = None
    remote_jitter_ms: float | None = None
    added_delay_ms: float = 0.0

    def after(self, earlier: HopStats) -> HopStats:
        """The same, with what was counted on an earlier hop of the same caller."""
        remote = (self.remote_packets_lost, earlier.remote_packets_lost)
        return replace(
            self,
            packets_received=self.packets_received + earlier.packets_received,
            packets_lost=self.packets_lost + earlier.packets_lost,
            packets_late=self.packets_late + earlier.packets_late,
            frames_concealed=self.frames_concealed + earlier.frames_concealed,
            packets_sent=self.packets_sent + earlier.packets_sent,
            gaps=self.gaps + earlier.gaps,
            remote_packets_lost=None if remote == (None, None) else sum(lost or 0 for lost in remote),
        )


class CallerSink(Protocol):
    """What a caller leg tells its call."""

    def on_caller_event(self, event: ClientEvent) -> None:
        """A well-formed client event (malformed ones the leg answers itself with ``error``)."""

    def on_caller_audio(self, pcm: bytes) -> None:
        """Audio in order, any length; holes have been concealed."""

    def on_playout_started(self, response_id: str) -> None:
        """The first frame of this response's audio was put on the wire."""

    def on_playout_stopped(self, response_id: str) -> None:
        """The last frame of this response's audio was put on the wire and nothing follows."""

    def on_caller_ready(self) -> None:
        """The event channel is open: from now on ``send`` reaches the caller (a leg also buffers what came before)."""

    def on_caller_closed(self, reason: EndReason) -> None:
        """The caller is gone; called exactly once, unless the call closed the leg itself."""


class CallerLeg(Protocol):
    """One caller. ``clocked`` legs play in real time by themselves (RTP); others hand audio deltas to the client."""

    @property
    def transport(self) -> Transport: ...

    @property
    def clocked(self) -> bool: ...

    def attach(self, sink: CallerSink) -> None:
        """Names the call this leg belongs to; before that, what arrives is held back (bounded)."""

    def send(self, event: ServerEvent) -> None:
        """Sends one event, in order. A caller too slow to read is closed, never waited for."""

    def play(self, chunk: AudioChunk) -> None:
        """Queues model audio (clocked), or sends it as ``response.output_audio.delta`` (others)."""

    def end_audio(self, response_id: str) -> None:
        """No more audio of this response follows: report ``on_playout_stopped`` once it has drained."""

    def clear(self) -> str | None:
        """Drops all audio that was not sent yet; returns the response id that was audible, if any."""

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None:
        """The client of a leg that is not clocked was interrupted and has thrown away what it had not played.

        Args:
            item_id: the item in which it says that it stopped, if it said so.
            played_ms: where in that item.
        """

    def position(self, item_id: str) -> Position:
        """How much of this item was sent and, by estimate, heard; zeros for an item never played."""

    def report(self, *, jitter_buffer_ms: float | None) -> None:
        """What the caller's own ``getStats`` says of its jitter buffer; sharpens ``position().played_ms``."""

    def stats(self) -> HopStats:
        """The quality of this hop now."""

    def close(self, reason: EndReason) -> None:
        """Ends the leg after what was sent before; idempotent, tells the sink nothing."""


class ModelSink(Protocol):
    """What a model leg tells its call."""

    def on_model_event(self, event: ServerEvent) -> None:
        """Any server event but audio deltas, in order."""

    def on_model_audio(self, chunk: AudioChunk) -> None:
        """Model audio, 24 kHz mono s16le."""

    def on_model_closed(
        self, reason: EndReason, detail: str, *, fatal: bool = True, retry_after_s: float | None = None
    ) -> None:
        """The model session ended by itself; called at most once per start.

        Args:
            fatal: False when another try can help: a lost socket, an overloaded server, a session that reached its cap.
            retry_after_s: how long the model asks to be left alone before that.
        """


class ModelLeg(Protocol):
    """One model session."""

    def start(self, sink: ModelSink, session: SessionConfig) -> None:
        """Opens the session with this configuration; ``session.created`` follows as an event."""

    def send(self, event: ClientEvent) -> None:
        """Sends one client event, in order."""

    def append(self, pcm: bytes) -> None:
        """Caller audio, any length; the hot path of ``input_audio_buffer.append``."""

    def close(self) -> None:
        """Ends the session; idempotent, nothing is reported afterwards."""
