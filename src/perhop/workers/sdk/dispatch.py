"""Takes effects out of the outbox and has them delivered.

An effect is marked as being sent, durably, before it is handed to the provider, and settled after. Whoever finds one
that is being sent by nobody any more knows that a process died in between: where the provider recognises keys it is
sent again, otherwise it becomes ``unknown``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.store import Database, StoreDownError
from perhop.tools.bus.seldom import Seldom
from perhop.workers.sdk.delivery import Delivery, Effect, NotSentError, RefusedError, Settled
from perhop.workers.sdk.tables import EffectRow

__all__ = ["Dispatcher"]

_log = structlog.get_logger(__name__)

LEASE_MARGIN_S = 15.0
"""Beyond the timeout of an attempt, for recording what came of it."""

MAX_ERROR = 255


class Dispatcher:
    """Delivers the effects of one worker. Several processes may do so at once; each effect is taken by one of them.

    Args:
        worker: its name.
        deliveries: by channel.
        poll_s: how often to look for what became due; :meth:`wake` makes it look at once.
        max_running: attempts at once.
        settled: told of every settled effect: channel and state.
        now: the time, in UTC.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        deliveries: Mapping[str, Delivery],
        *,
        poll_s: float = 1.0,
        max_running: int = 8,
        settled: Callable[[str, str], None] = lambda *_: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._worker = worker
        self._deliveries = dict(deliveries)
        self._poll_s = poll_s
        self._max_running = max_running
        self._settled = settled
        self._now = now
        self._seldom = Seldom()
        self._wake = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begins; does nothing for a worker without deliveries."""
        if self._deliveries and self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run(), name=f"effects of {self._worker}")

    def wake(self) -> None:
        """Something may have become due."""
        self._wake.set()

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Takes nothing new; what is being sent gets ``grace_s`` seconds. What is cancelled then is in doubt."""
        loop, self._loop = self._loop, None
        if loop is not None:
            # It ends by itself, so that no transaction is torn.
            self._stopping = True
            self._wake.set()
            await asyncio.wait([loop], timeout=grace_s)
            if not loop.done():
                loop.cancel()
                await asyncio.wait([loop], timeout=1.0)
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        left = list(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)

    async def counts(self) -> dict[tuple[str, str], int]:
        """How many effects there are, by channel and state."""
        async with self._database.session(reading=True) as session:
            rows = await session.execute(
                select(EffectRow.channel, EffectRow.state, func.count())
                .where(EffectRow.worker == self._worker)
                .group_by(EffectRow.channel, EffectRow.state)
            )
            return {(channel, state): count for channel, state, count in rows}

    async def prune(self, *, older_than: timedelta) -> None:
        """Forgets effects that were settled long ago; those whose outcome is unknown stay."""
        async with self._database.session() as session:
            await session.execute(
                delete(EffectRow).where(
                    EffectRow.worker == self._worker,
                    EffectRow.state.in_(("done", "failed")),
                    EffectRow.updated_at < self._now() - older_than,
                )
            )

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            taken = 0
            try:
                free = self._max_running - len(self._running)
                if free > 0 and await self._anything_due():
                    for effect in await self._take(free):
                        taken += 1
                        task = asyncio.get_running_loop().create_task(self._attempt(effect))
                        self._running.add(task)
                        task.add_done_callback(self._ended)
            except StoreDownError:
                if (times := self._seldom.now("down")) is not None:
                    _log.warning("effects wait for the database", worker=self._worker, times=times)
            except Exception as error:  # noqa: BLE001 - a mistake of whatever kind: effects wait, this task does not end
                kind = type(error).__qualname__
                if (times := self._seldom.now(kind)) is not None:
                    _log.error("effects wait", worker=self._worker, error=kind, times=times)
            if not taken and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._wake.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("effect could not be settled", worker=self._worker, error=type(error).__qualname__)

    async def _anything_due(self) -> bool:
        """Without taking the place of a writer."""
        async with self._database.session(reading=True) as session:
            found = await session.execute(select(EffectRow.key).where(self._due()).limit(1))
            return found.first() is not None

    def _due(self) -> ColumnElement[bool]:
        now = self._now()
        return and_(
            EffectRow.worker == self._worker,
            EffectRow.channel.in_(self._deliveries),
            or_(
                and_(EffectRow.state == "pending", EffectRow.due_at <= now),
                and_(EffectRow.state == "sending", EffectRow.leased_until < now),
            ),
        )

    async def _take(self, limit: int) -> list[Effect]:
        taken: list[Effect] = []
        given_up: list[tuple[Effect, Settled]] = []
        async with self._database.session() as session:
            rows = await session.scalars(
                select(EffectRow)
                .where(self._due())
                .order_by(EffectRow.due_at)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            for row in rows.all():
                delivery = self._deliveries[row.channel]
                died = row.state == "sending"
                if died and (not delivery.idempotent or row.attempts >= delivery.attempts):
                    settled = Settled(state="unknown", error="crashed")
                    effect = _effect(row)
                    await self._settle(session, row, effect, settled)
                    given_up.append((effect, settled))
                    continue
                row.state = "sending"
                row.in_doubt = row.in_doubt or died
                row.attempts += 1
                row.leased_until = self._now() + timedelta(seconds=delivery.timeout_s + LEASE_MARGIN_S)
                row.updated_at = self._now()
                taken.append(_effect(row))
        for effect, settled in given_up:
            self._tell(effect, settled)
        return taken

    async def _attempt(self, effect: Effect) -> None:
        delivery = self._deliveries[effect.channel]
        again = False
        try:
            async with asyncio.timeout(delivery.timeout_s):
                reference = await delivery.send(effect)
            settled = Settled(state="done", reference=reference[:MAX_ERROR] if reference else None)
        except NotSentError as error:
            again = effect.attempt < delivery.attempts
            settled = Settled(state="failed", error=_kind(error))
        except RefusedError as error:
            settled = Settled(state="failed", error=_kind(error))
        except Exception as error:  # noqa: BLE001 - a provider's client may raise anything; what happened is open
            again = delivery.idempotent and effect.attempt < delivery.attempts
            settled = Settled(state="unknown", error=_kind(error))
        lease = delivery.timeout_s + LEASE_MARGIN_S
        await self._record(effect, settled, again=again, patience_s=lease)

    async def _record(self, effect: Effect, settled: Settled, *, again: bool, patience_s: float) -> None:
        """What came of an attempt, as soon as the database takes it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        wait_s = 0.0
        while True:
            try:
                async with self._database.session() as session:
                    row = await session.get(EffectRow, effect.key, with_for_update=True)
                    if row is None or row.state not in ("sending", "unknown"):
                        return
                    if again:
                        delivery = self._deliveries[effect.channel]
                        wait_s = min(delivery.retry_most_s, delivery.retry_s * 2 ** min(effect.attempt - 1, 30))
                        row.state = "pending"
                        row.due_at = self._now() + timedelta(seconds=wait_s)
                        row.leased_until = None
                        row.error = settled.error
                        row.in_doubt = row.in_doubt or settled.state == "unknown"
                        row.updated_at = self._now()
                    else:
                        if settled.state == "failed" and row.in_doubt:
                            # This attempt did not have it, but one before may have.
                            settled = replace(settled, state="unknown")
                        await self._settle(session, row, effect, settled)
            except StoreDownError:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(0.2)
                continue
            if again:
                loop.call_later(wait_s, self._wake.set)
            else:
                self._tell(effect, settled)
            return

    async def _settle(self, session: AsyncSession, row: EffectRow, effect: Effect, settled: Settled) -> None:
        row.state = settled.state
        row.reference = settled.reference
        row.error = settled.error
        row.leased_until = None
        row.updated_at = self._now()
        if settled.state != "unknown":
            row.payload = None  # whoever looks into an unknown one needs to see what it was
        hook = self._deliveries[row.channel].settled
        if hook is not None:
            await hook(session, effect, settled)

    def _tell(self, effect: Effect, settled: Settled) -> None:
        self._settled(effect.channel, settled.state)
        log = _log.info if settled.state == "done" else _log.warning
        log(
            "effect settled",
            worker=self._worker,
            channel=effect.channel,
            state=settled.state,
            attempt=effect.attempt,
            error=settled.error,
            call_id=effect.call_id,
            function_call_id=effect.function_call_id,
        )


def _effect(row: EffectRow) -> Effect:
    return Effect(
        channel=row.channel,
        key=row.key,
        tenant=row.tenant,
        call_id=row.call_id,
        function_call_id=row.function_call_id,
        attempt=row.attempts,
        payload=json.loads(row.payload or "{}"),
    )


def _kind(error: Exception) -> str:
    return type(error).__qualname__[:MAX_ERROR]
