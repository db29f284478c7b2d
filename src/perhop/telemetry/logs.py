"""Structured logs: one line an event on stderr, from our own code and from the libraries below it.

No payload gets into a log, by construction: fields that could carry one are dropped by name, and an exception is logged
as its type and stack. Its message is shown only for errors of our own, which never repeat what a peer sent.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from perhop.config import LogSettings
from perhop.errors import PerhopError

__all__ = ["configure_logging", "drop_payloads", "format_exception"]

_PAYLOAD_FIELDS = frozenset(
    {
        "arguments",
        "audio",
        "authorization",
        "body",
        "client_secret",
        "headers",
        "instructions",
        "key",
        "output",
        "password",
        "payload",
        "query",
        "sdp",
        "secret",
        "session",
        "text",
        "token",
        "transcript",
        "url",
    }
)
_QUIET_LIBRARIES = (
    "alembic",
    "asyncio",
    "uvicorn",
    "uvicorn.error",
    "httpcore",
    "opentelemetry",
    "urllib3",
    "httpcore2",
    "httpx",
    "httpx2",
    "mcp",
    "websockets",
    "aiortc",
    "aioice",
    "multipart",
    "python_multipart",
)


def configure_logging(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Sends structlog and the standard library's logging through one pipeline.

    Args:
        stream: where lines go; stderr when unset. ``format = "auto"`` writes colours to a terminal and JSON elsewhere.
    """
    out = stream if stream is not None else sys.stderr
    pretty = settings.format == "console" or (settings.format == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_payloads,
        _exceptions_as_text,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Processor
    if pretty:
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty())
    else:
        renderer = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(out)
    handler.addFilter(_no_rendered_tracebacks)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET_LIBRARIES:
        # Below warning these write frames, headers or whole messages.
        logging.getLogger(name).setLevel(logging.WARNING)


def drop_payloads(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Takes out every field whose name says that it could hold what was said, sent or kept secret."""
    for name in _PAYLOAD_FIELDS & event.keys():
        del event[name]
    return event


def format_exception(error: BaseException, tb: TracebackType | None) -> str:
    """Stack and type of an exception and of what caused it, without the messages of foreign ones."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = f"{format_exception(cause, cause.__traceback__)}\n\nthen:\n" if cause is not None else ""
    stack = "".join(traceback.format_tb(tb))
    message = f": {error}" if isinstance(error, PerhopError) else ""
    return f"{before}{stack}{type(error).__qualname__}{message}"


def _no_rendered_tracebacks(record: logging.LogRecord) -> bool:
    """ASGI hands a failed start-up to the server as text, messages included; whoever serves shows the error itself."""
    return not str(record.msg).startswith("Traceback (most recent call last)")


def _exceptions_as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    info: ExcInfo | bool | BaseException | None = event.pop("exc_info", None)
    if info is True:
        current = sys.exc_info()
        error, tb = current[1], current[2]
    elif isinstance(info, BaseException):
        error, tb = info, info.__traceback__
    elif isinstance(info, tuple):
        error, tb = info[1], info[2]
    else:
        return event
    if error is not None:
        event["exception"] = format_exception(error, tb)
    return event
