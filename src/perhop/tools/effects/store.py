"""Records of effects in the database, written in groups.

While one group is being written, whatever else is to be recorded gathers, and goes into the next one together. So a
record costs one commit when little happens and a share of one when much does. Outcomes go their own way, in groups that
wait a little to become larger: nobody waits for an outcome, and no record waits behind one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from perhop.store import Database
from perhop.tools.effects.ledger import EffectRecord, EffectsDownError, EffectState
from perhop.tools.effects.rows import FAILURES, EffectRows, Ended

__all__ = ["StoreLedger"]

_log = structlog.get_logger(__name__)

GROUP = 200
"""Records, or outcomes, that are written together, at most."""

MAX_OUTCOMES = 20_000
"""Outcomes that wait for a database that is away. Of a further one nothing is written; its effect will count as left
open."""

MAX_WAITING = 5_000
"""Records that wait; a further one is refused."""

LINGER_S = 0.02
"""How long an outcome waits for others to share a commit with."""

_RETRY_S = (0.2, 5.0)


@dataclass(eq=False, slots=True)
class _Beginning:
    record: EffectRecord
    answer: asyncio.Future[EffectState | None]


class StoreLedger:
    """Implements :class:`~perhop.tools.effects.ledger.EffectLedger`; its table must be up to date.

    Args:
        patience_s: how long a record may take before the effect is refused.
        now: the time, in UTC.

    Attributes:
        commits: groups written so far.
    """

    def __init__(
        self, database: Database, *, patience_s: float = 2.0, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._rows = EffectRows(database)
        self._patience_s = patience_s
        self._now = now
        self._beginnings: deque[_Beginning] = deque()
        self._outcomes: deque[Ended] = deque()
        self._recording: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._down = False
        self.commits = 0

    async def begin(self, record: EffectRecord) -> EffectState | None:
        if len(self._beginnings) >= MAX_WAITING:
            raise EffectsDownError(f"{MAX_WAITING} effects wait to be recorded")
        answer: asyncio.Future[EffectState | None] = asyncio.get_running_loop().create_future()
        self._beginnings.append(_Beginning(record, answer))
        self._recording = _kept_running(self._recording, self._record, "record of effects")
        try:
            async with asyncio.timeout(self._patience_s):
                return await answer
        except TimeoutError:
            raise EffectsDownError("the database did not record the effect in time") from None

    def end(self, key: str, state: EffectState, code: str | None = None) -> None:
        self._outcome(Ended(key, state, code, self._now()))

    def _outcome(self, ended: Ended) -> None:
        if len(self._outcomes) >= MAX_OUTCOMES:
            _log.error("outcome of an effect dropped", key=ended.key, state=ended.state)
            return
        self._outcomes.append(ended)
        self._ending = _kept_running(self._ending, self._write_outcomes, "outcomes of effects")

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Writes what waits, within ``grace_s`` seconds."""
        running = self._running()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while running:  # whose record nobody waited for gets an outcome
                    self._hurry.set()
                    await asyncio.wait(running)
                    running = self._running()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._outcomes:
            _log.error("outcomes of effects not written", count=len(self._outcomes))

    # -- what a crash left --------------------------------------------------------------------------------------------

    async def left_open(self, *, limit: int = 100) -> list[EffectRecord]:
        """Effects whose sender is not waiting any more and whose outcome nobody wrote, oldest first.

        Raises:
            StoreError: the database does not answer.
        """
        return await self._rows.left_open(now=self._now(), limit=limit)

    async def settle(self, key: str, state: EffectState) -> bool:
        """Writes an outcome unless there is one; returns whether this was the one.

        Raises:
            StoreError: the database does not answer.
        """
        return await self._rows.settle(key, state, now=self._now())

    async def forget(self, before: datetime) -> None:
        """Deletes records of effects that ended before.

        Raises:
            StoreError: the database does not answer.
        """
        await self._rows.forget(before)

    # -- the writers --------------------------------------------------------------------------------------------------

    def _running(self) -> list[asyncio.Task[None]]:
        return [task for task in (self._recording, self._ending) if task is not None and not task.done()]

    async def _record(self) -> None:
        while self._beginnings:
            taken = [self._beginnings.popleft() for _ in range(min(GROUP, len(self._beginnings)))]
            # Who gave up waiting does not send anything: no record is needed.
            beginnings = {one.record.key: one for one in taken if not one.answer.done()}
            if not beginnings:
                continue
            now = self._now()
            try:
                known = await self._rows.add([one.record for one in beginnings.values()], now=now)
            except FAILURES as error:
                _log.warning("effects not recorded", error=type(error).__name__)
                self._not_recorded(beginnings.values(), created_at=now)
                continue
            self.commits += 1
            if self._down:
                self._hurry.set()
            for key, one in beginnings.items():
                if not one.answer.done():
                    one.answer.set_result(known.get(key))
                elif key not in known:
                    self.end(key, EffectState.REFUSED, "cancelled")

    def _not_recorded(self, beginnings: Iterable[_Beginning], *, created_at: datetime) -> None:
        for one in beginnings:
            # A commit whose answer was lost may have been made: then nothing was sent for that record. Of one that
            # another run made before, nothing is known here.
            self._outcome(Ended(one.record.key, EffectState.REFUSED, "not_recorded", self._now(), created_at))
            if not one.answer.done():
                one.answer.set_exception(EffectsDownError("the database did not record the effect"))

    async def _write_outcomes(self) -> None:
        wait_s = LINGER_S
        while self._outcomes:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._hurry.wait()
            self._hurry.clear()
            group = list(itertools.islice(self._outcomes, GROUP))
            try:
                await self._rows.end(group)
            except FAILURES as error:
                _log.warning("outcomes of effects wait for the database", error=type(error).__name__)
                self._down = True
                wait_s = min(max(wait_s * 2, _RETRY_S[0]), _RETRY_S[1])
                continue
            for _ in group:
                self._outcomes.popleft()
            self.commits += 1
            self._down = False
            wait_s = LINGER_S


def _kept_running(
    task: asyncio.Task[None] | None, work: Callable[[], Coroutine[None, None, None]], name: str
) -> asyncio.Task[None]:
    """This task, or where it has ended a new one."""
    if task is not None and not task.done():
        return task
    # In a context of its own: what it writes belongs to many calls, not to the one that happens to be first.
    return asyncio.get_running_loop().create_task(work(), name=name, context=Context())
