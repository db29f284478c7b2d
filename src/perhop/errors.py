"""The root of the exception tree: everything Perhop raises on purpose derives from :class:`PerhopError`."""

from __future__ import annotations

__all__ = ["LimitExceededError", "PerhopError"]


class PerhopError(Exception):
    """Base of all errors raised by Perhop; ``str(error)`` says what was wrong, where, and what to do."""


class LimitExceededError(PerhopError):
    """A documented limit (queue, message, rate, duration) was reached; the operation had no effect."""
