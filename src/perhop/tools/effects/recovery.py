"""Finds out what became of effects that a crash left open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from perhop.tools.effects.ledger import EffectRecord, EffectState
from perhop.tools.effects.store import StoreLedger

__all__ = ["EffectRecovery"]

_log = structlog.get_logger(__name__)

KEEP = timedelta(days=30)
"""How long the record of an effect that ended is kept."""

_TIDY_EVERY_S = 3600.0

Ask = Callable[[EffectRecord], Awaitable[EffectState | None]]
"""Asks a tool once more, with the same key. None when it cannot be known yet."""


class EffectRecovery:
    """Looks for effects left open, at once and then from time to time.

    One whose tool can be asked again with the same key is asked until it says what became of it, for ``give_up_s``
    seconds at most after its deadline, or after this was made: who was away for longer asks all the same. Every other
    one becomes ``unknown``: it is reported, and never sent again.

    Args:
        ask: asks once more; it answers ``unknown`` for a tool that cannot be asked, None for one that is not there yet.
        report: told of every effect that was settled here.
        every_s: between two looks.
        now: the time, in UTC.
    """

    def __init__(
        self,
        ledger: StoreLedger,
        ask: Ask,
        *,
        report: Callable[[EffectRecord, EffectState], None] = lambda *_: None,
        every_s: float = 5.0,
        give_up_s: float = 3600.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._ask = ask
        self._report = report
        self._every_s = every_s
        self._give_up_s = give_up_s
        self._now = now
        self._since = now().timestamp()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="effects left open")

    async def close(self) -> None:
        """Ends; what is being asked stays open."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def sweep(self) -> int:
        """Settles what can be settled now; returns how many that were.

        Raises:
            StoreError: the database does not answer.
        """
        settled = 0
        for record in await self._ledger.left_open():
            state = await self._ask(record)
            if state is None:
                if self._now().timestamp() < max(record.deadline, self._since) + self._give_up_s:
                    continue
                state = EffectState.UNKNOWN
            if await self._ledger.settle(record.key, state):
                settled += 1
                context = record.context
                log = _log.warning if state is EffectState.UNKNOWN else _log.info
                log(
                    "effect settled after a restart",
                    state=state,
                    tool=record.tool,
                    call_id=context.call_id,
                    tenant=context.tenant,
                    function_call_id=context.function_call_id,
                )
                self._report(record, state)
        return settled

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        tidied = loop.time() - _TIDY_EVERY_S
        while True:
            try:
                await self.sweep()
                if loop.time() - tidied >= _TIDY_EVERY_S:
                    await self._ledger.forget(self._now() - KEEP)
                    tidied = loop.time()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look may do better
                _log.warning("effects left open not looked at", error=type(error).__name__)
            await asyncio.sleep(self._every_s)
