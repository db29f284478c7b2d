"""What is counted of calls: turns, tools, errors, model sessions, tokens and cost."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["CallFigures", "known_code"]

_TOOL_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_GAP_SECONDS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0, 5.0)
_RECONNECT_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

_CODES = frozenset(
    {
        "audio_unintelligible",
        "cannot_update_voice",
        "conversation_already_has_active_response",
        "engine_overloaded",
        "event_backlog_exceeded",
        "input_audio_backlog_exceeded",
        "input_audio_buffer_commit_empty",
        "input_audio_buffer_full",
        "insufficient_quota",
        "internal_error",
        "invalid_api_key",
        "invalid_event",
        "invalid_json",
        "invalid_type",
        "invalid_value",
        "item_not_found",
        "limit_reached",
        "message_too_large",
        "missing_required_parameter",
        "model_closed",
        "model_failed",
        "model_not_found",
        "rate_limit_exceeded",
        "response_cancel_not_active",
        "server_error",
        "server_shutdown",
        "session_expired",
        "tool_arguments_invalid",
        "tool_failed",
        "tool_timeout",
        "unknown_parameter",
    }
)


def known_code(code: str) -> str:
    """A code that may be a label: one of ours or of the Realtime API. Any other is ``other``."""
    return code if code in _CODES else "other"


class CallFigures:
    """Counters of one process. Labels are names from configuration and code, never what a peer sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._turns = Counter("perhop_turns", "Turns over, by how.", ["outcome"], registry=registry)
        self._tools = Counter(
            "perhop_tools", "Runs of tools, by what came of them.", ["tool", "code"], registry=registry
        )
        self._tool_seconds = Histogram(
            "perhop_tool_seconds", "Length of runs of tools.", ["tool"], buckets=_TOOL_SECONDS, registry=registry
        )
        self._errors = Counter(
            "perhop_errors",
            "Error events sent to clients, by code and by who is to blame: client, model or call.",
            ["code", "side"],
            registry=registry,
        )
        self._renewals = Counter(
            "perhop_renewals", "Model sessions replaced before their cap.", ["forced"], registry=registry
        )
        self._renewal_gap = Histogram(
            "perhop_renewal_gap_seconds",
            "Silence a caller could hear because of a renewal.",
            buckets=_GAP_SECONDS,
            registry=registry,
        )
        self._reconnects = Counter("perhop_reconnects", "Lost model sessions replaced.", registry=registry)
        self._reconnect_seconds = Histogram(
            "perhop_reconnect_seconds",
            "From the loss of a model session to the next one in its place.",
            buckets=_RECONNECT_SECONDS,
            registry=registry,
        )
        self._failovers = Counter(
            "perhop_failovers", "Times another configured model took over, by that model.", ["model"], registry=registry
        )
        self._resumes = Counter("perhop_resumes", "Lost callers who came back in time.", registry=registry)
        self._audio_lost = Counter(
            "perhop_caller_audio_lost_seconds",
            "Caller audio that was more than is kept while there is no model session.",
            registry=registry,
        )
        self._tokens = Counter("perhop_tokens", "Tokens used.", ["model", "kind"], registry=registry)
        self._cost = Counter("perhop_cost", "Money used, in the price table's currency.", ["model"], registry=registry)

    def turn(self, outcome: str) -> None:
        """A turn is over."""
        self._turns.labels(outcome).inc()

    def tool(self, name: str, *, code: str, seconds: float) -> None:
        """A tool was run; ``code`` is ``ok`` or why it failed."""
        self._tools.labels(name, code).inc()
        self._tool_seconds.labels(name).observe(seconds)

    def error(self, code: str, side: str) -> None:
        """An error event was sent."""
        self._errors.labels(known_code(code), side).inc()

    def renewal(self, *, forced: bool, gap_s: float) -> None:
        """A session was renewed."""
        self._renewals.labels("yes" if forced else "no").inc()
        self._renewal_gap.observe(gap_s)

    def reconnect(self, *, seconds: float) -> None:
        """A lost session was replaced."""
        self._reconnects.inc()
        self._reconnect_seconds.observe(seconds)

    def failover(self, model: str) -> None:
        """This model took over."""
        self._failovers.labels(model).inc()

    def resume(self) -> None:
        """A lost caller is back."""
        self._resumes.inc()

    def audio_lost(self, seconds: float) -> None:
        """No model hears this much of a caller."""
        self._audio_lost.inc(seconds)

    def usage(self, model: str, tokens: Mapping[str, int], cost: float | None) -> None:
        """A response used this."""
        for kind, count in tokens.items():
            if count:
                self._tokens.labels(model, kind).inc(count)
        if cost:
            self._cost.labels(model).inc(cost)
