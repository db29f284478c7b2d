"""Exactly one effect: the outcome of a function call is recorded in the transaction that has the effect.

Whoever comes second with the same ids waits for the first at the unique key, and finds its outcome. A crash before the
commit leaves neither effect nor outcome; one after it leaves both.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from sqlalchemy import Table, bindparam, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from perhop.errors import PerhopError
from perhop.store import Database, StoreDownError
from perhop.tools.base import JsonObject, ToolContext
from perhop.tools.errors import ToolError
from perhop.workers.sdk.tables import OutcomeRow

__all__ = ["MAX_ID", "InDoubtError", "OtherCallError", "Outcome", "Outcomes", "TooSlowError"]

MAX_ID = 200
"""Characters of the ids of a call and a function call."""

_KEY = ("worker", "tenant", "call_id", "function_call_id")
_table = cast("Table", OutcomeRow.__table__)
_RETRY_S = 0.1
_PRUNE_BATCH = 1_000


class OtherCallError(ToolError):
    """Another function call had the same ids, but asked for something else."""


class InDoubtError(PerhopError):
    """The database went away in a commit and has not come back: the effect may have been had."""


class TooSlowError(PerhopError):
    """The tool did not end in time; what it did was rolled back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function call came to.

    Attributes:
        state: ``refused``: the tool said why it cannot be done, and nothing was.
        result: JSON text of the result; of a refusal its message.
        repeated: it was recorded before; the tool did not run.
    """

    state: Literal["done", "refused"]
    result: str
    repeated: bool = False


Work = Callable[[AsyncSession], Awaitable[str]]
"""Has the effect through this session and returns JSON text of the result."""


class Outcomes:
    """The recorded outcomes of one worker.

    Args:
        worker: its name.
    """

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        insert = sqlite.insert if database.dialect == "sqlite" else postgresql.insert
        # Made once, and of the table instead of the class: half of the time of a statement goes into making it.
        mine = [_table.c[name] == bindparam(f"key_{name}") for name in _KEY]
        self._claiming = insert(_table).on_conflict_do_nothing().returning(_table.c.tool)
        self._finding = select(_table.c.asked, _table.c.state, _table.c.result).where(*mine)
        self._finishing = update(_table).where(*mine).values(state="done", result=bindparam("new_result"))
        # SQLite has one writer at a time, whom others ask again and again; in one process they better queue.
        self._turn: asyncio.Lock | None = asyncio.Lock() if database.dialect == "sqlite" else None
        self._running: dict[str, asyncio.Task[Outcome]] = {}

    async def once(
        self, tool: str, arguments: JsonObject, context: ToolContext, work: Work, *, timeout_s: float
    ) -> Outcome:
        """The outcome of this function call: the recorded one, or that of ``work``, which is done now.

        Two that ask at the same time get the same. When the database goes away in a commit, it is all tried again until
        ``timeout_s`` is over: only so is it known what became of it.

        Raises:
            OtherCallError: the ids were used before, with another tool or other arguments.
            InDoubtError: the database went away in the commit and did not come back in time. Whoever asks again later
                learns whether the effect was had.
            StoreDownError: the database is away; nothing happened.
            TooSlowError: ``work`` took too long; it was rolled back.
        """
        key = context.idempotency_key
        asked = hashlib.sha256(json.dumps([tool, arguments], sort_keys=True).encode(errors="surrogatepass")).hexdigest()
        running = self._running.get(key)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._persist(tool, asked, context, work, timeout_s))
            self._running[key] = running
            running.add_done_callback(lambda _: self._running.pop(key, None))
            return await asyncio.shield(running)
        await asyncio.wait([running])
        # The record answers: it also knows whether the other one asked for the same.
        return await self._persist(tool, asked, context, work, timeout_s)

    async def finish(self, grace_s: float) -> None:
        """Waits for what runs, then cancels the rest: a transaction that has not been committed is rolled back."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace_s)
        left = list(self._running.values())
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=grace_s)

    async def prune(self, *, older_than: timedelta) -> int:
        """Deletes old outcomes; a repetition that comes later than that would have its effect again.

        Returns:
            How many.
        """
        before, gone = datetime.now(UTC) - older_than, 0
        key = [_table.c[name] for name in _KEY]
        old = (
            select(*key)
            .where(_table.c.worker == self._worker, _table.c.created_at < before)
            .order_by(_table.c.created_at)
            .limit(_PRUNE_BATCH)
        )
        while True:
            async with self._writing() as session:
                removed = await session.execute(delete(_table).where(tuple_(*key).in_(old)).returning(_table.c.tool))
                count = len(removed.all())
            gone += count
            if count < _PRUNE_BATCH:
                return gone

    async def _persist(self, tool: str, asked: str, context: ToolContext, work: Work, timeout_s: float) -> Outcome:
        deadline = asyncio.get_running_loop().time() + timeout_s
        committing = asyncio.Event()  # set from the moment a commit may have been made
        tries = 0
        while True:
            tries += 1
            try:
                return await self._attempt(tool, asked, context, work, deadline, committing)
            except StoreDownError:
                if not committing.is_set():
                    # Nothing happened. It may have been this one connection, closed at this very moment; a database
                    # that is away is not waited for.
                    if tries > 1 or asyncio.get_running_loop().time() > deadline:
                        raise
                    continue
                if asyncio.get_running_loop().time() + _RETRY_S > deadline:
                    raise InDoubtError("The database went away; nobody knows yet whether it was done.") from None
                await asyncio.sleep(_RETRY_S)

    async def _attempt(
        self,
        tool: str,
        asked: str,
        context: ToolContext,
        work: Work,
        deadline: float,
        committing: asyncio.Event,
    ) -> Outcome:
        try:
            async with self._writing() as session:
                # Past the session's own machinery, which knows nothing of these statements and would cost as much.
                connection = await session.connection()
                recorded = await self._claim(connection, tool, asked, context, state="begun", result=None)
                if recorded is not None:
                    return recorded
                result = await self._in_time(work, session, deadline)
                connection = await session.connection()
                await connection.execute(self._finishing, {**self._key(context), "new_result": result})
                committing.set()
            return Outcome("done", result)
        except OtherCallError:
            raise
        except ToolError as error:
            refusal = str(error)
        # What the tool wrote is rolled back; that it refused is recorded, unless somebody else succeeded meanwhile.
        async with self._writing() as session:
            connection = await session.connection()
            recorded = await self._claim(connection, tool, asked, context, state="refused", result=refusal)
        return recorded or Outcome("refused", refusal)

    @staticmethod
    async def _in_time(work: Work, session: AsyncSession, deadline: float) -> str:
        try:
            async with asyncio.timeout_at(deadline) as limit:
                result = await work(session)
                await session.flush()
        except TimeoutError:
            if limit.expired():
                raise TooSlowError("It took too long; nothing was done.") from None
            raise  # the database's
        return result

    async def _claim(
        self,
        connection: AsyncConnection,
        tool: str,
        asked: str,
        context: ToolContext,
        *,
        state: str,
        result: str | None,
    ) -> Outcome | None:
        """Writes the row of this function call, or returns the outcome in the one that is there.

        Whoever else writes it at this moment is waited for.
        """
        values = {
            "worker": self._worker,
            "tenant": context.tenant,
            "call_id": context.call_id,
            "function_call_id": context.function_call_id,
            "tool": tool,
            "asked": asked,
            "state": state,
            "result": result,
            "created_at": datetime.now(UTC),
        }
        if (await connection.execute(self._claiming, values)).first() is not None:
            return None
        found = (await connection.execute(self._finding, self._key(context))).one()
        if found.asked != asked:
            raise OtherCallError("Another function call had the same id. Call the function again.")
        return Outcome("refused" if found.state == "refused" else "done", found.result or "", repeated=True)

    def _key(self, context: ToolContext) -> dict[str, str]:
        values = (self._worker, context.tenant, context.call_id, context.function_call_id)
        return {f"key_{name}": value for name, value in zip(_KEY, values, strict=True)}

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncSession]:
        async with contextlib.AsyncExitStack() as stack:
            if self._turn is not None:
                await stack.enter_async_context(self._turn)
            yield await stack.enter_async_context(self._database.session())
