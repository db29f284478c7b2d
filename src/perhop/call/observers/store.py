"""Has calls written down."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from perhop.call.call import Call
from perhop.call.observer import CallObserver, Usage
from perhop.call.turns import Turn
from perhop.store.recorder import CallRecord, Recorder

__all__ = ["StoreObserver", "record_of"]


class StoreObserver(CallObserver):
    """Hands the recorder the state of a call whenever it changed in a way worth keeping."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._renewals: Counter[str] = Counter()
        self._reconnects: Counter[str] = Counter()

    def call_started(self, call: Call) -> None:
        """The first row."""
        self._record(call)

    def call_ended(self, call: Call) -> None:
        """The last word."""
        self._record(call)
        del self._renewals[call.id], self._reconnects[call.id]

    def turn_ended(self, call: Call, turn: Turn) -> None:  # noqa: ARG002
        """One more turn."""
        self._record(call)

    def used(self, call: Call, usage: Usage) -> None:  # noqa: ARG002
        """Tokens, and what they cost."""
        self._record(call)

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:  # noqa: ARG002
        """One more model session, in time."""
        self._renewals[call.id] += 1
        self._record(call)

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:  # noqa: ARG002
        """One more model session, after the loss of one."""
        self._reconnects[call.id] += 1
        self._record(call)

    def _record(self, call: Call) -> None:
        renewals, reconnects = self._renewals[call.id], self._reconnects[call.id]
        self._recorder.record(record_of(call, renewals=renewals, reconnects=reconnects))


def record_of(call: Call, *, renewals: int = 0, reconnects: int = 0) -> CallRecord:
    """All that is kept of a call, as it is now."""
    now, used = call.snapshot(), call.spending.used
    started_at = datetime.fromtimestamp(now.started_at, UTC)
    tokens = used.by_kind
    hop, client = now.hop, now.client
    return CallRecord(
        id=call.id,
        tenant=call.tenant,
        key=call.key,
        agent=now.agent,
        model=now.model,
        transport=now.transport,
        started_at=started_at,
        ended_at=started_at + timedelta(seconds=now.duration_s) if now.ended is not None else None,
        end_reason=str(now.ended) if now.ended is not None else None,
        duration_ms=round(now.duration_s * 1000),
        turns=now.turns,
        responses=now.responses,
        interruptions=now.interruptions,
        tool_calls=now.tool_calls,
        epoch=now.epoch,
        renewals=renewals,
        reconnects=reconnects,
        input_text_tokens=tokens.get("input_text", 0),
        input_audio_tokens=tokens.get("input_audio", 0),
        input_image_tokens=tokens.get("input_image", 0),
        cached_text_tokens=tokens.get("cached_text", 0),
        cached_audio_tokens=tokens.get("cached_audio", 0),
        cached_image_tokens=tokens.get("cached_image", 0),
        output_text_tokens=tokens.get("output_text", 0),
        output_audio_tokens=tokens.get("output_audio", 0),
        transcription_tokens=used.transcription_tokens,
        transcription_s=used.transcription_s,
        cost=used.cost,
        priced=used.priced,
        rtt_ms=hop.rtt_ms if hop.rtt_ms is not None else client.rtt_ms,
        jitter_ms=hop.jitter_ms if hop.jitter_ms is not None else client.jitter_ms,
        packets_received=hop.packets_received or None,
        packets_lost=hop.packets_lost if hop.packets_received else None,
    )
