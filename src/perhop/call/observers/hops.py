"""The quality of all callers' hops, added up when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from perhop.call.call import Call
from perhop.call.legs import HopStats
from perhop.call.observer import CallObserver

__all__ = ["HopObserver"]

_COUNTERS = (
    ("perhop_packets_received", "Audio packets that came from callers.", "packets_received"),
    ("perhop_packets_lost", "Audio packets of callers that never came.", "packets_lost"),
    ("perhop_packets_late", "Audio packets of callers that came too late to be used.", "packets_late"),
    (
        "perhop_frames_concealed",
        "Frames of 20 ms made up for missing packets of callers.",
        "frames_concealed",
    ),
    ("perhop_packets_sent", "Audio packets sent to callers.", "packets_sent"),
    ("perhop_audio_gaps", "Silences of more than 30 ms within what the agent said.", "gaps"),
)
_GAUGES = (
    ("perhop_added_delay_ms", "What waiting for late packets adds to a caller's audio now.", "added_delay_ms"),
    ("perhop_hop_rtt_ms", "Round trip between Perhop and callers now.", "rtt_ms"),
    ("perhop_hop_jitter_ms", "Jitter of callers' audio now.", "jitter_ms"),
)


class HopObserver(CallObserver):
    """Keeps the sums of calls that are over, and adds those that live at every scrape."""

    def __init__(self) -> None:
        self._over = dict.fromkeys((name for _, _, name in _COUNTERS), 0)

    def watch(self, live: Callable[[], Iterable[Call]], registry: CollectorRegistry) -> None:
        """Names the live calls."""
        registry.register(_Hops(self._over, live))

    def call_ended(self, call: Call) -> None:
        """Its figures are final."""
        hop = call.snapshot().hop
        for _, _, name in _COUNTERS:
            self._over[name] += getattr(hop, name)


class _Hops(Collector):
    def __init__(self, over: dict[str, int], live: Callable[[], Iterable[Call]]) -> None:
        self._over = over
        self._live = live

    def collect(self) -> Iterator[Metric]:
        live = list(self._live())
        legs = GaugeMetricFamily(
            "perhop_model_legs_live", "Model sessions open now, by configured model.", labels=["model"]
        )
        for model in sorted({call.model for call in live}):
            legs.add_metric([model], sum(call.model_sessions for call in live if call.model == model))
        yield legs
        hops: list[HopStats] = [call.snapshot().hop for call in live]
        for metric, text, name in _COUNTERS:
            yield CounterMetricFamily(metric, text, value=self._over[name] + sum(getattr(hop, name) for hop in hops))
        for metric, text, name in _GAUGES:
            family = GaugeMetricFamily(metric, f"{text} Over all live calls.", labels=["of"])
            values = [value for hop in hops if (value := getattr(hop, name)) is not None]
            family.add_metric(["mean"], sum(values) / len(values) if values else 0.0)
            family.add_metric(["worst"], max(values, default=0.0))
            yield family
