"""One WebSocket to a model: whole messages in, messages out, and exactly one word on how it was lost."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from perhop.call.legs import EndReason
from perhop.models.remote_loss import Loss, LossError

__all__ = ["SocketLimits", "SocketUser", "UpstreamSocket"]

_log = structlog.get_logger(__name__)

_CLOSE_S = 2.0
"""How long a model may take to read what was sent before it was closed."""

_NEXT_ADDRESS_S = 0.25
"""Before the next address of a host is tried as well (RFC 8305): a broken IPv6 must not use up the time to connect."""

_OVERFLOW = Loss(EndReason.MODEL_FAILED, "model does not read", fatal=False)


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Bounds of one connection; see :class:`~perhop.config.models.UpstreamSettings`."""

    ping_s: float = 5.0
    stall_s: float = 5.0
    send_queue_bytes: int = 32 << 20
    max_message_bytes: int = 16 << 20
    handshake_s: float = 10.0


class SocketUser(Protocol):
    """Who is behind the socket, on our side."""

    def on_message(self, data: bytes) -> None:
        """A whole message."""

    def on_lost(self, loss: Loss) -> None:
        """The connection is over; called at most once, and not after ``close``."""

    @property
    def last_error(self) -> str | None:
        """Code of an ``error`` event that came just now, which explains the close that follows it."""


class UpstreamSocket(WSListener):
    """A live connection. Made by :meth:`connect`."""

    def __init__(self, user: SocketUser, limits: SocketLimits) -> None:
        self._user: SocketUser | None = user
        self._limits = limits
        self._transport: WSTransport | None = None
        self._pieces: bytearray | None = None
        self._handed = 0
        self._full: asyncio.TimerHandle | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        user: SocketUser,
        *,
        headers: Mapping[str, str],
        tls: ssl.SSLContext | None,
        limits: SocketLimits,
    ) -> UpstreamSocket:
        """Opens a connection. Redirects are not followed: they would take the key elsewhere.

        Raises:
            LossError: it could not be made.
        """
        socket = cls(user, limits)
        try:
            await ws_connect(
                lambda: socket,
                url,
                ssl_context=tls,
                websocket_handshake_timeout=limits.handshake_s,
                logger_name=_quiet_logger(),
                enable_auto_ping=True,
                auto_ping_idle_timeout=limits.ping_s,
                auto_ping_reply_timeout=limits.ping_s,
                max_frame_size=limits.max_message_bytes,
                extra_headers=dict(headers),
                max_redirects=0,
                happy_eyeballs_delay=_NEXT_ADDRESS_S,
            )
        except (OSError, WSError) as error:
            raise LossError(Loss.of_exception(error)) from None
        except asyncio.CancelledError:
            socket.close()  # the upgrade may still be answered, or times out; either ends the connection
            raise
        return socket

    def send(self, message: bytes) -> None:
        """Sends one text message; a model that does not read is lost."""
        transport = self._transport
        if transport is None or self._user is None:
            return
        transport.send(WSMsgType.TEXT, message)
        self._handed += len(message)
        if self._full is not None and self._waiting(transport) > self._limits.send_queue_bytes:
            self._lose(_OVERFLOW)

    def close(self) -> None:
        """Says goodbye after what was sent before; nothing is reported afterwards."""
        self._user = None
        self._stop_watching()
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()
        asyncio.get_running_loop().call_later(_CLOSE_S, transport.disconnect, False)

    # -- WSListener ---------------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade was answered."""
        self._transport = transport
        if self._user is None:
            self.close()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame; pieces of a message are put together."""
        user = self._user
        if user is None:
            return
        kind = frame.msg_type
        if self._pieces is None and frame.fin and (kind is WSMsgType.TEXT or kind is WSMsgType.BINARY):
            self._deliver(user, frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._assemble(user, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone."""
        closing = transport.close_handshake
        said = closing.recv if closing is not None else None
        error = self._user.last_error if self._user is not None else None
        code, reason = (_number(said.code), said.reason or "") if said is not None else (None, "")
        self._lose(Loss.of_close(code, reason, error=error))

    def pause_writing(self) -> None:
        """Messages wait: from now on it has to read something now and then."""
        if self._transport is not None and self._full is None:
            self._watch(self._transport)

    def resume_writing(self) -> None:
        """It has read what was waiting."""
        self._stop_watching()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _deliver(self, user: SocketUser, data: bytes) -> None:
        try:
            user.on_message(data)
        except Exception as error:  # noqa: BLE001 - the library would log what it says, and that may be a payload
            _log.error("a model's message could not be handled", exc_info=error)
            self._lose(Loss(EndReason.MODEL_FAILED, "internal error", fatal=False))

    def _assemble(self, user: SocketUser, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.CONTINUATION:
            self._pieces = bytearray()
        pieces = self._pieces
        if pieces is None:
            return
        pieces += frame.get_payload_as_memoryview()
        if len(pieces) > self._limits.max_message_bytes:
            self._lose(Loss(EndReason.MODEL_FAILED, "message too large", fatal=False))
        elif frame.fin:
            self._pieces = None
            self._deliver(user, bytes(pieces))

    def _watch(self, transport: WSTransport) -> None:
        read = self._handed - self._waiting(transport)
        self._full = asyncio.get_running_loop().call_later(self._limits.stall_s, self._look_again, transport, read)

    def _look_again(self, transport: WSTransport, read_before: int) -> None:
        if self._handed - self._waiting(transport) > read_before:
            self._watch(transport)
        else:
            self._lose(_OVERFLOW)

    def _stop_watching(self) -> None:
        if self._full is not None:
            self._full.cancel()
            self._full = None

    @staticmethod
    def _waiting(transport: WSTransport) -> int:
        return transport.underlying_transport.get_write_buffer_size()

    def _lose(self, loss: Loss) -> None:
        user, self._user = self._user, None
        self._stop_watching()
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.disconnect(graceful=False)
        if user is not None:
            user.on_lost(loss)


def _number(code: WSCloseCode | int) -> int:
    return code if isinstance(code, int) else int(code.value)


def _quiet_logger() -> logging.Logger:
    """The library's own log lines could show headers and payloads; only its errors are let through."""
    logger = logging.getLogger("picows.upstream")
    logger.setLevel(logging.ERROR)
    return logger
