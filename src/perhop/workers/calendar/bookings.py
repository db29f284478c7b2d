"""Bookings in the database. That nobody has the same time twice is the key of the cells, not a look before."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.errors import PerhopError
from perhop.workers.calendar.hours import Resource, cells
from perhop.workers.calendar.ical import Entry, uid_of
from perhop.workers.calendar.tables import BookingRow, CellRow, SiteRow

__all__ = ["TakenError", "book", "cancel", "claim", "entry_of", "forget_past", "free_starts", "move", "site_of"]

_TRIES = 5

_BATCH = 100
"""Cells in one statement: longer ones take too long to be put together, beside the audio of calls."""


class TakenError(PerhopError):
    """Somebody else has this time, or part of it."""


async def free_starts(
    session: AsyncSession, resource: Resource, starts: Iterable[datetime], length: timedelta
) -> list[datetime]:
    """Those of these moments at which a booking of this length would be possible now."""
    wanted = {start: cells(start, start + length) for start in starts}
    if not wanted:
        return []
    first, last = min(one.start for one in wanted.values()), max(one.stop for one in wanted.values())
    taken = set(
        await session.scalars(
            select(CellRow.cell).where(
                CellRow.tenant == resource.tenant,
                CellRow.resource == resource.id,
                CellRow.cell >= first,
                CellRow.cell < last,
            )
        )
    )
    return [start for start, own in wanted.items() if taken.isdisjoint(own)]


async def book(session: AsyncSession, booking: BookingRow) -> BookingRow:
    """Adds a booking; its id is made here.

    Returns:
        The booking, or the same one that the same call already has: at this time, as long, and for the same person.

    Raises:
        TakenError: the time is taken; nothing was written.
    """
    try:
        async with session.begin_nested():
            booking.id = await _new_id(session, booking.tenant)
            await _take(session, booking)
            session.add(booking)
    except TakenError:
        own = await session.scalar(
            select(BookingRow).where(
                BookingRow.tenant == booking.tenant,
                BookingRow.resource == booking.resource,
                BookingRow.starts_at == booking.starts_at,
                BookingRow.ends_at == booking.ends_at,
                BookingRow.call_id == booking.call_id,
                # One call may book for several people: what is Ann's is taken for Bob.
                BookingRow.name.is_not_distinct_from(booking.name),
                BookingRow.phone.is_not_distinct_from(booking.phone),
                BookingRow.state == "booked",
            )
        )
        if own is None:
            raise
        return own
    return booking


async def move(session: AsyncSession, booking: BookingRow, start: datetime, *, now: datetime) -> None:
    """Gives a booking another time of the same length.

    Raises:
        TakenError: the time is taken; nothing was written.
    """
    end = start + (booking.ends_at - booking.starts_at)
    old, new = cells(booking.starts_at, booking.ends_at), cells(start, end)
    async with session.begin_nested():
        # The new ones first: whoever lets go before it takes hold can wait in a circle with others.
        await claim(session, booking.tenant, booking.resource, sorted(set(new) - set(old)), _owner(booking), all_=True)
        await session.execute(
            delete(CellRow).where(
                CellRow.tenant == booking.tenant,
                CellRow.owner == _owner(booking),
                CellRow.cell.in_(sorted(set(old) - set(new))),
            )
        )
        booking.starts_at, booking.ends_at = start, end
        _changed(booking, now)


async def cancel(session: AsyncSession, booking: BookingRow, *, now: datetime) -> None:
    """Frees the time of a booking."""
    await session.execute(delete(CellRow).where(CellRow.tenant == booking.tenant, CellRow.owner == _owner(booking)))
    booking.state = "cancelled"
    _changed(booking, now)


async def claim(
    session: AsyncSession, tenant: str, resource: str, wanted: Iterable[int], owner: str, *, all_: bool
) -> None:
    """Takes cells, in order, so that two who want the same never wait for each other in a circle.

    Args:
        all_: every one of them or none; otherwise those that are free.

    Raises:
        TakenError: some are somebody else's. The transaction, or its part, has to be rolled back.
    """
    rows = [{"tenant": tenant, "resource": resource, "cell": cell, "owner": owner} for cell in wanted]
    if not rows:
        return
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    got = 0
    for start in range(0, len(rows), _BATCH):
        statement = insert(CellRow).values(rows[start : start + _BATCH]).on_conflict_do_nothing()
        got += len((await session.scalars(statement.returning(CellRow.cell))).all())
    if all_ and got < len(rows):
        raise TakenError("taken")


async def forget_past(session: AsyncSession, before: datetime) -> int:
    """Deletes cells that are over and returns how many; bookings stay."""
    gone = await session.execute(delete(CellRow).where(CellRow.cell < cells(before, before).start))
    return cast("CursorResult[Any]", gone).rowcount


async def site_of(session: AsyncSession) -> str:
    """The name of these tables."""
    return (await session.scalars(select(SiteRow.id))).one()


def entry_of(booking: BookingRow, *, site: str) -> Entry:
    """A booking as calendars show it.

    Args:
        site: :func:`site_of` the tables it is in.
    """
    return Entry(
        uid=uid_of(booking.id, tenant=booking.tenant, site=site),
        id=booking.id,
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        name=booking.name,
        phone=booking.phone,
        note=booking.note,
        cancelled=booking.state == "cancelled",
        revision=booking.revision,
        created_at=booking.created_at,
        updated_at=booking.updated_at,
    )


async def _take(session: AsyncSession, booking: BookingRow) -> None:
    wanted = cells(booking.starts_at, booking.ends_at)
    await claim(session, booking.tenant, booking.resource, wanted, _owner(booking), all_=True)


async def _new_id(session: AsyncSession, tenant: str) -> str:
    """Not yet used; should another process take the same at this very moment, the key refuses one of them."""
    for _ in range(_TRIES):
        chosen = str(secrets.randbelow(90_000_000) + 10_000_000)
        if await session.get(BookingRow, (tenant, chosen)) is None:
            return chosen
    raise PerhopError("no number is left for a booking")


def _owner(booking: BookingRow) -> str:
    return f"booking:{booking.id}"


def _changed(booking: BookingRow, now: datetime) -> None:
    booking.revision += 1
    booking.updated_at = now
