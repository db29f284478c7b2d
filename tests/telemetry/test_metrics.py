"""Figures in Prometheus' terms."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from perhop.telemetry.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"no {name} {labels}")


def test_calls_are_counted_by_transport_agent_and_reason() -> None:
    metrics = Metrics()
    metrics.call_started(transport="webrtc", agent="oneroof")
    metrics.call_ended(transport="webrtc", reason="caller_hangup", seconds=12.0)
    assert value(metrics, "perhop_calls_started_total", transport="webrtc", agent="oneroof") == 1
    assert value(metrics, "perhop_calls_ended_total", transport="webrtc", reason="caller_hangup") == 1
    assert value(metrics, "perhop_call_seconds_sum") == 12.0


def test_live_calls_are_counted_when_somebody_looks() -> None:
    metrics = Metrics()
    live = {"webrtc": 2}
    metrics.watch_calls(lambda: live)
    assert value(metrics, "perhop_calls_live", transport="webrtc") == 2
    live["webrtc"] = 0
    assert value(metrics, "perhop_calls_live", transport="webrtc") == 0


def test_what_a_browser_did_not_measure_is_not_counted_as_zero() -> None:
    metrics = Metrics()
    metrics.client_report(rtt_ms=20.0, jitter_ms=None, jitter_buffer_ms=None)
    assert value(metrics, "perhop_client_rtt_ms_count") == 1
    assert value(metrics, "perhop_client_jitter_ms_count") == 0


def test_two_servers_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.first_audio(0.3)
    assert value(first, "perhop_first_audio_seconds_count") == 1
    assert value(second, "perhop_first_audio_seconds_count") == 0


def test_the_process_itself_is_measured() -> None:
    assert value(Metrics(), "process_resident_memory_bytes") > 0
