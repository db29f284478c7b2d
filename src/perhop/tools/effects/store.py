"""Records of effects in the database, written in groups.

While one transaction is being committed, whatever else is to be recorded gathers, and goes into the next one together.
So a record costs one commit when little happens and a share of one when much does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import structlog
from sqlalchemy import Table, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.store import Database, StoreError
from perhop.tools.base import ToolContext
from perhop.tools.effects.ledger import EffectRecord, EffectsDownError, EffectState
from perhop.tools.effects.tables import EffectRow

__all__ = ["StoreLedger"]

_log = structlog.get_logger(__name__)

GROUP = 200
"""Records and outcomes of one transaction, at most."""

MAX_OUTCOMES = 20_000
"""Outcomes that wait for a database that is away. Of a further one nothing is written; its effect will count as left
open."""

MAX_WAITING = 5_000
"""Records that wait; a further one is refused."""

LINGER_S = 0.02
"""How long outcomes wait for a record to share a commit with; nobody waits for an outcome."""

_RETRY_S = (0.2, 5.0)

_effects = cast("Table", EffectRow.__table__)

_ADD = {
    "sqlite": sqlite.insert(_effects).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(_effects).on_conflict_do_nothing(),
}


@dataclass(eq=False, slots=True)
class _Beginning:
    record: EffectRecord
    answer: asyncio.Future[EffectState | None]


@dataclass(frozen=True, slots=True)
class _Outcome:
    key: str
    state: EffectState
    code: str | None
    at: datetime


class StoreLedger:
    """Implements :class:`~perhop.tools.effects.ledger.EffectLedger`; its table must be up to date.

    Args:
        patience_s: how long a record may take before the effect is refused.
        now: the time, in UTC.
    """

    def __init__(
        self, database: Database, *, patience_s: float = 2.0, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._patience_s = patience_s
        self._now = now
        self._beginnings: deque[_Beginning] = deque()
        self._outcomes: deque[_Outcome] = deque()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self.commits = 0

    async def begin(self, record: EffectRecord) -> EffectState | None:
        if len(self._beginnings) >= MAX_WAITING:
            raise EffectsDownError(f"{MAX_WAITING} effects wait to be recorded")
        answer: asyncio.Future[EffectState | None] = asyncio.get_running_loop().create_future()
        self._beginnings.append(_Beginning(record, answer))
        self._urgent.set()
        self._work()
        try:
            async with asyncio.timeout(self._patience_s):
                return await answer
        except TimeoutError:
            raise EffectsDownError("the database did not record the effect in time") from None

    def end(self, key: str, state: EffectState, code: str | None = None) -> None:
        if len(self._outcomes) >= MAX_OUTCOMES:
            _log.error("outcome of an effect dropped", key=key, state=state)
            return
        self._outcomes.append(_Outcome(key, state, code, self._now()))
        self._work()

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Writes what waits, within ``grace_s`` seconds."""
        if self._writer is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        self._writer.cancel()
        await asyncio.wait([self._writer])
        self._writer = None
        if self._outcomes:
            _log.error("outcomes of effects not written", count=len(self._outcomes))

    # -- what a crash left --------------------------------------------------------------------------------------------

    async def left_open(self, *, limit: int = 100) -> list[EffectRecord]:
        """Effects whose sender is not waiting any more and whose outcome nobody wrote, oldest first.

        Raises:
            StoreError: the database does not answer.
        """
        async with self._database.session(reading=True) as session:
            rows = await session.scalars(
                select(EffectRow)
                .where(EffectRow.state == EffectState.PENDING, EffectRow.deadline < self._now())
                .order_by(EffectRow.deadline)
                .limit(limit)
            )
            return [_record(row) for row in rows]

    async def settle(self, key: str, state: EffectState) -> bool:
        """Writes an outcome unless there is one; returns whether this was the one.

        Raises:
            StoreError: the database does not answer.
        """
        async with self._database.session() as session:
            settled = await session.scalars(
                update(EffectRow)
                .where(EffectRow.key == key, EffectRow.state == EffectState.PENDING)
                .values(state=state, arguments=None, ended_at=self._now())
                .returning(EffectRow.key)
            )
            return settled.first() is not None

    async def forget(self, before: datetime) -> None:
        """Deletes records of effects that ended before.

        Raises:
            StoreError: the database does not answer.
        """
        async with self._database.session() as session:
            await session.execute(delete(EffectRow).where(EffectRow.ended_at < before))

    # -- the writer ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        self._idle.clear()
        self._wake.set()
        if self._writer is None:
            # It serves all calls: what it logs must not bear the name of the one that happened to be first.
            self._writer = asyncio.get_running_loop().create_task(
                self._write(), name="record of effects", context=Context()
            )

    async def _write(self) -> None:
        wait_s = _RETRY_S[0]
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._beginnings or self._outcomes:
                if not self._beginnings:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LINGER_S):
                            await self._urgent.wait()
                self._urgent.clear()
                if await self._write_group():
                    wait_s = _RETRY_S[0]
                    continue
                # A new record tries again at once; outcomes can wait.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
                        self._wake.clear()
                wait_s = min(wait_s * 2, _RETRY_S[1])
            self._idle.set()

    async def _write_group(self) -> bool:
        """Writes what waits; returns whether that worked."""
        taken = [self._beginnings.popleft() for _ in range(min(GROUP, len(self._beginnings)))]
        # Who gave up waiting does not send anything: no record is needed.
        beginnings = {one.record.key: one for one in taken if not one.answer.done()}
        outcomes = [self._outcomes.popleft() for _ in range(min(GROUP, len(self._outcomes)))]
        try:
            async with self._database.session() as session:
                known = await self._insert(session, list(beginnings.values()))
                await self._update(session, outcomes)
        except (StoreError, SQLAlchemyError) as error:
            _log.warning("effects not recorded", error=type(error).__name__)
            self._outcomes.extendleft(reversed(outcomes))
            for key, one in beginnings.items():
                # A commit whose answer was lost may have been made: then nothing was sent for that record.
                self._outcomes.append(_Outcome(key, EffectState.REFUSED, "not_recorded", self._now()))
                if not one.answer.done():
                    one.answer.set_exception(EffectsDownError("the database did not record the effect"))
            return False
        self.commits += 1
        for key, one in beginnings.items():
            if not one.answer.done():
                one.answer.set_result(known.get(key))
            elif key not in known:
                self.end(key, EffectState.REFUSED, "cancelled")
        return True

    async def _insert(self, session: AsyncSession, beginnings: Sequence[_Beginning]) -> dict[str, EffectState]:
        """Adds records; returns the states of those that were there before."""
        if not beginnings:
            return {}
        rows = [_row(one.record, self._now()) for one in beginnings]
        # One statement whatever their number, so that neither side has to compile another one.
        insert = _ADD[self._database.dialect].returning(_effects.c.key)
        added = (await (await session.connection()).execute(insert, rows)).scalars()
        missing = {one.record.key for one in beginnings} - set(added)
        if not missing:
            return {}
        found = await session.execute(select(EffectRow.key, EffectRow.state).where(EffectRow.key.in_(missing)))
        return {key: EffectState(state) for key, state in found}

    @staticmethod
    async def _update(session: AsyncSession, outcomes: Sequence[_Outcome]) -> None:
        if not outcomes:
            return
        statement = (
            update(_effects)
            .where(_effects.c.key == bindparam("of"), _effects.c.state == EffectState.PENDING)
            .values(state=bindparam("became"), code=bindparam("why"), ended_at=bindparam("at"), arguments=None)
        )
        values = [{"of": one.key, "became": one.state, "why": one.code, "at": one.at} for one in outcomes]
        await (await session.connection()).execute(statement, values)


def _row(record: EffectRecord, now: datetime) -> dict[str, object]:
    context = record.context
    return {
        "key": record.key,
        "tenant": context.tenant,
        "call_id": context.call_id,
        "function_call_id": context.function_call_id,
        "agent": context.agent,
        "tool": record.tool,
        "state": EffectState.PENDING,
        "arguments": record.arguments,
        "deadline": datetime.fromtimestamp(record.deadline, UTC),
        "created_at": now,
    }


def _record(row: EffectRow) -> EffectRecord:
    context = ToolContext(
        call_id=row.call_id, agent=row.agent, tenant=row.tenant, function_call_id=row.function_call_id
    )
    return EffectRecord(context=context, tool=row.tool, deadline=row.deadline.timestamp(), arguments=row.arguments)
