"""Runs tools for calls: whatever happens, the model gets an answer it can act on."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from perhop.errors import LimitExceededError
from perhop.tools.admission import Admission
from perhop.tools.arguments import parse_arguments
from perhop.tools.base import JsonObject, Tool, ToolContext
from perhop.tools.effects.ledger import EffectLedger, EffectRecord, EffectsDownError, EffectState, MemoryLedger
from perhop.tools.effects.twins import Once, Twins
from perhop.tools.errors import InvalidArgumentsError, ResultTooLargeError, ToolError, ToolUnavailableError
from perhop.tools.result import ErrorCode, ToolResult
from perhop.tools.retry import Backoff
from perhop.tools.runs import CANCELLED, NO_ID, NOT_RECORDED, Run, earlier, timed_out, unavailable
from perhop.tools.services import ToolServices
from perhop.tools.threads import Threads

__all__ = ["RunnerLimits", "ToolResult", "ToolRunner"]

_log = structlog.get_logger(__name__)

MAX_MESSAGE = 500
"""Characters of a :class:`ToolError` that reach the model."""

MAX_ID = 200
"""Characters of a function call's id."""

RECORD_GRACE_S = 5.0
"""After a tool's time, before its record counts as left open by a process that died."""

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


class ToolRunner:
    """Runs tools of one process.

    Args:
        limits: bounds; the defaults suit a process with a few hundred calls.
        services: the ways out of this process, for tools that need one.
        effects: where effects are recorded; lost with the process unless given.
        unknown: told the tool of every effect of which nobody will know whether it happened.
        wall: Unix time, s.
        new_reference: makes the ids that join what the model is told about a broken tool to the log.
    """

    def __init__(
        self,
        *,
        limits: RunnerLimits | None = None,
        services: ToolServices | None = None,
        effects: EffectLedger | None = None,
        unknown: Callable[[str], None] = lambda _: None,
        backoff: Backoff | None = None,
        wall: Callable[[], float] = time.time,
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
        self._effects = effects or MemoryLedger()
        self._unknown = unknown
        self._backoff = backoff or Backoff()
        self._wall = wall
        self._twins: Twins[Run, ToolResult] = Twins()
        self._runs: set[Run] = set()

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
            arguments = parse_arguments(arguments_json)
            values = tool.validate(arguments)
        except InvalidArgumentsError as error:
            return ToolResult.invalid(error)
        except Exception as error:  # noqa: BLE001 - validators are the tool author's code
            return self._broken(tool, context, error)
        if tool.effect == "once" and not _identifies(context.function_call_id):
            return NO_ID
        once = Once.of(tool, arguments, context) if tool.effect == "once" else None
        if once is not None and (answer := self._clash(once) or self._twins.answer(once)) is not None:
            return answer
        run = self._twins.running(once) if once is not None else None
        return await (run or self._begin(tool, arguments, values, context, once)).join()

    async def settle_later(self, tool: Tool, record: EffectRecord) -> EffectState | None:
        """Asks an idempotent tool once more, with the key it was asked with before the process ended.

        Returns:
            What became of the effect; None when it cannot be known yet.
        """
        if not tool.idempotent or record.arguments is None:
            return EffectState.UNKNOWN
        try:
            arguments = parse_arguments(record.arguments)
            run = Run(
                tool, arguments, tool.validate(arguments), record.context, asyncio.get_running_loop().create_future()
            )
            async with asyncio.timeout(tool.timeout_s):
                await self._attempt(run)
        except ResultTooLargeError:
            return EffectState.DONE
        except (ToolError, InvalidArgumentsError):
            return EffectState.REFUSED
        except (ToolUnavailableError, TimeoutError):
            return None
        except Exception as error:  # noqa: BLE001 - the tool author's code may raise anything
            self._broken(tool, record.context, error)
            return EffectState.UNKNOWN
        return EffectState.DONE

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Cancels what runs; those declared ``finish_on_hangup`` first get ``grace_s`` seconds to end."""
        for run in list(self._runs):
            if not run.tool.finish_on_hangup:
                run.stop(CANCELLED)
        await self._ended(grace_s)
        for run in list(self._runs):
            run.stop(CANCELLED)
        await self._ended(grace_s)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _clash(self, once: Once) -> ToolResult | None:
        """Two calls of one id cannot be told apart later, so the second is not begun."""
        if not self._twins.clashes(once):
            return None
        message = "Another function call had the same id; nothing was done. Call the function again."
        return ToolResult.failure(ErrorCode.DUPLICATE_CALL, message)

    def _begin(
        self, tool: Tool, arguments: JsonObject, values: JsonObject, context: ToolContext, once: Once | None
    ) -> Run:
        loop = asyncio.get_running_loop()
        run = Run(tool, arguments, values, context, loop.create_future(), once)
        run.task = loop.create_task(self._carry_out(run), name=f"tool {tool.name}")
        deadline = loop.call_later(tool.timeout_s, lambda: run.stop(timed_out(run)))
        self._runs.add(run)
        if once is not None:
            self._twins.begin(once, run)
            run.outcome.add_done_callback(lambda outcome: self._twins.end(once, outcome.result()))

        def ended(_: asyncio.Task[None]) -> None:
            deadline.cancel()
            self._runs.discard(run)
            run.settle(CANCELLED)  # it ended without a word: cancelled before it began, or from within
            self._note(run)

        run.task.add_done_callback(ended)
        return run

    async def _ended(self, timeout_s: float) -> None:
        tasks = [run.task for run in self._runs if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _carry_out(self, run: Run) -> None:
        """Fills the run's outcome; runs in a task of its own, so that a tool may outlive the one who waits for it."""
        try:
            async with self._admission.place(run.context.call_id, run.tool):
                if run.once is not None and (known := await self._record(run)) is not None:
                    run.settle(earlier(known))
                    return
                run.sent = True
                value = await self._attempts(run)
            run.state = EffectState.DONE
            result = ToolResult.of(value, max_bytes=self.limits.result_bytes)
        except ResultTooLargeError as error:
            run.state = EffectState.DONE
            result = ToolResult.failure(ErrorCode.RESULT_TOO_LARGE, str(error)[:MAX_MESSAGE])
        except ToolError as error:
            run.state = EffectState.REFUSED
            result = ToolResult.failure(ErrorCode.TOOL_FAILED, str(error)[:MAX_MESSAGE] or "It cannot be done.")
        except InvalidArgumentsError as error:
            run.state = EffectState.REFUSED
            result = ToolResult.invalid(error)
        except ToolUnavailableError as error:
            run.state = EffectState.UNKNOWN if error.sent else EffectState.REFUSED
            result = unavailable(run, error)
        except LimitExceededError:
            result = ToolResult.failure(ErrorCode.BUSY, "Too many tools are running for this call. Wait for a result.")
        except EffectsDownError:
            result = NOT_RECORDED
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the tool author's code may raise anything
            result = self._broken(run.tool, run.context, error)
        run.settle(result)

    async def _record(self, run: Run) -> EffectState | None:
        """Makes the effect's record. Returns the state of an earlier one that forbids to go on."""
        tool = run.tool
        known = await self._effects.begin(
            EffectRecord(
                context=replace(run.context, control=None),
                tool=tool.name,
                deadline=self._wall() + tool.timeout_s + RECORD_GRACE_S,
                arguments=json.dumps(run.arguments) if tool.idempotent else None,
            )
        )
        open_ = known in (EffectState.PENDING, EffectState.UNKNOWN)
        return None if open_ and tool.idempotent else known

    def _note(self, run: Run) -> None:
        """The outcome goes into the ledger. An idempotent tool's unknown one stays open: it will be asked again."""
        if run.once is None or not run.sent:
            return
        state = run.state or EffectState.UNKNOWN
        if state is not EffectState.UNKNOWN or not run.tool.idempotent:
            self._effects.end(run.once.key, state, run.outcome.result().code)
        if state is EffectState.UNKNOWN:
            if not run.tool.idempotent:
                self._unknown(run.tool.name)
            _log.warning(
                "effect unknown",
                tool=run.tool.name,
                call_id=run.context.call_id,
                function_call_id=run.context.function_call_id,
                asked_again=run.tool.idempotent,
            )

    async def _attempts(self, run: Run) -> object:
        """Tries until it works, as often as it does no harm and the tool allows."""
        tool, sent = run.tool, False
        for tries in range(1, tool.retries + 2):
            try:
                return await self._attempt(run)
            except ToolUnavailableError as error:
                sent = sent or error.sent
                wait_s = self._backoff.wait_s(tries, asked_s=error.retry_after_s)
                if tries > tool.retries or wait_s is None or not (tool.repeatable or not sent):
                    error.sent = sent
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    async def _attempt(self, run: Run) -> object:
        tool = run.tool
        try:
            async with asyncio.timeout(tool.attempt_s) as limit:
                return await tool.execute(run.values, run.context, services=self._services)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ToolUnavailableError(f"{tool.name} did not answer within {tool.attempt_s:g} s.") from None

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


def _identifies(function_call_id: str) -> bool:
    """Whether a record can be kept under this id, and found again."""
    return 0 < len(function_call_id) <= MAX_ID and function_call_id.isprintable()


def _where(error: BaseException) -> list[str]:
    """The innermost frames, without the lines of code and without values."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
