"""Why a time is not possible, in sentences that name times that are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from perhop.text.verbalise import say_date, say_list, say_time
from perhop.workers.calendar.hours import Resource

__all__ = ["some_times", "why_no_day", "why_no_time"]

_SOME = 3


def why_no_day(resource: Resource, day: date, now: datetime) -> str | None:
    """Why nothing can be booked on this day at all; None when something can."""
    today, last = resource.today(now), resource.last_day(now)
    following = resource.next_open_day(day, now)
    possible = f" The next possible day is {say_date(following)}." if following is not None else ""
    if day < today:
        return f"{say_date(day)} is already over.{possible}"
    if day > last:
        return f"Bookings are possible up to {say_date(last)}."
    if not resource.open_on(day):
        return f"Nothing can be booked on {say_date(day)}.{possible}"
    return None


def why_no_time(
    resource: Resource, wanted: datetime, length: timedelta, *, free: Sequence[datetime], now: datetime
) -> str:
    """Why a moment on a day with working hours cannot be had.

    Args:
        free: moments on the same day that can.
    """
    at = resource.local(wanted)
    day, spoken = at.date(), say_time(at.time())
    starts = resource.starts(day, length)
    if wanted in starts and wanted < now + resource.notice:
        reason = f"{spoken.capitalize()} is too soon." if wanted > now else f"{spoken.capitalize()} is already over."
    elif wanted in starts:
        reason = f"{spoken.capitalize()} is already taken on {say_date(day)}."
    elif starts and starts[0] <= wanted <= starts[-1]:
        reason = f"{spoken.capitalize()} is not a time at which a booking can begin."
    elif starts:
        first, last = (say_time(resource.local(one).time()) for one in (starts[0], starts[-1]))
        reason = f"On {say_date(day)} bookings begin from {first} to {last}."
    else:
        reason = f"There is no time that long on {say_date(day)}."
    if free:
        nearest = sorted(sorted(free, key=lambda one: abs(one - wanted))[:_SOME])
        return f"{reason} {some_times(resource, nearest).capitalize()} would be possible."
    following = resource.next_open_day(day, now)
    ask = f" {say_date(following)} may be possible." if following is not None else ""
    return f"{reason} Nothing is left on that day.{ask}"


def some_times(resource: Resource, moments: Sequence[datetime]) -> str:
    """The first few of these moments as local times: ``9 am, 10 am or noon``."""
    return say_list([say_time(resource.local(one).time()) for one in moments[:_SOME]], joint="or")
