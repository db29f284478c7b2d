"""What a tool's run comes to: JSON text that goes to the model as the output of its function call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from perhop.tools.errors import InvalidArgumentsError

__all__ = ["ErrorCode", "ToolResult"]


class ErrorCode(StrEnum):
    """Why a call of a tool has no result; the model sees it as ``error.code``."""

    INVALID_ARGUMENTS = "invalid_arguments"
    """Nothing was run; ``error.fields`` says what is wrong with which argument."""

    UNKNOWN_TOOL = "unknown_tool"
    """Nothing was run."""

    BUSY = "busy"
    """Nothing was run: too many calls are waiting already."""

    TIMEOUT = "timeout"
    """No answer in time; a tool with an effect may have had it."""

    UNAVAILABLE = "unavailable"
    """Certainly nothing happened: what the tool relies on is away. It may work later."""

    UNKNOWN_OUTCOME = "unknown_outcome"
    """It may have happened; nobody knows, and it is not tried again."""

    DUPLICATE_CALL = "duplicate_call"
    """Nothing was run: another function call of this call had the same id."""

    TOOL_FAILED = "tool_failed"
    """The tool says why (:class:`~perhop.tools.errors.ToolError`), or broke; then the log has the reference."""

    RESULT_TOO_LARGE = "result_too_large"
    """It ran, but what it returned is more than a model should be given."""

    CANCELLED = "cancelled"
    """Stopped before it answered."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The outcome of one function call.

    Attributes:
        output: JSON text; for a failure ``{"error": {"code": …, "message": …}}``.
        code: set exactly when ``ok`` is False.
    """

    output: str
    ok: bool = True
    code: str | None = None

    @classmethod
    def of(cls, value: object, *, max_bytes: int) -> ToolResult:
        """The result of a tool that returned ``value``, or a failure if that is too large.

        Raises:
            ValueError: JSON cannot express it.
        """
        try:
            text = to_json(value, inf_nan_mode="null")
        except (PydanticSerializationError, RecursionError) as error:
            raise ValueError(f"a {type(value).__name__} that JSON cannot express") from error
        if len(text) > max_bytes:
            return cls.failure(
                ErrorCode.RESULT_TOO_LARGE,
                f"The result has {len(text)} bytes, the limit is {max_bytes}. Ask for less, or for something narrower.",
            )
        return cls(text.decode())

    @classmethod
    def failure(cls, code: ErrorCode, message: str, **details: Any) -> ToolResult:
        """A typed error that the model can act on.

        Args:
            code: why.
            message: for the model; it may say it to the caller.
            details: further members of the error object.
        """
        error = {"code": code.value, "message": message, **details}
        return cls(to_json({"error": error}, inf_nan_mode="null").decode(), ok=False, code=code.value)

    @classmethod
    def invalid(cls, error: InvalidArgumentsError) -> ToolResult:
        """Arguments that do not fit."""
        fields = {problem.field: problem.message for problem in error.problems if problem.field}
        return cls.failure(ErrorCode.INVALID_ARGUMENTS, str(error), **({"fields": fields} if fields else {}))

    @classmethod
    def unknown(cls, name: str, known: Iterable[str]) -> ToolResult:
        """A name that no tool has."""
        names = ", ".join(known) or "none"
        return cls.failure(ErrorCode.UNKNOWN_TOOL, f"There is no tool {name[:64]!r}. Tools: {names}.")
