"""Runs tools for calls: whatever happens, the model gets an answer it can act on."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from perhop.errors import LimitExceededError
from perhop.tools.admission import Admission
from perhop.tools.arguments import parse_arguments
from perhop.tools.base import JsonObject, Tool, ToolContext
from perhop.tools.errors import InvalidArgumentsError, ToolError
from perhop.tools.result import ErrorCode, ToolResult
from perhop.tools.services import ToolServices
from perhop.tools.threads import Threads

__all__ = ["RunnerLimits", "ToolResult", "ToolRunner"]

_log = structlog.get_logger(__name__)

MAX_MESSAGE = 500
"""Characters of a :class:`ToolError` that reach the model."""

_FRAMES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerLimits:
    """Bounds of a :class:`ToolRunner`.

    Attributes:
        running: tools at once in this process; further ones wait within their timeout.
        per_call: tools at once for one call.
        pending_per_call: running and waiting for one call; further ones are refused as ``busy``.
        threads: sync functions at once, those included that outlive their timeout.
        result_bytes: JSON text of a result in UTF-8.
    """

    running: int = 256
    per_call: int = 4
    pending_per_call: int = 16
    threads: int = 32
    result_bytes: int = 65_536


@dataclass(eq=False, slots=True)
class _Run:
    """One call of a tool that was found valid. The first to settle it decides what the model hears."""

    tool: Tool
    values: JsonObject
    context: ToolContext
    outcome: asyncio.Future[ToolResult]
    task: asyncio.Task[None] | None = field(default=None)

    def settle(self, result: ToolResult) -> None:
        if not self.outcome.done():
            self.outcome.set_result(result)

    def stop(self, result: ToolResult) -> None:
        """Answers now and cancels the tool; one that resists goes on unheard, in the place it holds."""
        self.settle(result)
        if self.task is not None:
            self.task.cancel()


class ToolRunner:
    """Runs tools of one process.

    Args:
        limits: bounds; the defaults suit a process with a few hundred calls.
        services: the ways out of this process, for tools that need one.
        new_reference: makes the ids that join what the model is told about a broken tool to the log.
    """

    def __init__(
        self,
        *,
        limits: RunnerLimits | None = None,
        services: ToolServices | None = None,
        new_reference: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self.limits = limits or RunnerLimits()
        self._new_reference = new_reference
        self._services = replace(services or ToolServices(), threads=Threads(self.limits.threads))
        self._admission = Admission(
            total=self.limits.running,
            per_call=self.limits.per_call,
            pending_per_call=self.limits.pending_per_call,
        )
        self._runs: set[_Run] = set()

    @property
    def running(self) -> int:
        """Tools that run or wait for a place."""
        return len(self._runs)

    async def run(self, tool: Tool, arguments_json: str, context: ToolContext) -> ToolResult:
        """Runs ``tool`` with arguments as the model wrote them.

        Raises nothing by itself: wrong arguments, timeouts and whatever the tool raises become a failed result. When
        the awaiting task is cancelled, because the caller hung up, the tool is cancelled too unless it is declared
        ``finish_on_hangup``; then it goes on, within its timeout, and its result is dropped. A sync function that
        already runs in its thread cannot be stopped.
        """
        try:
            values = tool.validate(parse_arguments(arguments_json))
        except InvalidArgumentsError as error:
            return ToolResult.invalid(error)
        except Exception as error:  # noqa: BLE001 - validators are the tool author's code
            return self._broken(tool, context, error)
        loop = asyncio.get_running_loop()
        run = _Run(tool, values, context, loop.create_future())
        run.task = loop.create_task(self._carry_out(run), name=f"tool {tool.name}")
        deadline = loop.call_later(tool.timeout_s, run.stop, _timed_out(tool))
        self._runs.add(run)

        def ended(_: asyncio.Task[None]) -> None:
            deadline.cancel()
            self._runs.discard(run)
            run.settle(_CANCELLED)  # it ended without a word: cancelled before it began, or from within

        run.task.add_done_callback(ended)
        try:
            return await run.outcome
        except asyncio.CancelledError:
            if not tool.finish_on_hangup:
                run.task.cancel()
            raise

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Cancels what runs; those declared ``finish_on_hangup`` first get ``grace_s`` seconds to end."""
        for run in list(self._runs):
            if not run.tool.finish_on_hangup:
                run.stop(_CANCELLED)
        await self._ended(grace_s)
        for run in list(self._runs):
            run.stop(_CANCELLED)
        await self._ended(grace_s)

    async def _ended(self, timeout_s: float) -> None:
        tasks = [run.task for run in self._runs if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _carry_out(self, run: _Run) -> None:
        """Fills the run's outcome; runs in a task of its own, so that a tool may outlive the one who waits for it."""
        try:
            async with self._admission.place(run.context.call_id):
                value = await run.tool.execute(run.values, run.context, services=self._services)
            result = ToolResult.of(value, max_bytes=self.limits.result_bytes)
        except ToolError as error:
            result = ToolResult.failure(ErrorCode.TOOL_FAILED, str(error)[:MAX_MESSAGE] or "It cannot be done.")
        except InvalidArgumentsError as error:
            result = ToolResult.invalid(error)
        except LimitExceededError:
            result = ToolResult.failure(ErrorCode.BUSY, "Too many tools are running for this call. Wait for a result.")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the tool author's code may raise anything
            result = self._broken(run.tool, run.context, error)
        run.settle(result)

    def _broken(self, tool: Tool, context: ToolContext, error: BaseException) -> ToolResult:
        """What went wrong goes to the log by type and place; its message may hold what the caller said."""
        reference = self._new_reference()
        _log.error(
            "tool broke",
            tool=tool.name,
            call_id=context.call_id,
            function_call_id=context.function_call_id,
            reference=reference,
            error=type(error).__qualname__,
            at=_where(error),
        )
        return ToolResult.failure(
            ErrorCode.TOOL_FAILED,
            f"The tool {tool.name} failed. Do not try again; tell the caller (reference {reference}).",
            reference=reference,
        )


_CANCELLED = ToolResult.failure(ErrorCode.CANCELLED, "The call of the tool was cancelled.")


def _timed_out(tool: Tool) -> ToolResult:
    hint = "You may try again." if tool.effect == "none" else "It may still take effect: do not repeat it."
    return ToolResult.failure(ErrorCode.TIMEOUT, f"No answer from {tool.name} within {tool.timeout_s:g} s. {hint}")


def _where(error: BaseException) -> list[str]:
    """The innermost frames, without the lines of code and without values."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
