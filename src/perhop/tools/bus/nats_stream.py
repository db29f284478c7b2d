"""The stream in which JetStream keeps the events of calls."""

from __future__ import annotations

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from perhop.config.bus import BusSettings
from perhop.tools.bus.errors import BusDownError
from perhop.tools.bus.seldom import Seldom

__all__ = ["STREAM", "SUBJECTS", "ensure_stream", "forget_kept"]

_log = structlog.get_logger(__name__)

STREAM = "PERHOP_CALLS"
SUBJECTS = ("perhop.calls.*.*.transcript", "perhop.calls.*.*.lifecycle")
"""What is kept. Statistics are not: a missed one is made up for by the next."""

DUPLICATES_S = 600.0
"""How long the same message id is recognised; longer than anybody goes on trying to deliver one message."""

_NAME_IN_USE = 10058


async def ensure_stream(client: Client, settings: BusSettings, seldom: Seldom) -> bool:
    """Creates the stream or brings its limits up to date; whether it is there.

    A server without JetStream is reported, not refused: tools work without it, events wait in the outbox.

    Args:
        seldom: keeps the report from being repeated at every attempt.
    """
    config = StreamConfig(
        name=STREAM,
        subjects=list(SUBJECTS),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=settings.keep_s,
        max_bytes=settings.keep_bytes,
        max_msgs=settings.keep_messages,
        max_msg_size=settings.max_payload_bytes,
        num_replicas=settings.replicas,
        duplicate_window=min(DUPLICATES_S, settings.keep_s),
    )
    manager = client.jsm(timeout=settings.connect_timeout_s)
    try:
        try:
            await manager.add_stream(config)
        except nats.js.errors.BadRequestError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            await manager.update_stream(config)
    except nats.js.errors.APIError as error:
        reason = f"{error.err_code} {error.description}"
    except (nats.errors.Error, TimeoutError, OSError) as error:
        reason = type(error).__name__
    else:
        return True
    if (times := seldom.now("stream")) is not None:
        _log.error("events of calls cannot be kept", stream=STREAM, reason=reason, times=times)
    return False


async def forget_kept(client: Client, subject: str, *, timeout_s: float) -> None:
    """Deletes what the stream has under a subject.

    Raises:
        BusDownError: the server did not do it: it is away, has lost the stream, or its permissions forbid it.
    """
    try:
        done = await client.jsm(timeout=timeout_s).purge_stream(STREAM, subject=subject)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise BusDownError(f"JetStream does not forget: {type(error).__name__}", delivered=True) from None
    if not done:
        raise BusDownError("JetStream does not forget", delivered=True)
