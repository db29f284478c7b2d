"""Figures of a process in Prometheus' terms. A registry of its own, so that two servers in one process do not mix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from perhop.telemetry.call_metrics import CallFigures

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CALL_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
_FIRST_AUDIO_SECONDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_MILLISECONDS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)


class _LiveCalls(Collector):
    """Counts at the moment of the scrape, so that no code has to keep a gauge in step."""

    def __init__(self, count: Callable[[], dict[str, int]]) -> None:
        self._count = count

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("perhop_calls_live", "Calls live now.", labels=["transport"])
        for transport, number in self._count().items():
            family.add_metric([transport], number)
        yield family


class RecorderState(Protocol):
    """How writing calls down goes."""

    @property
    def waiting(self) -> int: ...
    @property
    def written(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def down(self) -> bool: ...


class _Recorder(Collector):
    """The same, of the one who writes calls down."""

    def __init__(self, figures: Callable[[], RecorderState]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        now = self._figures()
        yield GaugeMetricFamily("perhop_store_up", "1 while calls can be written down.", value=0 if now.down else 1)
        yield GaugeMetricFamily("perhop_store_waiting", "Calls whose state is not written down yet.", value=now.waiting)
        yield CounterMetricFamily("perhop_store_written", "States of calls written down.", value=now.written)
        yield CounterMetricFamily("perhop_store_dropped", "States of calls that were lost.", value=now.dropped)


class Metrics:
    """Everything Perhop counts. Labels are names from our own configuration and code, never what a peer sent.

    Attributes:
        calls: what happens in calls.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = CallFigures(self.registry)
        GCCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "perhop_http_requests", "HTTP requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "perhop_http_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self._started = Counter("perhop_calls_started", "Calls begun.", ["transport", "agent"], registry=self.registry)
        self._ended = Counter(
            "perhop_calls_ended", "Calls over, by why.", ["transport", "reason"], registry=self.registry
        )
        self._call_seconds = Histogram(
            "perhop_call_seconds", "Length of calls.", buckets=_CALL_SECONDS, registry=self.registry
        )
        self._first_audio = Histogram(
            "perhop_first_audio_seconds",
            "End of the caller's speech to the first audio on the wire.",
            buckets=_FIRST_AUDIO_SECONDS,
            registry=self.registry,
        )
        self._client_rtt = Histogram(
            "perhop_client_rtt_ms",
            "Round trip a caller's browser reports.",
            buckets=_MILLISECONDS,
            registry=self.registry,
        )
        self._client_jitter = Histogram(
            "perhop_client_jitter_ms",
            "Jitter a caller's browser reports.",
            buckets=_MILLISECONDS,
            registry=self.registry,
        )
        self._client_jitter_buffer = Histogram(
            "perhop_client_jitter_buffer_ms",
            "Playout delay a caller's browser reports.",
            buckets=_MILLISECONDS,
            registry=self.registry,
        )
        self._secrets = Counter("perhop_client_secrets", "Client secrets minted.", registry=self.registry)
        self._webhooks = Counter(
            "perhop_webhooks",
            "Attempts to deliver webhooks, by what came of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._unknown = Counter(
            "perhop_effects_unknown",
            "Effects of tools of which nobody will know whether they happened.",
            ["tool"],
            registry=self.registry,
        )
        self._refused = Counter("perhop_refused", "Requests refused, by error code.", ["code"], registry=self.registry)

    def watch_calls(self, count: Callable[[], dict[str, int]]) -> None:
        """Names the function that counts live calls by transport; called at every scrape."""
        self.registry.register(_LiveCalls(count))

    def watch_recorder(self, figures: Callable[[], RecorderState]) -> None:
        """Names the function that says how writing calls down goes; called at every scrape."""
        self.registry.register(_Recorder(figures))

    def watch(self, name: str, text: str, count: Callable[[], float]) -> None:
        """A gauge that is asked at every scrape."""
        Gauge(name, text, registry=self.registry).set_function(count)

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One HTTP request was answered. ``route`` is the template (``/api/calls/{call_id}``), not the path."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def call_started(self, *, transport: str, agent: str) -> None:
        """A call began; ``agent`` is empty for a plain session."""
        self._started.labels(transport, agent).inc()

    def call_ended(self, *, transport: str, reason: str, seconds: float) -> None:
        """A call is over."""
        self._ended.labels(transport, reason).inc()
        self._call_seconds.observe(seconds)

    def first_audio(self, seconds: float) -> None:
        """A reply became audible this long after the caller stopped speaking."""
        self._first_audio.observe(seconds)

    def client_report(self, *, rtt_ms: float | None, jitter_ms: float | None, jitter_buffer_ms: float | None) -> None:
        """What a caller's own ``getStats`` says."""
        if rtt_ms is not None:
            self._client_rtt.observe(rtt_ms)
        if jitter_ms is not None:
            self._client_jitter.observe(jitter_ms)
        if jitter_buffer_ms is not None:
            self._client_jitter_buffer.observe(jitter_buffer_ms)

    def secret_minted(self) -> None:
        """A client secret was handed out."""
        self._secrets.inc()

    def effect_unknown(self, tool: str) -> None:
        """Of an effect nobody will know whether it happened."""
        self._unknown.labels(tool).inc()

    def webhook(self, outcome: str) -> None:
        """A webhook was delivered, put off, given up or dropped."""
        self._webhooks.labels(outcome).inc()

    def refused(self, code: str) -> None:
        """A request was refused with this error code of ours."""
        self._refused.labels(code).inc()

    def render(self) -> bytes:
        """All figures in the text format."""
        return generate_latest(self.registry)
