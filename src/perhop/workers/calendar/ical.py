"""Bookings as iCalendar, and iCalendar as time that is taken (RFC 5545, by the libraries icalendar and
recurring-ical-events).

Slow: much of it belongs into the process beside (:mod:`perhop.workers.calendar.aside`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import recurring_ical_events
from icalendar import Calendar, Event

from perhop.errors import PerhopError
from perhop.workers.calendar.work import steps_of

__all__ = ["Busy", "CalendarError", "Entry", "busy_times", "domain_of", "feed", "sequence_of", "single", "uid_of"]

_PRODUCT = "-//Perhop//calendar//EN"

MAX_BUSY = 10_000
"""Recurrences of the events of one calendar that are looked at."""

MAX_STEPS = 5_000
"""Of work for one object: a rule that recurs every minute is refused before it is followed, a daily one may have begun
thirteen years ago."""


class CalendarError(PerhopError):
    """Not iCalendar, or something in it that cannot be read."""


class Busy(NamedTuple):
    """Time that an event takes; ``uid`` is a digest of the event and its time, the same whenever it is read."""

    uid: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A booking, as far as calendars show it.

    Attributes:
        uid: the event's globally unique name; see :func:`uid_of`.
    """

    uid: str
    id: str
    starts_at: datetime
    ends_at: datetime
    name: str | None
    phone: str | None
    note: str | None
    cancelled: bool
    revision: int
    created_at: datetime
    updated_at: datetime


def uid_of(booking_id: str, *, tenant: str, site: str) -> str:
    """The globally unique name of a booking's event.

    Args:
        site: that of the tables it is in.
    """
    return f"{hashlib.sha256(tenant.encode()).hexdigest()[:12]}-{booking_id}{domain_of(site)}"


def domain_of(site: str) -> str:
    """What the names of all events of these tables end with, and those of no others."""
    return f"@{site}.perhop"


def single(booking: Entry, *, title: str) -> bytes:
    """One booking as a calendar object, as CalDAV stores it."""
    calendar = _calendar()
    calendar.add_component(_event(booking, title))
    return bytes(calendar.to_ical())


def feed(bookings: Iterable[Entry], *, title: str) -> bytes:
    """Bookings as a calendar to subscribe to; those that were cancelled are in it as such."""
    calendar = _calendar()
    if title:
        calendar.add("name", title)
        calendar.add("x-wr-calname", title)
    for booking in bookings:
        calendar.add_component(_event(booking, title))
    return bytes(calendar.to_ical())


def busy_times(
    objects: Sequence[bytes], begin: datetime, end: datetime, *, zone: ZoneInfo, own: str = ""
) -> list[Busy]:
    """The time that events take between two moments, recurrences included, our own bookings not.

    Args:
        zone: of events without one, and of whole days.
        own: :func:`domain_of` our tables; empty where nothing is ours.

    Raises:
        CalendarError: something is no calendar, or recurs so often that it would take long to follow.
    """
    found: dict[str, Busy] = {}
    for data in objects:
        try:
            calendar = Calendar.from_ical(data)
            if steps_of(calendar, end) > MAX_STEPS:
                raise CalendarError(f"an event recurs more than {MAX_STEPS} times")
            events = recurring_ical_events.of(calendar).between(begin, end)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise CalendarError(f"an event cannot be read ({type(error).__name__})") from None
        for event in events:
            uid = str(event.get("UID", ""))
            if (own and uid.endswith(own)) or not _takes_time(event):
                continue
            starts_at, ends_at = _moment(event.start, zone), _moment(event.end, zone)
            if ends_at <= starts_at:
                continue
            digest = hashlib.sha256(f"{uid} {starts_at.isoformat()} {ends_at.isoformat()}".encode()).hexdigest()
            found[digest] = Busy(digest, starts_at, ends_at)
            if len(found) > MAX_BUSY:
                raise CalendarError(f"more than {MAX_BUSY} events")
    return list(found.values())


def sequence_of(data: bytes) -> int:
    """The revision of the event in a calendar object; -1 when there is none.

    Raises:
        CalendarError: it is no calendar.
    """
    try:
        events = Calendar.from_ical(data).walk("VEVENT")
        return max((int(event.get("SEQUENCE", 0)) for event in events), default=-1)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CalendarError(f"an event cannot be read ({type(error).__name__})") from None


def _calendar() -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    return calendar


def _event(booking: Entry, title: str) -> Event:
    event = Event()
    event.add("uid", booking.uid)
    event.add("dtstamp", booking.updated_at)
    event.add("created", booking.created_at)
    event.add("last-modified", booking.updated_at)
    event.add("sequence", booking.revision)
    event.add("dtstart", booking.starts_at)
    event.add("dtend", booking.ends_at)
    event.add("summary", ": ".join(part for part in (title, booking.name) if part) or "Booked")
    event.add("status", "CANCELLED" if booking.cancelled else "CONFIRMED")
    described = [f"Booking {booking.id}", booking.phone, booking.note]
    event.add("description", "\n".join(part for part in described if part))
    return event


def _takes_time(event: Event) -> bool:
    return str(event.get("TRANSP", "")).upper() != "TRANSPARENT" and str(event.get("STATUS", "")).upper() != "CANCELLED"


def _moment(at: date | datetime | timedelta, zone: ZoneInfo) -> datetime:
    if isinstance(at, timedelta):
        raise CalendarError("an event has a length in place of a time")
    if not isinstance(at, datetime):
        at = datetime.combine(at, time(0), zone)
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
