"""The bounds of a remote session, out of its model's settings."""

from __future__ import annotations

from perhop.config.models import UpstreamSettings
from perhop.models.remote import RemoteLimits
from perhop.models.remote_socket import SocketLimits

__all__ = ["limits_of"]


def limits_of(settings: UpstreamSettings) -> RemoteLimits:
    """What a session of this model may take and use."""
    return RemoteLimits(
        batch_ms=settings.batch_ms,
        connect_timeout_s=settings.connect_timeout_s,
        hold_bytes=settings.send_queue_bytes,
        transcription_model=settings.transcription_model,
        extensions=settings.extensions,
        socket=SocketLimits(
            ping_s=settings.ping_s,
            stall_s=settings.stall_s,
            send_queue_bytes=settings.send_queue_bytes,
            max_message_bytes=settings.max_message_bytes,
            handshake_s=settings.connect_timeout_s,
        ),
    )
