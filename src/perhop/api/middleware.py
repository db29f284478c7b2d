"""What every request passes, outermost first: metrics, CORS, the loopback guard, the body limit. Plain ASGI."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from perhop.api.addresses import is_loopback_host, is_loopback_origin
from perhop.api.errors import ApiError, error_response
from perhop.telemetry.metrics import Metrics

__all__ = ["BodyLimit", "Cors", "LoopbackGuard", "RequestLog"]

_log = structlog.get_logger(__name__)

_PAGE_PATHS = frozenset({"/api/realtime/token", "/api/config", "/api/agents"})
"""Read by pages without a key: which pages may do that is a matter of configuration."""

_QUIET_PATHS = ("/healthz", "/readyz", "/metrics")


class RequestLog:
    """Counts and logs requests: route template, status and time, never a query string, header or body."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        scope.setdefault("state", {})
        try:
            await self.app(scope, receive, send_noting_status)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            seconds = time.perf_counter() - began
            # Methods are free text on the wire; as a label they must be one of a few.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.request(route=route, method=method, status=status, seconds=seconds)
            code = scope["state"].get("error_code")
            if code is not None:
                self._metrics.refused(code)
            log = _log.info if status >= 400 else _log.debug
            if scope["path"] not in _QUIET_PATHS:
                log("request", route=route, method=method, status=status, code=code, ms=round(seconds * 1e3, 1))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Cors:
    """Lets pages of any origin talk to the API: it is guarded by bearers, not by cookies.

    The exceptions are the paths that pages read without a key: those carry the header for configured origins only.

    Args:
        page_origins: origins that may read those; None for all that got past the loopback guard.
    """

    def __init__(self, app: ASGIApp, page_origins: Sequence[str] | None) -> None:
        self.app = app
        self._page_origins = page_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        allowed = self._allowed_origin(scope["path"], origin)

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                if allowed is not None:
                    out["Access-Control-Allow-Origin"] = allowed
                    out["Access-Control-Expose-Headers"] = "Location, Retry-After, Perhop-Call, Perhop-Resume"
                if allowed != "*":
                    out.add_vary_header("Origin")
            await send(message)

        if scope["method"] == "OPTIONS":
            preflight = Response(status_code=204)
            if allowed is not None:
                preflight.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
                preflight.headers["Access-Control-Allow-Headers"] = (
                    "authorization, content-type, x-openai-agents-sdk, openai-beta"
                )
                preflight.headers["Access-Control-Max-Age"] = "600"
            await preflight(scope, receive, send_with_cors)
            return
        await self.app(scope, receive, send_with_cors)

    def _allowed_origin(self, path: str, origin: str | None) -> str | None:
        if path == "/metrics":
            return None
        if path not in _PAGE_PATHS or self._page_origins is None:
            return "*"
        if origin is not None and (origin in self._page_origins or "*" in self._page_origins):
            return origin
        return None


class LoopbackGuard:
    """Without keys anybody on this machine may do everything, so no page from elsewhere may make a browser on this
    machine do it: neither across origins nor by a name that was re-bound to 127.0.0.1."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(error_response(refusal))
        else:
            scope.setdefault("state", {})["error_code"] = refusal.code
            await error_response(refusal)(scope, receive, send)

    @staticmethod
    def _refusal(headers: Headers) -> ApiError | None:
        remedy = (
            "Perhop runs without API keys and serves this machine only; configure keys ('perhop keys new') to open it."
        )
        host = headers.get("host")
        if host is not None and not is_loopback_host(host):
            return ApiError(403, "host_not_allowed", f"The Host header does not name this machine. {remedy}")
        origin = headers.get("origin")
        if origin is not None:
            if not is_loopback_origin(origin):
                return ApiError(403, "origin_not_allowed", f"The page's origin is not this machine. {remedy}")
        elif headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return ApiError(403, "origin_not_allowed", f"A page from elsewhere may not load this. {remedy}")
        return None


class BodyLimit:
    """Refuses request bodies over a limit: by their announced length before anything is read, else while reading."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > self._max_bytes:
            refusal = self._too_large()
            scope.setdefault("state", {})["error_code"] = refusal.code
            await error_response(refusal)(scope, receive, send)
            return
        received = 0
        started = False

        async def receive_counting() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    raise _BodyTooLargeError
            return message

        async def send_noting_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive_counting, send_noting_start)
        except _BodyTooLargeError:
            if started:
                raise
            await error_response(self._too_large())(scope, receive, send)

    def _too_large(self) -> ApiError:
        return ApiError(413, "request_too_large", f"The request body is over the limit of {self._max_bytes} bytes.")


class _BodyTooLargeError(BaseException):
    """Travels from ``receive`` up through whatever reads the body; no handler on the way may take it for its own."""
