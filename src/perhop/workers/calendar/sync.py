"""Keeping calendars elsewhere and ours in step.

Bookings are ours: they are written to the other calendar, and what somebody changes of them there is not read. All
other events there are theirs: they take their time here. A booking made while such an event appears stays a booking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from perhop.store import Database, StoreError
from perhop.tools.guard import Guard, OutgoingError
from perhop.workers.calendar import bookings
from perhop.workers.calendar.aside import Aside, AsideError
from perhop.workers.calendar.caldav import CalDavCalendar, CalDavError, ChangedError
from perhop.workers.calendar.hours import Resource, cells
from perhop.workers.calendar.ical import Busy, CalendarError, Entry, domain_of, single
from perhop.workers.calendar.tables import BookingRow, CellRow, EventRow
from perhop.workers.sdk import Effect, NotSentError, RefusedError, Site

__all__ = ["Sync"]

_log = structlog.get_logger(__name__)

_A_DAY = timedelta(days=1)


class Sync:
    """Writes bookings to calendars elsewhere and reads what else takes time there.

    Args:
        guard: the way out.
        aside: reads what comes back.
        every_s: between two readings.
        now: the time, with its zone.
    """

    def __init__(
        self,
        resources: Mapping[tuple[str, str], Resource],
        guard: Guard,
        aside: Aside,
        *,
        every_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._resources = {key: one for key, one in resources.items() if one.caldav is not None}
        self._calendars = {
            key: CalDavCalendar(one.caldav, guard) for key, one in self._resources.items() if one.caldav is not None
        }
        self._aside = aside
        self._every_s = every_s
        self._now = now
        self._database: Database | None = None

    @property
    def needed(self) -> bool:
        """Whether any resource has a calendar elsewhere."""
        return bool(self._resources)

    async def run(self, site: Site) -> None:
        """Reads all calendars from time to time; runs until cancelled."""
        self._database = site.database
        while True:
            for key, resource in self._resources.items():
                try:
                    await self.pull(resource, site.database)
                except (OutgoingError, CalDavError, CalendarError, AsideError, StoreError) as error:
                    _log.warning("calendar not read", resource=key[1], error=type(error).__qualname__)
            await asyncio.sleep(self._every_s)

    async def pull(self, resource: Resource, database: Database) -> None:
        """Reads what takes time in one calendar, and takes the same time here.

        Raises:
            OutgoingError: the server was not reached, or did not answer.
            CalDavError, CalendarError: it answered with something else, or with too much.
            AsideError: nobody could read it.
            StoreError: the database is away.
        """
        now = self._now()
        begin, end = now - _A_DAY, now + resource.ahead + 2 * _A_DAY
        report = await self._calendars[resource.tenant, resource.id].between(begin, end)
        async with database.session(reading=True) as session:
            own = domain_of(await bookings.site_of(session))
        reading = await self._aside.read(report, begin, end, zone=resource.zone, own=own)
        busy = {one.uid: one for one in reading.busy}
        if reading.unread:
            _log.warning("events that cannot be read were left out", resource=resource.id, events=reading.unread)
        # Taking and letting go are apart: in one transaction they and a booking could wait for each other in a circle.
        async with database.session() as session:
            gone = await _take(session, resource, busy)
        if gone:
            async with database.session() as session:
                await _let_go(session, resource, gone)
            async with database.session() as session:
                await _take(session, resource, busy)

    async def push(self, effect: Effect) -> str | None:
        """Makes the event elsewhere what the booking is now, whichever change of it asked for that.

        Raises:
            NotSentError: nothing was sent yet.
            RefusedError: the booking has no calendar elsewhere any more.
            OutgoingError, CalDavError: nobody knows; another try finds out.
        """
        database = self._database
        if database is None:
            raise NotSentError("the worker is only starting")
        async with database.session(reading=True) as session:
            booking = await session.get(BookingRow, (effect.tenant, str(effect.payload["booking"])))
            site = await bookings.site_of(session)
        if booking is None or (booking.tenant, booking.resource) not in self._resources:
            raise RefusedError("this booking has no calendar elsewhere")
        # Only the first attempt may trust this: what one before sent may have arrived after a later change was written.
        if effect.attempt == 1 and booking.pushed is not None and booking.pushed >= booking.revision:
            return bookings.entry_of(booking, site=site).uid
        resource = self._resources[booking.tenant, booking.resource]
        calendar = self._calendars[booking.tenant, booking.resource]
        written = False
        while True:
            entry = bookings.entry_of(booking, site=site)
            try:
                etag = await self._write(calendar, entry, etag=booking.etag, title=resource.title)
            except OutgoingError as error:
                if not error.sent and not written:
                    raise NotSentError("the calendar server was not reached") from None
                raise
            written = True
            async with database.session() as session:
                newest = await _pushed(session, booking, etag)
            if newest is None or newest.revision == booking.revision:
                return entry.uid
            # Whoever wrote the change, in this process or another, may have done so before what we wrote arrived.
            booking = newest

    async def _write(self, calendar: CalDavCalendar, entry: Entry, *, etag: str | None, title: str) -> str | None:
        if entry.cancelled:
            await calendar.delete(entry.uid)
            return None
        data = single(entry, title=title)
        try:
            return await calendar.put(entry.uid, data, etag=etag)
        except ChangedError:
            # Another attempt of ours, a person, or another replica was there in between: the newest revision stays.
            stored = await calendar.get(entry.uid)
        if stored is not None and await self._revision(stored.data) > entry.revision:
            return stored.etag
        return await calendar.put(entry.uid, data, etag=stored.etag if stored is not None else None)

    async def _revision(self, data: bytes) -> int:
        try:
            return await self._aside.sequence(data)
        except CalendarError:
            return -1


async def _pushed(session: AsyncSession, booking: BookingRow, etag: str | None) -> BookingRow | None:
    """Notes what the calendar elsewhere has, unless that is known to be newer; returns the booking as it is now."""
    own = (BookingRow.tenant == booking.tenant, BookingRow.id == booking.id)
    older = BookingRow.pushed.is_(None) | (BookingRow.pushed <= booking.revision)
    await session.execute(update(BookingRow).where(*own, older).values(pushed=booking.revision, etag=etag))
    return await session.get(BookingRow, (booking.tenant, booking.id))


async def _take(session: AsyncSession, resource: Resource, busy: Mapping[str, Busy]) -> list[str]:
    """Takes the time of these events, as far as it is free; returns those that are known and no longer there."""
    own = (EventRow.tenant == resource.tenant, EventRow.resource == resource.id)
    known = set(await session.scalars(select(EventRow.uid).where(*own)))
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    for one in sorted(busy.values(), key=lambda event: (event.starts_at, event.uid)):
        if one.uid not in known:
            values = {"tenant": resource.tenant, "resource": resource.id, "uid": one.uid}
            times = {"starts_at": one.starts_at, "ends_at": one.ends_at}
            await session.execute(insert(EventRow).values(**values, **times).on_conflict_do_nothing())
        # Every time: what a booking had is free once that is cancelled, and then theirs.
        wanted = cells(one.starts_at, one.ends_at)
        await bookings.claim(session, resource.tenant, resource.id, wanted, _owner(one.uid), all_=False)
    return sorted(known - busy.keys())


async def _let_go(session: AsyncSession, resource: Resource, gone: Sequence[str]) -> None:
    for uid in gone:
        own = (CellRow.tenant == resource.tenant, CellRow.resource == resource.id, CellRow.owner == _owner(uid))
        await session.execute(delete(CellRow).where(*own))
        event = (EventRow.tenant == resource.tenant, EventRow.resource == resource.id, EventRow.uid == uid)
        await session.execute(delete(EventRow).where(*event))


def _owner(uid: str) -> str:
    return f"event:{uid}"
