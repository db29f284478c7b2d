"""Counts what happens in calls."""

from __future__ import annotations

from perhop.call.call import Call
from perhop.call.observer import CallObserver, ErrorSide, ToolRun, Usage
from perhop.call.turns import Turn
from perhop.telemetry.metrics import Metrics

__all__ = ["MetricsObserver"]


class MetricsObserver(CallObserver):
    """Counts into these metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._calls = metrics.calls

    def call_started(self, call: Call) -> None:
        """``perhop_calls_started_total``"""
        self._metrics.call_started(transport=call.transport, agent=call.agent.name if call.agent is not None else "")

    def call_ended(self, call: Call) -> None:
        """``perhop_calls_ended_total``, ``perhop_call_seconds``"""
        reason = call.ended.value if call.ended is not None else ""
        self._metrics.call_ended(transport=call.transport, reason=reason, seconds=call.lifetime.seconds)

    def first_audio(self, call: Call, seconds: float) -> None:  # noqa: ARG002
        """``perhop_first_audio_seconds``"""
        self._metrics.first_audio(seconds)

    def turn_ended(self, call: Call, turn: Turn) -> None:  # noqa: ARG002
        """``perhop_turns_total``"""
        self._calls.turn(turn.outcome)

    def tool_ran(self, call: Call, run: ToolRun) -> None:  # noqa: ARG002
        """``perhop_tools_total``, ``perhop_tool_seconds``"""
        self._calls.tool(run.name, code=run.code or "ok", seconds=run.ended_at - run.began_at)

    def error(self, call: Call, code: str, side: ErrorSide) -> None:  # noqa: ARG002
        """``perhop_errors_total``"""
        self._calls.error(code, side)

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:  # noqa: ARG002
        """``perhop_renewals_total``, ``perhop_renewal_gap_seconds``"""
        self._calls.renewal(forced=forced, gap_s=gap_s)

    def reconnected(self, call: Call, *, seconds: float, attempts: int) -> None:  # noqa: ARG002
        """``perhop_reconnects_total``, ``perhop_reconnect_seconds``"""
        self._calls.reconnect(seconds=seconds)

    def failed_over(self, call: Call, model: str) -> None:  # noqa: ARG002
        """``perhop_failovers_total``"""
        self._calls.failover(model)

    def resumed(self, call: Call, *, seconds: float) -> None:  # noqa: ARG002
        """``perhop_resumes_total``"""
        self._calls.resume()

    def audio_lost(self, call: Call, *, seconds: float) -> None:  # noqa: ARG002
        """``perhop_caller_audio_lost_seconds_total``"""
        self._calls.audio_lost(seconds)

    def used(self, call: Call, usage: Usage) -> None:  # noqa: ARG002
        """``perhop_tokens_total``, ``perhop_cost_total``"""
        self._calls.usage(usage.model, usage.tokens, usage.cost)
