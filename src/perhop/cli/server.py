"""Perhop on a socket: uvicorn with our limits, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Generator
from types import FrameType
from typing import TYPE_CHECKING

import structlog
import uvicorn

from perhop.cli.protocols import BoundedHttp, BoundedWebSocket
from perhop.config import ConfigError, Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from perhop.api.services import Services

__all__ = ["PerhopServer", "open_server"]

_log = structlog.get_logger(__name__)

_MESSAGE_MARGIN = 1 << 20
"""Above the limit at which we answer with an ``error``: only what is larger still makes uvicorn end the connection."""

_STUCK_PEER_MS = 30_000
_POLL_S = 0.05
_FLUSH_S = 2.0


def _news(record: logging.LogRecord) -> bool:
    """Passes over uvicorn's remark that the start failed: why is told by the error that follows it."""
    return not record.getMessage().startswith("Application startup failed")


class PerhopServer(uvicorn.Server):
    """One process serving calls.

    Args:
        app: made by :func:`perhop.app.create_app`.
        listener: bound already.
        on_started: called with the base URL once calls are taken.
        signals: end on SIGINT and SIGTERM; off inside another program. The first one drains: no new calls, the live
            ones go on for ``server.drain_s`` at most; a second one ends them at once. The process ends with 0.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        app: FastAPI,
        settings: Settings,
        listener: socket.socket,
        on_started: Callable[[str], None],
        signals: bool = True,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._settings = settings
        self._listener = listener
        self._on_started = on_started
        self._signals = signals
        self._hurry = False

    @property
    def url(self) -> str:
        """The base URL, as this machine reaches it."""
        host, port = self._listener.getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"{'https' if self.config.is_ssl else 'http'}://{shown}:{port}"

    def run_until_stopped(self) -> None:
        """Serves until a signal, in an event loop of its own.

        Raises:
            ConfigError: a part could not be started.
        """
        try:
            self.run([self._listener])
        except KeyboardInterrupt:
            return
        finally:
            self._raise_startup_error()

    async def serve_here(self) -> None:
        """Serves in the running event loop until ``should_exit`` is set."""
        try:
            await self.serve([self._listener])
        finally:
            self._raise_startup_error()

    async def ready(self) -> None:
        """Returns once calls are taken; the server runs already."""
        await _until(lambda: not self._app.state.services.missing(), timeout_s=None)

    def _raise_startup_error(self) -> None:
        error = getattr(self._app.state, "startup_error", None)
        if error is not None:
            raise error

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, then listens, then says so."""
        await super().startup(sockets)
        if self.started:
            self._on_started(self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no new calls, lets those that live go on for a while, ends them properly, then closes connections."""
        services: Services | None = getattr(self._app.state, "services", None)
        if services is not None:
            services.calls.drain()
            services.draining = True
            drain_s = self._settings.server.drain_s
            _log.info("draining", live=len(services.calls.live()), drain_s=drain_s)
            await _until(lambda: self._hurry or not services.calls.live(), timeout_s=drain_s)
            services.calls.close()
            # Close frames and last events are written by each connection's own task: let them finish.
            await _until(lambda: not self.server_state.tasks, timeout_s=_FLUSH_S)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        """The first signal begins the end; any further one ends the wait for live calls.

        uvicorn's own would raise the signal again at the end, and make an orderly end look like a death by signal.
        """
        self._hurry = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the business of whoever owns the process."""
        if not self._signals:
            yield
            return
        with super().capture_signals():
            yield


async def _until(condition: Callable[[], bool], *, timeout_s: float | None) -> None:
    """Returns once the condition holds, or the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            # What is waited for are plain collections of uvicorn's and states of engines: nothing announces a change.
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)


def open_server(
    settings: Settings,
    *,
    app: FastAPI | None = None,
    on_started: Callable[[str], None] = lambda _: None,
    signals: bool = True,
) -> PerhopServer:
    """Binds the port and puts Perhop behind it; nothing is served yet.

    Args:
        app: what to serve; made of the settings when unset.
        on_started: called with the base URL once calls are taken.
        signals: end on SIGINT and SIGTERM; off inside another program.

    Raises:
        ConfigError: the address cannot be bound, or the settings do not work together.
        PerhopError: an agent's tool cannot be loaded.
    """
    if app is None:
        from perhop.app import create_app

        app = create_app(settings)
    server = settings.server
    config = uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "auto",
        http=type("Http", (BoundedHttp,), {"request_s": settings.limits.request_s}),
        # Flow control in both directions, and no task of its own per connection.
        ws=BoundedWebSocket,
        ws_max_size=settings.limits.max_message_bytes + _MESSAGE_MARGIN,
        ws_ping_interval=settings.limits.ping_s,
        ws_ping_timeout=settings.limits.ping_s,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        # X-Forwarded-For is ours to judge: uvicorn's switch trusts by host name and rewrites the peer.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        ssl_certfile=server.tls_cert,
        ssl_keyfile=server.tls_key,
    )
    for setting, file in (("tls_cert", server.tls_cert), ("tls_key", server.tls_key)):
        if file is not None and not file.is_file():
            raise ConfigError(f"server.{setting}: there is no file {file}")
    logging.getLogger("uvicorn.error").addFilter(_news)
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise ConfigError(f"server.tls_cert and server.tls_key cannot be used: {error}") from None
    return PerhopServer(
        config,
        app=app,
        settings=settings,
        listener=_bind(server.host, server.port),
        on_started=on_started,
        signals=signals,
    )


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"server.host {host!r} is no address of this machine: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted sockets inherit it: a peer that stops reading for good cannot keep a closed connection alive.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_PEER_MS)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} on {host} cannot be opened ({error.strerror}); is Perhop running already? "
            "Another port: --port 8081, or --port 0 for any"
        ) from None
    listener.set_inheritable(False)
    return listener
