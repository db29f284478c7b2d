"""Spans of calls, their turns and their tools: names, figures and times, never what was said."""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from perhop.call.call import Call
from perhop.call.endings import ENDINGS
from perhop.call.observer import CallObserver, ErrorSide, ToolRun, Usage
from perhop.call.turns import Turn
from perhop.telemetry.call_metrics import known_code

__all__ = ["TraceObserver"]


class TraceObserver(CallObserver):
    """One span ``call`` a call, below it ``turn`` and ``tool``; what happens to model sessions are events of the call.

    Turns and tools become spans when they are over, with the times they had.

    Args:
        clock: that of the calls: seconds, monotonic.
        wall: Unix time, s.
    """

    def __init__(
        self,
        tracer: Tracer,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._wall = wall
        self._spans: dict[str, Span] = {}

    def call_started(self, call: Call) -> None:
        """The span begins."""
        attributes: dict[str, AttributeValue] = {
            "perhop.call_id": call.id,
            "perhop.tenant": call.tenant,
            "perhop.agent": call.agent.name if call.agent is not None else "",
            "perhop.model": call.model,
            "perhop.transport": call.transport,
        }
        # A context of its own: whatever traces the request that began the call ends long before the call does.
        self._spans[call.id] = self._tracer.start_span("call", context=Context(), attributes=attributes)

    def call_ended(self, call: Call) -> None:
        """The span ends."""
        span = self._spans.pop(call.id, None)
        if span is None:
            return
        if call.ended is not None:
            span.set_attribute("perhop.end_reason", call.ended.value)
            if ENDINGS[call.ended].close_code == 1011:
                span.set_status(Status(StatusCode.ERROR, call.ended.value))
        span.end()

    def turn_ended(self, call: Call, turn: Turn) -> None:
        """A span of the past."""
        parent = self._spans.get(call.id)
        if parent is None or turn.ended_at is None:
            return
        span = self._tracer.start_span(
            "turn",
            context=set_span_in_context(parent),
            start_time=self._unix_ns(turn.began_at),
            attributes={
                "perhop.turn": turn.number,
                "perhop.turn.spoken": turn.spoken,
                "perhop.turn.outcome": turn.outcome,
                "perhop.turn.responses": turn.responses,
                "perhop.turn.function_calls": turn.function_calls,
            },
        )
        if turn.heard_at is not None:
            span.add_event("speech_stopped", timestamp=self._unix_ns(turn.heard_at))
        if turn.audible_at is not None:
            span.add_event("first_audio", timestamp=self._unix_ns(turn.audible_at))
        if turn.first_audio_s is not None:
            span.set_attribute("perhop.turn.first_audio_ms", round(turn.first_audio_s * 1e3))
        span.end(self._unix_ns(turn.ended_at))

    def tool_ran(self, call: Call, run: ToolRun) -> None:
        """A span of the past."""
        parent = self._spans.get(call.id)
        if parent is None:
            return
        span = self._tracer.start_span(
            "tool",
            context=set_span_in_context(parent),
            start_time=self._unix_ns(run.began_at),
            attributes={"perhop.tool": run.name, "perhop.tool.code": run.code or "ok"},
        )
        if not run.ok:
            span.set_status(Status(StatusCode.ERROR, run.code))
        span.end(self._unix_ns(run.ended_at))

    def error(self, call: Call, code: str, side: ErrorSide) -> None:
        """An event of the call."""
        self._note(call, "error", {"perhop.error.code": known_code(code), "perhop.error.side": side})

    def session_opened(self, call: Call, model: str) -> None:
        """An event of the call."""
        self._note(call, "session_opened", {"perhop.model": model})

    def session_closed(self, call: Call, model: str) -> None:
        """An event of the call."""
        self._note(call, "session_closed", {"perhop.model": model})

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:
        """An event of the call."""
        self._note(call, "renewed", {"perhop.forced": forced, "perhop.gap_ms": round(gap_s * 1e3)})

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:
        """An event of the call."""
        self._note(call, "reconnected", {"perhop.ms": round(seconds * 1e3), "perhop.attempts": attempts})

    def failed_over(self, call: Call, model: str) -> None:
        """An event of the call."""
        self._note(call, "failed_over", {"perhop.model": model})

    def resumed(self, call: Call, *, seconds: float) -> None:
        """An event of the call."""
        self._note(call, "resumed", {"perhop.ms": round(seconds * 1e3)})

    def audio_lost(self, call: Call, *, seconds: float) -> None:
        """An event of the call."""
        self._note(call, "audio_lost", {"perhop.ms": round(seconds * 1e3)})

    def used(self, call: Call, usage: Usage) -> None:
        """An event of the call."""
        tokens = {f"perhop.tokens.{kind}": count for kind, count in usage.tokens.items() if count}
        self._note(call, "used", {"perhop.model": usage.model, **tokens})

    def _note(self, call: Call, name: str, attributes: dict[str, AttributeValue]) -> None:
        span = self._spans.get(call.id)
        if span is not None:
            span.add_event(name, attributes)

    def _unix_ns(self, at: float) -> int:
        return int((self._wall() - self._clock() + at) * 1e9)
