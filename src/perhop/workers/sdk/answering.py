"""From a request on the bus to the tool's answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

import structlog
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.errors import LimitExceededError
from perhop.store import Database, StoreDownError
from perhop.tools import wire
from perhop.tools.admission import Admission
from perhop.tools.arguments import parse_arguments
from perhop.tools.base import JsonObject, Tool, ToolContext
from perhop.tools.bus import Message, RemoteError
from perhop.tools.bus.subjects import parts
from perhop.tools.errors import InvalidArgumentsError, ToolError, ToolUnavailableError
from perhop.tools.result import ErrorCode
from perhop.tools.services import ToolServices
from perhop.tools.threads import Threads
from perhop.workers.sdk.context import Outbox, WorkerContext
from perhop.workers.sdk.metrics import WorkerMetrics
from perhop.workers.sdk.outcomes import MAX_ID, InDoubtError, OtherCallError, Outcomes, TooSlowError
from perhop.workers.sdk.worker import Worker

__all__ = ["Answering"]

_log = structlog.get_logger(__name__)

MAX_MESSAGE = 500
MAX_RESULT_BYTES = 262_144
"""JSON text of a result; the gateway's own limit is lower still."""

WAITING = 2
"""Calls that may be running or waiting, in multiples of a worker's concurrency."""


class Answering:
    """Answers requests to the tools of one worker.

    Args:
        effected: told when a transaction that asked for effects outside was committed.
    """

    def __init__(
        self,
        worker: Worker,
        database: Database,
        outcomes: Outcomes,
        metrics: WorkerMetrics,
        *,
        effected: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._database = database
        self._outcomes = outcomes
        self._metrics = metrics
        self._effected = effected
        self._clock = clock
        self._channels = frozenset(worker.deliveries)
        self._sessions = {name for name, tool in worker.tools.items() if worker.needs_session(tool)}
        self._services = ToolServices(threads=Threads(worker.concurrency))
        self._admission = Admission(
            total=worker.concurrency,
            per_call=worker.concurrency,
            pending_per_call=WAITING * worker.concurrency,
        )

    async def answer(self, tool: Tool, message: Message) -> bytes:
        """The answer to one request: JSON of the result.

        Raises:
            RemoteError: with one of the codes in :mod:`perhop.tools.wire`.
        """
        began = self._clock()
        outcome = "cancelled"
        try:
            payload = await self._run(tool, message)
            outcome = "done"
            return payload
        except RemoteError as error:
            outcome = error.code
            raise
        finally:
            self._metrics.called(self._worker.name, tool.name, outcome, self._clock() - began)

    async def _run(self, tool: Tool, message: Message) -> bytes:
        context = _context(message)
        try:
            arguments = parse_arguments(message.payload.decode())
            values = tool.validate(arguments)
        except InvalidArgumentsError as error:
            raise RemoteError(wire.INVALID_ARGUMENTS, str(error)) from None
        except UnicodeDecodeError:
            raise RemoteError(wire.INVALID_ARGUMENTS, "arguments: not UTF-8") from None
        try:
            async with self._admission.place("", tool):
                if tool.effect == "once":
                    return await self._once(tool, arguments, values, context)
                return await self._look(tool, values, context)
        except LimitExceededError:
            raise RemoteError(wire.BUSY, f"{self._worker.name} has too much to do") from None
        except ToolUnavailableError as error:
            # A tool without effect may be asked again; one with an effect was rolled back.
            raise RemoteError(wire.UNAVAILABLE, str(error)[:MAX_MESSAGE]) from None
        except (TooSlowError, TimeoutError):
            raise RemoteError(wire.UNAVAILABLE, f"{tool.name} took too long.") from None
        except OtherCallError as error:
            raise RemoteError(ErrorCode.DUPLICATE_CALL.value, str(error)) from None
        except ToolError as error:
            raise RemoteError(wire.TOOL_FAILED, str(error)[:MAX_MESSAGE] or "It cannot be done.") from None
        except InDoubtError as error:
            raise RemoteError(wire.UNKNOWN_OUTCOME, str(error)) from None
        except StoreDownError:
            raise RemoteError(wire.UNAVAILABLE, "The worker's database is away; nothing was done.") from None
        except RemoteError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the tool author's code may raise anything
            raise RemoteError(wire.TOOL_FAILED, self._broken(tool, context, error)) from None

    async def _look(self, tool: Tool, values: JsonObject, context: ToolContext) -> bytes:
        """A tool without effect: in a transaction that only reads, or in none."""
        async with asyncio.timeout(tool.timeout_s):
            if tool.name not in self._sessions:
                return _json(tool, await tool.execute(values, context, services=self._services))
            async with self._database.session(reading=True) as session:
                return _json(tool, await tool.execute(values, _with(context, session), services=self._services))

    async def _once(self, tool: Tool, arguments: JsonObject, values: JsonObject, context: ToolContext) -> bytes:
        if not context.call_id or not context.function_call_id:
            raise RemoteError(wire.INVALID_ARGUMENTS, "a tool with an effect needs the ids of call and function call")
        added = 0

        async def work(session: AsyncSession) -> str:
            nonlocal added
            outbox = Outbox(self._worker.name, self._channels, context, session)
            given = _with(context, session, outbox) if tool.name in self._sessions else context
            result = _json(tool, await tool.execute(values, given, services=self._services)).decode()
            added = outbox.added
            return result

        outcome = await self._outcomes.once(tool.name, arguments, context, work, timeout_s=tool.timeout_s)
        if outcome.repeated:
            self._metrics.repeated(self._worker.name, tool.name)
        elif added:
            self._effected()
        if outcome.state == "refused":
            raise ToolError(outcome.result)
        return outcome.result.encode()

    def _broken(self, tool: Tool, context: ToolContext, error: BaseException) -> str:
        """What went wrong goes to the log by type and place; its message may hold what the caller said."""
        reference = secrets.token_hex(4)
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        at = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame is not None else ""
        _log.error(
            "tool broke",
            worker=self._worker.name,
            tool=tool.name,
            call_id=context.call_id,
            function_call_id=context.function_call_id,
            reference=reference,
            error=type(error).__qualname__,
            at=at,
        )
        return f"The tool {tool.name} failed; nothing was done. Tell the caller (reference {reference})."


def _context(message: Message) -> ToolContext:
    """On whose behalf: the tenant is the subject's, because that is what permissions on the bus are about."""
    names = parts(message.subject)
    context = wire.context_of(message.headers)
    tenant = names[2]
    if context.tenant not in ("", tenant):
        raise RemoteError(wire.INVALID_ARGUMENTS, "the tenant of the request is not that of its subject")
    if any(len(one) > MAX_ID for one in (context.call_id, context.function_call_id)) or "\0" in (
        context.call_id + context.function_call_id
    ):
        raise RemoteError(wire.INVALID_ARGUMENTS, f"ids have at most {MAX_ID} characters")
    return ToolContext(
        call_id=context.call_id,
        agent=context.agent,
        tenant=tenant,
        function_call_id=context.function_call_id,
    )


def _with(context: ToolContext, session: AsyncSession, outbox: Outbox | None = None) -> WorkerContext:
    return WorkerContext(
        call_id=context.call_id,
        agent=context.agent,
        tenant=context.tenant,
        function_call_id=context.function_call_id,
        session=session,
        outbox=outbox,
    )


def _json(tool: Tool, value: object) -> bytes:
    payload = to_json(value, inf_nan_mode="null")
    if len(payload) > MAX_RESULT_BYTES:
        raise ToolError(f"The result of {tool.name} is too large. Ask for less, or for something narrower.")
    return payload
