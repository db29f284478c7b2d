"""Events that wait in the database while the bus is down: in order, at most so many, delivered by one process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from perhop.store import Database
from perhop.tools.bus.tables import OutboxRow, TurnRow

__all__ = ["EventOutbox", "KeptEvent"]

TURN_S = 60.0
"""How long a process may deliver before it has to ask again; after a crash another one waits this long."""

_TURN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """One event for the bus that must arrive.

    Attributes:
        message_id: what makes it the same when it is sent again.
        id: of its place in the outbox; None before it has one.
    """

    subject: str
    message_id: str
    payload: bytes = field(repr=False)
    id: int | None = None


class EventOutbox:
    """The outbox of all processes that share a database.

    Args:
        limit: events that wait; when there are more, the oldest are dropped.
        now: the time, in UTC.
    """

    def __init__(
        self, database: Database, *, limit: int = 100_000, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._limit = limit
        self._now = now
        self._owner = secrets.token_hex(8)
        self._insert = sqlite.insert if database.dialect == "sqlite" else postgresql.insert

    async def add(self, events: Sequence[KeptEvent]) -> int:
        """Adds events at the end; those that wait already are left where they are.

        Returns:
            How many of the oldest had to be dropped.

        Raises:
            StoreDownError: the database is away; nothing was added, or all of it.
        """
        now = self._now()
        values = [
            {
                "subject": event.subject,
                "message_id": event.message_id,
                "payload": event.payload,
                "created_at": now,
            }
            for event in events
        ]
        async with self._database.session() as session:
            if values:
                await session.execute(self._insert(OutboxRow).on_conflict_do_nothing(), values)
            surplus = (await session.scalar(select(func.count()).select_from(OutboxRow)) or 0) - self._limit
            if surplus <= 0:
                return 0
            oldest = select(OutboxRow.id).order_by(OutboxRow.id).limit(surplus).scalar_subquery()
            await session.execute(delete(OutboxRow).where(OutboxRow.id.in_(oldest)))
            return surplus

    async def first(self, limit: int) -> list[KeptEvent]:
        """The events that wait longest.

        Raises:
            StoreDownError: the database is away.
        """
        async with self._database.session(reading=True) as session:
            rows = await session.scalars(select(OutboxRow).order_by(OutboxRow.id).limit(limit))
            return [
                KeptEvent(subject=row.subject, message_id=row.message_id, payload=row.payload, id=row.id)
                for row in rows
            ]

    async def remove(self, events: Sequence[KeptEvent]) -> None:
        """Removes events that arrived.

        Raises:
            StoreDownError: the database is away; they may be delivered again, with the same ids.
        """
        ids = [event.id for event in events]
        if ids:
            async with self._database.session() as session:
                await session.execute(delete(OutboxRow).where(OutboxRow.id.in_(ids)))

    async def take_turn(self) -> bool:
        """Whether this process may deliver, for :data:`TURN_S` seconds from now.

        Raises:
            StoreDownError: the database is away.
        """
        now = self._now()
        claim = self._insert(TurnRow).values(id=_TURN, owner=self._owner, until=now + timedelta(seconds=TURN_S))
        claim = claim.on_conflict_do_update(
            index_elements=[TurnRow.id],
            set_={"owner": claim.excluded.owner, "until": claim.excluded.until},
            where=or_(TurnRow.owner == self._owner, TurnRow.until < now),
        )
        async with self._database.session() as session:
            return (await session.execute(claim.returning(TurnRow.owner))).first() is not None

    async def end_turn(self) -> None:
        """Lets another process deliver.

        Raises:
            StoreDownError: the database is away.
        """
        async with self._database.session() as session:
            await session.execute(delete(TurnRow).where(TurnRow.owner == self._owner))
