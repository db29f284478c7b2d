"""Traces by OpenTelemetry: where spans go. The packages are an extra: ``pip install 'perhop[telemetry]'``."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from perhop.config import TelemetrySettings

__all__ = ["Traces"]

_log = structlog.get_logger(__name__)

_MAX_EVENTS = 1_000
"""Of one span; a call that has more errors than that shows the last ones."""


class Traces:
    """Spans of this process, sent in batches by a thread of their own; what cannot be sent is dropped, not waited for.

    Args:
        version: of Perhop.
        exporter: instead of OTLP, for tests.
    """

    def __init__(self, settings: TelemetrySettings, *, version: str, exporter: SpanExporter | None = None) -> None:
        if exporter is None:
            exporter = OTLPSpanExporter(
                endpoint=str(settings.otlp_url),
                headers={name: value.get_secret_value() for name, value in settings.otlp_headers.items()},
                timeout=settings.timeout_s,
            )
        self._timeout_s = settings.timeout_s
        self._exporter = exporter
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample)),
            resource=Resource.create({SERVICE_NAME: settings.service_name, SERVICE_VERSION: version}),
            span_limits=SpanLimits(max_events=_MAX_EVENTS),
            # Ends with the application, not with the interpreter.
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=settings.queue,
                max_export_batch_size=min(512, settings.queue),
                export_timeout_millis=settings.timeout_s * 1e3,
            )
        )

    @property
    def tracer(self) -> Tracer:
        """What makes spans."""
        return self._provider.get_tracer("perhop")

    async def close(self) -> None:
        """Sends what waits, all of it for as long as one request may take; what is left then is dropped."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop ended meanwhile: nobody waits
                loop.call_soon_threadsafe(over.set)

        # It takes the time of a request for each batch, whatever it is told. A thread of asyncio's would be waited for
        # at the end of the process; this one is not.
        threading.Thread(target=send, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout_s):
                await over.wait()
        except TimeoutError:
            _log.warning("the last spans were not sent: the collector takes too long", seconds=self._timeout_s)
            self._exporter.shutdown()  # no further batch is begun
