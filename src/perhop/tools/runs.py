"""One call of a tool on its way to an answer, and what the model is told when there is none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from perhop.tools.base import JsonObject, Tool, ToolContext
from perhop.tools.effects.ledger import EffectState
from perhop.tools.effects.twins import Once
from perhop.tools.errors import ToolUnavailableError
from perhop.tools.result import ErrorCode, ToolResult

__all__ = ["CANCELLED", "NOT_RECORDED", "NO_ID", "Run", "earlier", "timed_out", "unavailable"]


@dataclass(eq=False, slots=True)
class Run:
    """One call of a tool that was found valid. The first to settle it decides what the model hears.

    Attributes:
        arguments: as JSON gave them.
        values: as the tool takes them.
        once: what identifies its effect; None without one.
        waiting: how many wait for the outcome.
        sent: it was begun, so from now on something may have happened.
        state: what became of its effect, as far as it is known.
    """

    tool: Tool
    arguments: JsonObject
    values: JsonObject
    context: ToolContext
    outcome: asyncio.Future[ToolResult]
    once: Once | None = None
    task: asyncio.Task[None] | None = field(default=None)
    waiting: int = 0
    sent: bool = False
    state: EffectState | None = None

    def settle(self, result: ToolResult) -> None:
        """The answer, unless there is one already."""
        if not self.outcome.done():
            self.outcome.set_result(result)

    def stop(self, result: ToolResult) -> None:
        """Answers now and cancels the tool; one that resists goes on unheard, in the place it holds."""
        self.settle(result)
        if self.task is not None:
            self.task.cancel()

    async def join(self) -> ToolResult:
        """Waits for the outcome. When the last who waits is cancelled, because the caller hung up, the tool is
        cancelled too unless it has to finish."""
        self.waiting += 1
        try:
            return await asyncio.shield(self.outcome)
        except asyncio.CancelledError:
            if self.waiting == 1 and not self.tool.finish_on_hangup and self.task is not None:
                self.task.cancel()
            raise
        finally:
            self.waiting -= 1


CANCELLED = ToolResult.failure(ErrorCode.CANCELLED, "The call of the tool was cancelled.")

NO_ID = ToolResult.failure(
    ErrorCode.TOOL_FAILED,
    "Nothing was done: what changes something needs a function call id of 1 to 200 printable characters.",
)

NOT_RECORDED = ToolResult.failure(
    ErrorCode.UNAVAILABLE,
    "Nothing was done: it cannot be recorded at the moment, and without a record nothing is. You may try again later.",
)


def timed_out(run: Run) -> ToolResult:
    """No answer within the tool's time."""
    if not run.sent or run.tool.effect == "none":
        hint = "You may try again."
    else:
        hint = "It may still take effect: do not repeat it."
    message = f"No answer from {run.tool.name} within {run.tool.timeout_s:g} s. {hint}"
    return ToolResult.failure(ErrorCode.TIMEOUT, message)


def unavailable(run: Run, error: ToolUnavailableError) -> ToolResult:
    """What the tool relies on did not do its part, however often it was tried."""
    if run.tool.effect == "none" or not error.sent:
        return ToolResult.failure(ErrorCode.UNAVAILABLE, f"{error} You may try again later.")
    return ToolResult.failure(
        ErrorCode.UNKNOWN_OUTCOME,
        f"{error} It may have been done or not: do not repeat it, and tell the caller that it is uncertain.",
    )


def earlier(state: EffectState) -> ToolResult:
    """The same function call was recorded before, and its answer is not at hand any more."""
    match state:
        case EffectState.DONE:
            note = "This was done before, once; it was not done again. What it answered is not known any more."
            return ToolResult.of({"done": True, "note": note}, max_bytes=1_000)
        case EffectState.REFUSED:
            return ToolResult.failure(ErrorCode.TOOL_FAILED, "This was tried before and refused; it was not repeated.")
        case _:
            message = "This was begun before, and what became of it is not known; it was not repeated."
            return ToolResult.failure(ErrorCode.UNKNOWN_OUTCOME, message)
