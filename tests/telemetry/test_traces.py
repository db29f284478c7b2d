"""Spans on their way to a collector."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError
from structlog.testing import capture_logs

from perhop.config import TelemetrySettings
from perhop.telemetry.traces import Traces


class Collector:
    """Takes spans over HTTP."""

    def __init__(self, *, elsewhere: str | None = None) -> None:
        self.requests: list[tuple[str | None, bytes]] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                requests.append((self.headers.get("authorization"), body))
                self.send_response(200 if elsewhere is None else 307)
                if elsewhere is not None:
                    self.send_header("Location", elsewhere)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, args=(0.01,))
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


def settings(url: str, **more: object) -> TelemetrySettings:
    return TelemetrySettings.model_validate({"otlp_url": url, **more})


async def test_what_waits_is_sent_at_the_end_with_the_name_of_the_service(collector: Collector) -> None:
    given = settings(collector.url, service_name="desk", otlp_headers={"Authorization": "Bearer x"})
    traces = Traces(given, version="9.9")
    traces.tracer.start_span("call", attributes={"perhop.call_id": "rtc_1"}).end()
    assert collector.requests == []
    await traces.close()
    ((authorization, body),) = collector.requests
    assert authorization == "Bearer x"
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    names = {entry.key: entry.value.string_value for entry in sent.resource.attributes}
    assert (names["service.name"], names["service.version"]) == ("desk", "9.9")
    assert [span.name for scope in sent.scope_spans for span in scope.spans] == ["call"]


async def test_a_collector_that_points_elsewhere_does_not_pass_the_key_on(collector: Collector) -> None:
    pointing = Collector(elsewhere=collector.url)
    thread = threading.Thread(target=pointing.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        traces = Traces(settings(pointing.url, otlp_headers={"api-key": "x"}, timeout_s=1), version="9.9")
        traces.tracer.start_span("call").end()
        await traces.close()
    finally:
        pointing.server.shutdown()
        pointing.server.server_close()
        thread.join()
    assert len(pointing.requests) == 1
    assert collector.requests == []


@pytest.mark.parametrize("secret", ["http://me:hunter2@127.0.0.1/", "http://127.0.0.1/v1/traces?api-key=hunter2"])
def test_an_address_that_holds_a_secret_is_refused_for_it_would_be_logged(secret: str) -> None:
    with pytest.raises(ValidationError, match="otlp_headers"):
        settings(secret)


async def test_of_a_sample_of_nothing_nothing_is_sent(collector: Collector) -> None:
    traces = Traces(settings(collector.url, sample=0), version="9.9")
    traces.tracer.start_span("call").end()
    await traces.close()
    assert collector.requests == []


async def test_all_that_waits_is_sent_at_the_end(collector: Collector) -> None:
    traces = Traces(settings(collector.url), version="9.9")
    for _ in range(1_500):
        traces.tracer.start_span("call").end()
    await traces.close()
    sent = [ExportTraceServiceRequest.FromString(body) for _, body in collector.requests]
    assert sum(len(scope.spans) for one in sent for given in one.resource_spans for scope in given.scope_spans) == 1_500


async def test_a_collector_that_hangs_holds_up_the_end_once_and_not_for_every_batch() -> None:
    others = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as hanging, capture_logs() as logs:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/v1/traces"
        traces = Traces(settings(url, timeout_s=1), version="9.9")
        for _ in range(2_048):
            traces.tracer.start_span("call").end()
        began = time.monotonic()
        await traces.close()
        assert time.monotonic() - began < 2.5
    assert all(thread.daemon for thread in set(threading.enumerate()) - others), "the process could not end"
    assert [log["event"] for log in logs] == ["the last spans were not sent: the collector takes too long"]


async def test_a_collector_that_is_away_holds_up_the_end_no_longer_than_agreed() -> None:
    traces = Traces(settings("http://127.0.0.1:9/v1/traces", timeout_s=0.5), version="9.9")
    for _ in range(5_000):
        traces.tracer.start_span("call").end()
    async with asyncio.timeout(10):
        await traces.close()
