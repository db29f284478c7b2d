"""What can be seen of a call from outside: figures and states, never what was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from perhop.call.legs import EndReason, HopStats, Transport

__all__ = ["CallSnapshot", "CallUsage", "ClientReport"]


@dataclass(frozen=True, slots=True)
class ClientReport:
    """What the caller's own ``getStats`` says, posted every two seconds; None where the browser does not tell.

    Attributes:
        rtt_ms: round trip of the caller's hop, ms.
        jitter_ms: interarrival jitter of the audio the caller receives, ms.
        packets_received: audio packets the caller received so far.
        packets_lost: audio packets that never reached the caller so far.
        jitter_buffer_ms: mean playout delay in the caller's jitter buffer, ms.
        first_audio_ms: end of the caller's last speech → first audible reply, ms.
    """

    rtt_ms: float | None = None
    jitter_ms: float | None = None
    packets_received: int | None = None
    packets_lost: int | None = None
    jitter_buffer_ms: float | None = None
    first_audio_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CallUsage:
    """What a call used.

    Attributes:
        tokens: by kind; what was cached is counted under ``cached_…`` only.
        transcription_s: seconds of speech transcribed, where that is what is charged.
        cost: in the currency of the price table.
        priced: False when some usage had no price: the cost is then higher.
    """

    tokens: Mapping[str, int] = field(default_factory=dict)
    transcription_s: float = 0.0
    cost: Decimal = Decimal(0)
    priced: bool = True


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """One call at one moment, for ``GET /api/calls``.

    Attributes:
        started_at: unix time, s.
        duration_s: so far, or in all once it ended.
        epoch: how many times the model session was replaced.
        ended: ``crashed`` when the process ended under it.
        waiting: the caller was lost and may come back.
        taps: controllers and other taps attached now.
    """

    id: str
    tenant: str
    agent: str | None
    model: str
    transport: Transport
    started_at: float
    duration_s: float
    connected: bool
    turns: int
    responses: int
    interruptions: int
    tool_calls: int
    epoch: int
    hop: HopStats
    client: ClientReport = field(default_factory=ClientReport)
    taps: int = 0
    waiting: bool = False
    ended: EndReason | Literal["crashed"] | None = None
    usage: CallUsage = field(default_factory=CallUsage)
