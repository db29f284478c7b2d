"""What callers can do with a calendar; the methods of :class:`Diary` are the worker's tools."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select

from perhop.text.verbalise import say_date, say_time
from perhop.tools.errors import ToolError, ToolUnavailableError
from perhop.tools.schema import Slot
from perhop.workers.calendar import bookings
from perhop.workers.calendar.aside import Aside, AsideError
from perhop.workers.calendar.hours import Resource
from perhop.workers.calendar.saying import some_times, why_no_day, why_no_time
from perhop.workers.calendar.tables import BookingRow
from perhop.workers.days import Day
from perhop.workers.phones import normalise
from perhop.workers.sdk import WorkerContext

__all__ = ["CALDAV", "Diary"]

CALDAV = "caldav"
"""The delivery that tells calendars elsewhere."""

MAX_LISTED = 20
MAX_EXPORTED = 500

BookingId = Annotated[str, Field(pattern=r"^[0-9]{8}$"), Slot(prompt="What is the number of the booking?")]
OnDay = Annotated[Day, Slot(prompt="On which day?")]
Length = Annotated[int, Field(ge=5, le=720, multiple_of=5), Slot(prompt="How many minutes do you need?")]
Name = Annotated[str, Field(min_length=1, max_length=100), Slot(prompt="Under which name?")]
Note = Annotated[str, Field(max_length=500), Slot(prompt="What should I note?")]
Phone = Annotated[
    str, Field(pattern=r"^\+?[0-9() .-]{7,24}$"), Slot(prompt="What is your phone number, area code first?")
]
ResourceId = Annotated[str, Field(min_length=1, max_length=64), Slot(prompt="Which one would you like to book?")]
Time = Annotated[dt.time, Slot(prompt="At what time?")]


class Diary:
    """Books what the settings say can be booked.

    Args:
        resources: by tenant and id.
        aside: writes iCalendar.
        region: ISO 3166 code of the country whose telephone numbers come without a country code.
        now: the time, with its zone.
    """

    def __init__(
        self,
        resources: Mapping[tuple[str, str], Resource],
        aside: Aside,
        *,
        region: str,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._resources = resources
        self._aside = aside
        self._region = region
        self._now = now

    async def find_free_times(
        self, resource_id: ResourceId, day: OnDay, length_min: Length | None = None, *, context: WorkerContext
    ) -> dict[str, object]:
        """Tells when something is free on a day.

        Args:
            resource_id: Whom or what to book.
            day: The day.
            length_min: For how many minutes, if not as long as usual.
        """
        resource, now = self._resource(context, resource_id), self._now()
        if reason := why_no_day(resource, day, now):
            raise ToolError(reason)
        length = _length(resource, length_min)
        free = await self._free(resource, day, length, now, context)
        spoken_day = say_date(day)
        if free:
            summary = f"On {spoken_day} {some_times(resource, free)} would be possible."
        else:
            following = resource.next_open_day(day, now)
            ask = f" {say_date(following)} may be possible." if following is not None else ""
            summary = f"Nothing is left on {spoken_day}.{ask}"
        return {
            "summary": summary,
            "resource_id": resource.id,
            "title": resource.title,
            "day": day,
            "timezone": str(resource.zone),
            "times": [resource.local(one).time() for one in free],
        }

    async def book_appointment(
        self,
        resource_id: ResourceId,
        day: OnDay,
        time: Time,
        name: Name | None = None,
        phone: Phone | None = None,
        length_min: Length | None = None,
        note: Note | None = None,
        *,
        context: WorkerContext,
    ) -> dict[str, object]:
        """Books a time, which is then nobody else's.

        Args:
            resource_id: Whom or what to book.
            day: The day.
            time: When it begins, in local time.
            name: Whom to expect.
            phone: The caller's phone number.
            length_min: For how many minutes, if not as long as usual.
            note: What to know about it.
        """
        resource, now = self._resource(context, resource_id), self._now()
        length = _length(resource, length_min)
        start = await self._possible(resource, day, time, length, now, context)
        wanted = BookingRow(
            tenant=context.tenant,
            resource=resource.id,
            starts_at=start,
            ends_at=start + length,
            name=name,
            phone=normalise(phone, region=self._region) if phone is not None else None,
            note=note,
            call_id=context.call_id,
            state="booked",
            revision=0,
            created_at=now,
            updated_at=now,
        )
        try:
            booking = await bookings.book(context.session, wanted)
        except bookings.TakenError:
            raise await self._taken(resource, start, length, now, context) from None
        self._tell(resource, booking, context)
        return _told(resource, booking)

    async def reschedule_appointment(
        self, booking_id: BookingId, day: OnDay, time: Time, *, context: WorkerContext
    ) -> dict[str, object]:
        """Moves a booking to another time.

        Args:
            booking_id: The number of the booking, eight digits.
            day: The new day.
            time: When it begins then, in local time.
        """
        booking, now = await self._booking(booking_id, context), self._now()
        if booking.state == "cancelled":
            raise ToolError("This booking was cancelled. Book a new one.")
        resource = self._resource(context, booking.resource)
        length = booking.ends_at - booking.starts_at
        start = await self._possible(resource, day, time, length, now, context)
        if start != booking.starts_at:
            try:
                await bookings.move(context.session, booking, start, now=now)
            except bookings.TakenError:
                raise await self._taken(resource, start, length, now, context) from None
            self._tell(resource, booking, context)
        return _told(resource, booking)

    async def cancel_appointment(self, booking_id: BookingId, *, context: WorkerContext) -> dict[str, object]:
        """Cancels a booking; its time is free again.

        Args:
            booking_id: The number of the booking, eight digits.
        """
        booking = await self._booking(booking_id, context)
        resource = self._resource(context, booking.resource)
        if booking.state != "cancelled":
            await bookings.cancel(context.session, booking, now=self._now())
            self._tell(resource, booking, context)
        return _told(resource, booking)

    async def find_appointments(self, phone: Phone, *, context: WorkerContext) -> dict[str, object]:
        """Finds the bookings that are ahead, by the phone number they were made with.

        Args:
            phone: The phone number.
        """
        rows = await context.session.scalars(
            select(BookingRow)
            .where(
                BookingRow.tenant == context.tenant,
                BookingRow.phone == normalise(phone, region=self._region),
                BookingRow.state == "booked",
                BookingRow.ends_at > self._now(),
            )
            .order_by(BookingRow.starts_at)
            .limit(MAX_LISTED)
        )
        found = [
            _told(self._resources[context.tenant, row.resource], row)
            for row in rows
            if (context.tenant, row.resource) in self._resources
        ]
        return {"appointments": found, "count": len(found)}

    async def export_calendar(
        self,
        resource_id: ResourceId,
        first_day: Annotated[Day, Slot(prompt="From which day on?")],
        last_day: Annotated[Day, Slot(prompt="Up to which day?")],
        *,
        context: WorkerContext,
    ) -> dict[str, Any]:
        """Exports the bookings of some days as iCalendar (RFC 5545).

        Args:
            resource_id: Whose calendar.
            first_day: From this day on.
            last_day: Up to this day, and with it.
        """
        resource = self._resource(context, resource_id)
        begin = resource.moment(first_day, dt.time(0))
        end = resource.moment(last_day + dt.timedelta(days=1), dt.time(0))
        rows = await context.session.scalars(
            select(BookingRow)
            .where(
                BookingRow.tenant == context.tenant,
                BookingRow.resource == resource.id,
                BookingRow.starts_at >= begin,
                BookingRow.starts_at < end,
            )
            .order_by(BookingRow.starts_at, BookingRow.id)
            .limit(MAX_EXPORTED + 1)
        )
        found = rows.all()
        if len(found) > MAX_EXPORTED:
            raise ToolError(f"These are more than {MAX_EXPORTED} bookings. Ask for fewer days.")
        site = await bookings.site_of(context.session)
        try:
            calendar = await self._aside.write(
                [bookings.entry_of(row, site=site) for row in found], title=resource.title or resource.id
            )
        except AsideError:
            raise ToolUnavailableError("The calendar cannot be exported now.", sent=False) from None
        return {"count": len(found), "icalendar": calendar.decode()}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _resource(self, context: WorkerContext, resource_id: str) -> Resource:
        found = self._resources.get((context.tenant, resource_id))
        if found is None:
            known = [resource.id for resource in self._resources.values() if resource.tenant == context.tenant]
            some = f" There is {', '.join(known[:MAX_LISTED])}." if 0 < len(known) <= MAX_LISTED else ""
            raise ToolError(f"There is nothing of this name to be booked.{some}")
        return found

    @staticmethod
    async def _booking(booking_id: str, context: WorkerContext) -> BookingRow:
        booking = await context.session.get(BookingRow, (context.tenant, booking_id), with_for_update=True)
        if booking is None:
            raise ToolError("There is no booking with this number. Ask for the eight digits again.")
        return booking

    async def _possible(
        self,
        resource: Resource,
        day: dt.date,
        time: dt.time,
        length: dt.timedelta,
        now: dt.datetime,
        context: WorkerContext,
    ) -> dt.datetime:
        """The moment, if bookings can begin at it; whether it is free the database says."""
        if reason := why_no_day(resource, day, now):
            raise ToolError(reason)
        start = resource.moment(day, time)
        if start not in resource.starts(day, length) or start < now + resource.notice:
            raise await self._taken(resource, start, length, now, context)
        return start

    async def _taken(
        self,
        resource: Resource,
        start: dt.datetime,
        length: dt.timedelta,
        now: dt.datetime,
        context: WorkerContext,
    ) -> ToolError:
        free = await self._free(resource, resource.local(start).date(), length, now, context)
        return ToolError(why_no_time(resource, start, length, free=free, now=now))

    @staticmethod
    async def _free(
        resource: Resource, day: dt.date, length: dt.timedelta, now: dt.datetime, context: WorkerContext
    ) -> list[dt.datetime]:
        starts = [one for one in resource.starts(day, length) if one >= now + resource.notice]
        return await bookings.free_starts(context.session, resource, starts, length)

    @staticmethod
    def _tell(resource: Resource, booking: BookingRow, context: WorkerContext) -> None:
        if resource.caldav is not None:
            context.effects.add(CALDAV, {"booking": booking.id})


def _length(resource: Resource, length_min: int | None) -> dt.timedelta:
    return dt.timedelta(minutes=length_min) if length_min is not None else resource.length


def _told(resource: Resource, booking: BookingRow) -> dict[str, object]:
    local = resource.local(booking.starts_at)
    return {
        "booking_id": booking.id,
        "resource_id": resource.id,
        "title": resource.title or resource.id,
        "day": local.date(),
        "time": local.time(),
        "when": f"{say_date(local.date())} at {say_time(local.time())}",
        "length_min": round((booking.ends_at - booking.starts_at).total_seconds() / 60),
        "timezone": str(resource.zone),
        "name": booking.name,
        "state": booking.state,
    }
