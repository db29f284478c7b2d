"""What log lines of a call have in common: ``call_id``, ``tenant``, ``agent``.

The context is a context variable: tasks, timers and connections that are begun within :func:`log_context` keep it for
as long as they live, and so does what they begin. What serves many calls at once (a UDP port, a pacer) has none; there
a part that belongs to one call keeps a logger with :func:`with_context`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import FilteringBoundLogger

__all__ = ["keep_log_context", "log_context", "with_context"]


@contextmanager
def log_context(**names: str | None) -> Iterator[None]:
    """Everything that is logged or begun in here carries these names; None is left out."""
    with structlog.contextvars.bound_contextvars(**_given(names)):
        yield


def keep_log_context(**names: str | None) -> None:
    """The same for the rest of the task that asks; None is left out."""
    structlog.contextvars.bind_contextvars(**_given(names))


def with_context(logger: FilteringBoundLogger) -> FilteringBoundLogger:
    """This logger with the names that are in force now, wherever it is used later."""
    return logger.bind(**structlog.contextvars.get_contextvars())


def _given(names: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in names.items() if value is not None}
