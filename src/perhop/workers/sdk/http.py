"""HTTP inside a worker process: health and metrics, and what workers add of their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from perhop.errors import PerhopError
from perhop.workers.sdk.metrics import WorkerMetrics

__all__ = ["HealthServer", "LocalServer"]

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Missing = Callable[[], Awaitable[list[str]]]
"""What the worker waits for: names of parts, none when it is ready."""


class LocalServer(uvicorn.Server):
    """A small HTTP server inside a worker; signals are the worker's business.

    Args:
        what: it is for; in messages.

    Raises:
        PerhopError: the address is taken.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, *, what: str) -> None:
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
            raise PerhopError(f"{what}: {host} port {port} cannot be used: {error.strerror}") from None

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def run_here(self) -> None:
        """Serves in the running event loop until ``should_exit`` is set."""
        await self.serve([self._listener])

    async def run_until_cancelled(self) -> None:
        """The same for a worker's background: cancelled, it ends what it is answering first."""
        serving = asyncio.ensure_future(self.run_here())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.should_exit = True
            await asyncio.wait([serving], timeout=2)
            raise

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the worker's business."""
        yield


class HealthServer(LocalServer):
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
        super().__init__(Starlette(routes=routes), host, port, what="health and metrics")
