"""What one process or one caller may use at most."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perhop.config.table import Table

__all__ = ["LimitSettings"]


class LimitSettings(Table):
    """``[limits]``: what one process or one caller may use at most.

    Attributes:
        max_calls: live calls; a further one gets 503.
        max_call_s: length of a call, which its session's ``expires_at`` shows; then ``session_expired`` and close 1001.
        resume_window_s: how long a call waits for a caller whose connection was lost, without a model session; 0 for
            not at all. It counts among ``max_calls`` meanwhile.
        max_message_bytes: one WebSocket message; the default holds an append of 15 MiB of audio.
        max_body_bytes: one HTTP request body that is not an SDP offer.
        max_sdp_bytes: one SDP offer.
        audio_backlog_s: how far a WebSocket caller's audio may run ahead of real time.
        messages_per_s: WebSocket messages read a second, after a burst of ``message_burst``; the rest waits in the
            client's own socket.
        send_queue_bytes: what may wait for a WebSocket caller who does not read; beyond it the call is closed.
        calls_per_minute: calls that one client address may start or begin to control.
        responses_per_minute: responses that one call may have of the built-in model; see ``rate_limits.updated``.
        tokens_per_minute: tokens that one call may use of the built-in model.
        request_s: from the connection, or the first byte of a further request, to the end of that request.
        ping_s: how often a WebSocket is pinged, and how long the answer, or anything else, may take; a client that is
            gone without a word is noticed within three times that.
    """

    max_calls: Annotated[int, Field(ge=1)] = 500
    max_call_s: Annotated[int, Field(ge=1, le=86_400)] = 1800
    resume_window_s: Annotated[float, Field(ge=0, le=3600)] = 60.0
    max_message_bytes: Annotated[int, Field(ge=4096, le=64 << 20)] = 21 << 20
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 1 << 20
    max_sdp_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 64 << 10
    audio_backlog_s: Annotated[float, Field(ge=1, le=3600)] = 600.0
    messages_per_s: Annotated[float, Field(gt=0)] = 500.0
    message_burst: Annotated[int, Field(ge=1)] = 20_000
    send_queue_bytes: Annotated[int, Field(ge=65_536)] = 16 << 20
    calls_per_minute: Annotated[int, Field(ge=1)] = 6000
    responses_per_minute: Annotated[int, Field(ge=1)] = 2_000
    tokens_per_minute: Annotated[int, Field(ge=1)] = 4_000_000
    request_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    ping_s: Annotated[float, Field(gt=0, le=300)] = 3.0
