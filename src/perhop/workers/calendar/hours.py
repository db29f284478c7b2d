"""Working hours as moments: local times of a day, made exact. No clock and no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from perhop.config.workers import CalDavSettings, HoursSettings, ResourceSettings

__all__ = ["CELL_S", "Resource", "cells", "resources_of"]

CELL_S = 300
"""Time is divided into cells of five minutes, counted from 1970. A booking takes all cells it touches."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Whom or what callers can book.

    Attributes:
        title: for sentences; may be empty.
        length: of a booking that says nothing else.
        notice: earliest time from now.
    """

    id: str
    tenant: str
    title: str
    zone: ZoneInfo
    hours: tuple[HoursSettings, ...]
    length: timedelta
    step: timedelta
    notice: timedelta
    ahead: timedelta
    caldav: CalDavSettings | None = field(default=None, repr=False)

    def today(self, now: datetime) -> date:
        """The local day."""
        return now.astimezone(self.zone).date()

    def last_day(self, now: datetime) -> date:
        """The latest day that can be booked."""
        return self.today(now) + self.ahead

    def open_on(self, day: date) -> bool:
        """Whether anything can be booked on this day."""
        return any(_DAYS[day.weekday()] in hours.days for hours in self.hours)

    def next_open_day(self, day: date, now: datetime) -> date | None:
        """The first day after this one, and not in the past, with working hours; None when there is none in reach."""
        after = max(day, self.today(now) - timedelta(days=1))
        while (after := after + timedelta(days=1)) <= self.last_day(now):
            if self.open_on(after):
                return after
        return None

    def starts(self, day: date, length: timedelta) -> list[datetime]:
        """Moments on this local day at which a booking of this length may begin, in UTC, in order.

        Local times that a change of clocks leaves out do not occur; of those that occur twice the first counts.
        """
        found: set[datetime] = set()
        for hours in self.hours:
            if _DAYS[day.weekday()] not in hours.days:
                continue
            last = day if hours.until != time(0) else day + timedelta(days=1)
            end = datetime.combine(last, hours.until, self.zone).astimezone(UTC)
            at = datetime.combine(day, hours.begin)
            while at.date() == day:
                start = at.replace(tzinfo=self.zone).astimezone(UTC)
                exists = start.astimezone(self.zone).replace(tzinfo=None) == at
                if exists and start + length <= end:
                    found.add(start)
                at += self.step
        return sorted(found)

    def moment(self, day: date, at: time) -> datetime:
        """A local time as a moment in UTC."""
        return datetime.combine(day, at, self.zone).astimezone(UTC)

    def local(self, moment: datetime) -> datetime:
        """A moment as local time."""
        return moment.astimezone(self.zone)


def resources_of(settings: Iterable[ResourceSettings]) -> Mapping[tuple[str, str], Resource]:
    """All resources, by tenant and id."""
    return {
        (group.tenant, one): Resource(
            id=one,
            tenant=group.tenant,
            title=group.title,
            zone=ZoneInfo(group.timezone),
            hours=group.hours,
            length=timedelta(minutes=group.length_min),
            step=timedelta(minutes=group.step_min),
            notice=timedelta(minutes=group.notice_min),
            ahead=timedelta(days=group.ahead_days),
            caldav=group.caldav,
        )
        for group in settings
        for one in group.ids
    }


def cells(start: datetime, end: datetime) -> range:
    """The cells between two moments, those that are only touched included."""
    return range(int(start.timestamp() // CELL_S), -int(-end.timestamp() // CELL_S))
