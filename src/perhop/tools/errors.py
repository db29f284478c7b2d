"""What can go wrong with a tool: when it is written, when it is found, when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perhop.errors import PerhopError

__all__ = [
    "InvalidArgumentsError",
    "Problem",
    "ResultTooLargeError",
    "ToolConflictError",
    "ToolDefinitionError",
    "ToolError",
    "ToolLoadError",
    "ToolUnavailableError",
    "UnknownToolError",
]

MAX_PROBLEMS = 8
"""Problems told at once; a model that got more wrong than this is better served by a short answer."""

MAX_FIELD = 64
MAX_PROBLEM = 240


class ToolError(PerhopError):
    """Raise it in a tool to tell the model, and through it the caller, why something cannot be done.

    The message is said aloud or acted upon: a full sentence, free of internals, that names the way out
    (``"That time is taken. Ten in the morning is free."``).
    """


class ResultTooLargeError(PerhopError):
    """A tool did what it does, but what came of it is more than a model should be given.

    The message is for the model; it says how to ask for less.
    """


class ToolUnavailableError(PerhopError):
    """What a tool relies on did not do its part: not reached, overloaded, no answer. Another try may work.

    Args:
        message: for the model; it may be said to the caller.
        sent: False when nothing can have happened, because nothing was sent.
        retry_after_s: when to try again, if somebody said so.
    """

    def __init__(self, message: str, *, sent: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.sent = sent
        self.retry_after_s = retry_after_s


class ToolDefinitionError(PerhopError):
    """Something cannot be a tool as it is written; the message names it, the place and the remedy."""


class ToolLoadError(PerhopError):
    """A ``"module:function"`` reference leads nowhere; the message says where was looked and what is there."""


class ToolConflictError(PerhopError):
    """Two different tools of one tenant carry the same name."""


class UnknownToolError(PerhopError):
    """No tool of this tenant has this name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the arguments of a call.

    Attributes:
        field: the path of the argument (``"guests.0.name"``); empty when it is about the arguments as a whole.
        message: what is wrong, without repeating the value.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidArgumentsError(PerhopError):
    """The arguments of a call are not what the tool takes; nothing was run.

    Attributes:
        problems: at most eight of them, each bounded in length.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        shown = [Problem(_clip(p.field, MAX_FIELD), _clip(p.message, MAX_PROBLEM)) for p in problems[:MAX_PROBLEMS]]
        left = len(problems) - len(shown)
        super().__init__("; ".join(map(str, shown)) + (f"; and {left} more" if left else ""))
        self.problems = tuple(shown)


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
