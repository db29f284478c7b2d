"""The HTTP application: routes, middleware and error shape around the services it is given."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from perhop import __version__
from perhop.api import call_history, health, incoming, management, realtime, refused, registry, resume, sockets
from perhop.api.errors import ErrorBody, install_error_handlers
from perhop.api.middleware import BodyLimit, Cors, LoopbackGuard, RequestLog
from perhop.api.pages import mount_pages
from perhop.config import Settings
from perhop.telemetry.metrics import Metrics

__all__ = ["create_api"]

_DESCRIPTION = """\
The Realtime API under `/v1/realtime`, with OpenAI's paths and shapes, and Perhop's own API under `/api`.

`GET /v1/realtime` is a WebSocket: send the bearer as a header, or as the subprotocol `openai-insecure-api-key.<key>`.
With `?call_id=rtc_…` it attaches to a live call; `&audio=true` adds the model's audio.
"""


def create_api(
    settings: Settings, metrics: Metrics, *, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]
) -> FastAPI:
    """The application. Its ``lifespan`` puts a :class:`~perhop.api.services.Services` at ``app.state.services``."""
    app = FastAPI(
        title="Perhop",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        responses={"default": {"model": ErrorBody, "description": "Any error: one shape for all."}},
    )
    for router in (
        realtime.router,
        incoming.router,
        sockets.router,
        refused.router,
        call_history.router,
        management.router,
        registry.router,
        resume.router,
        health.router,
    ):
        app.include_router(router)
    mount_pages(app)
    install_error_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.limits.max_body_bytes)
    if not settings.keys:
        app.add_middleware(LoopbackGuard)
    app.add_middleware(Cors, page_origins=settings.tokens.allowed_origins if settings.keys else None)
    app.add_middleware(RequestLog, metrics=metrics)
    return app
