"""Health and metrics of a worker process over HTTP."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from perhop.errors import PerhopError
from perhop.workers.sdk.metrics import WorkerMetrics

__all__ = ["HealthServer"]

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Missing = Callable[[], Awaitable[list[str]]]
"""What the worker waits for: names of parts, none when it is ready."""


class HealthServer(uvicorn.Server):
    """``/healthz`` (the process lives), ``/readyz`` (calls are taken; 503 says what is missing), ``/metrics``.

    Args:
        missing: see :data:`Missing`.

    Raises:
        PerhopError: the address is taken.
    """

    def __init__(self, host: str, port: int, *, missing: Missing, metrics: WorkerMetrics) -> None:
        async def healthy(_: Request) -> Response:
            return JSONResponse({"ok": True})

        async def ready(_: Request) -> Response:
            waits_for = await missing()
            return JSONResponse({"ok": not waits_for, "missing": waits_for}, status_code=503 if waits_for else 200)

        async def figures(_: Request) -> Response:
            return Response(metrics.render(), media_type=_CONTENT_TYPE)

        routes = [Route("/healthz", healthy), Route("/readyz", ready), Route("/metrics", figures)]
        app = Starlette(routes=routes)
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
        except OSError as error:
            self._listener.close()
            raise PerhopError(f"health and metrics: {host} port {port} cannot be used: {error.strerror}") from None

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def run_here(self) -> None:
        """Serves in the running event loop until ``should_exit`` is set."""
        await self.serve([self._listener])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the worker's business."""
        yield
