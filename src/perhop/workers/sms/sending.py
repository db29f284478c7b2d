"""From the outbox to the provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from perhop.config.sms import SmsSettings
from perhop.store import Database
from perhop.tools.guard import Guard
from perhop.workers.sdk import Effect, RefusedError, Settled
from perhop.workers.sms.book import advance, is_opted_out, opt_out
from perhop.workers.sms.callbacks import status_url
from perhop.workers.sms.states import State
from perhop.workers.sms.tables import MessageRow
from perhop.workers.sms.twilio import BlockedError, TwilioApi

__all__ = ["Sending"]

_STATE: dict[str, State] = {"failed": "failed", "unknown": "unknown"}


class Sending:
    """Hands messages over, and notes what came of it.

    Args:
        guard: the way to the provider.
        now: the time, in UTC.
    """

    def __init__(self, settings: SmsSettings, guard: Guard, *, now: Callable[[], datetime]) -> None:
        self._settings = settings.twilio
        self._api = TwilioApi(settings.twilio, guard) if settings.twilio is not None else None
        self._now = now
        self._database: Database | None = None
        self._ready = asyncio.Event()
        self._why: dict[str, str] = {}

    def use(self, database: Database) -> None:
        """Where the tables are; messages wait until this is known."""
        self._database = database
        self._ready.set()

    def sender(self, tenant: str) -> str:
        """Our number, as this tenant's messages show it; empty where there is no provider."""
        if self._settings is None:
            return ""
        return self._settings.senders.get(tenant, self._settings.sender)

    async def send(self, effect: Effect) -> str | None:
        """Hands one message to the provider; see :data:`perhop.workers.sdk.delivery.Deliver`."""
        await self._ready.wait()
        assert self._database is not None
        try:
            return await self._hand_over(effect, self._database)
        except RefusedError as error:
            self._why[effect.key] = str(error)
            raise

    async def settled(self, session: AsyncSession, effect: Effect, outcome: Settled) -> None:
        """Notes in the worker's table what the outbox knows."""
        done: State = "accepted" if self._api is not None else "kept"
        await advance(
            session,
            effect.key,
            _STATE.get(outcome.state, done),
            now=self._now(),
            reference=outcome.reference,
            error=self._why.pop(effect.key, outcome.error),
        )
        if self._api is None and outcome.state == "done":
            row = await session.get(MessageRow, effect.key)
            if row is not None:
                row.text = effect.payload["text"]

    async def _hand_over(self, effect: Effect, database: Database) -> str | None:
        payload: dict[str, str] = effect.payload
        to, sender = payload["to"], payload["from"]
        async with database.session() as session:
            row = await session.get(MessageRow, effect.key, with_for_update=True)
            if row is not None and row.state not in ("queued", "sending"):
                raise RefusedError(row.state)
            # Looked at now, not when it was asked for: a reminder waits for days.
            if await is_opted_out(session, sender=sender, phone=to):
                raise RefusedError("opted_out")
            if row is not None:
                row.state, row.updated_at = "sending", self._now()
        if self._api is None or self._settings is None:
            return None
        try:
            return await self._api.send(
                to=to, sender=sender, text=payload["text"], status_url=status_url(self._settings, effect.key)
            )
        except BlockedError:
            async with database.session() as session:
                await opt_out(session, sender=sender, phone=to, now=self._now())
            raise
