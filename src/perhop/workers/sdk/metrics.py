"""Figures of a worker process in Prometheus' terms."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["WorkerMetrics"]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class WorkerMetrics:
    """Everything workers count. Labels are names from code, never what a caller sent.

    Args:
        registry: of the process they are at home in; one of its own, with figures of the process, when None.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        if registry is None:
            ProcessCollector(registry=self.registry)
        self._calls = Counter(
            "perhop_worker_calls",
            "Calls of tools, by what came of them.",
            ["worker", "tool", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "perhop_worker_call_seconds",
            "Request to answer.",
            ["worker", "tool"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._repeated = Counter(
            "perhop_worker_repeated",
            "Calls answered with an outcome that was recorded before.",
            ["worker", "tool"],
            registry=self.registry,
        )
        self._settled = Counter(
            "perhop_worker_effects_settled",
            "Effects outside the database, by what became of them.",
            ["worker", "channel", "state"],
            registry=self.registry,
        )
        self._effects = Gauge(
            "perhop_worker_effects",
            "Effects outside the database as they are recorded; those unknown are for people to look into.",
            ["worker", "channel", "state"],
            registry=self.registry,
        )

    def called(self, worker: str, tool: str, outcome: str, seconds: float) -> None:
        """A call was answered."""
        self._calls.labels(worker, tool, outcome).inc()
        self._seconds.labels(worker, tool).observe(seconds)

    def repeated(self, worker: str, tool: str) -> None:
        """A call was answered with an older outcome."""
        self._repeated.labels(worker, tool).inc()

    def settled(self, worker: str, channel: str, state: str) -> None:
        """An effect was settled."""
        self._settled.labels(worker, channel, state).inc()

    def effects(self, worker: str, counts: dict[tuple[str, str], int]) -> None:
        """How many effects there are, by channel and state."""
        for (channel, state), count in counts.items():
            self._effects.labels(worker, channel, state).set(count)

    def render(self) -> bytes:
        """All figures in the text format."""
        return generate_latest(self.registry)
