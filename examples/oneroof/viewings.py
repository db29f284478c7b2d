"""Who sees which home when. In memory: a restart forgets it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from perhop import ToolError
from perhop.text.verbalise import say_date, say_list, say_time

__all__ = ["Viewing", "Viewings"]

FIRST, LAST = time(9), time(17)
SATURDAY_LAST = time(13)
DAYS_AHEAD = 60


@dataclass(frozen=True, slots=True)
class Viewing:
    """One visit of one home, an hour long."""

    listing_id: int
    day: date
    time: time
    name: str | None
    call_id: str


def _now() -> datetime:
    return datetime.now().astimezone()


class Viewings:
    """The diary. Viewings begin on the hour: Monday to Friday 9 to 5, Saturday 9 to 1.

    Args:
        clock: the current local time.
    """

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._booked: dict[tuple[int, date, time], Viewing] = {}
        self._lock = threading.Lock()

    def today(self) -> date:
        """The current local day."""
        return self._clock().date()

    def free(self, listing_id: int, day: date) -> list[time]:
        """The times on this day when the home can still be seen."""
        now = self._clock()
        return [
            start
            for start in _hours(day)
            if (listing_id, day, start) not in self._booked and (day, start) > (now.date(), now.time())
        ]

    def check_day(self, day: date) -> None:
        """Nothing, if homes are shown on this day at all.

        Raises:
            ToolError: it is over, too far ahead or a Sunday; the message names a day that is possible.
        """
        today = self.today()
        if day < today:
            raise ToolError(f"{say_date(day)} is already over. The next possible day is {say_date(self._next(today))}.")
        if day > today + timedelta(days=DAYS_AHEAD):
            raise ToolError(f"I can only book up to {say_date(today + timedelta(days=DAYS_AHEAD))}.")
        if not _hours(day):
            raise ToolError(f"We show no homes on Sundays. The next possible day is {say_date(self._next(day))}.")

    def book(self, listing_id: int, day: date, start: time, *, name: str | None, call_id: str) -> Viewing:
        """Books an hour. A caller who books the same hour again keeps the one viewing.

        Raises:
            ToolError: the time is not possible; the message names times that are.
        """
        self.check_day(day)
        with self._lock:
            key = (listing_id, day, start)
            booked = self._booked.get(key)
            if booked is not None and booked.call_id == call_id:
                return booked
            free = self.free(listing_id, day)
            if start not in free:
                raise ToolError(self._why_not(day, start, free, taken=booked is not None))
            viewing = Viewing(listing_id, day, start, name, call_id)
            self._booked[key] = viewing
            return viewing

    def _why_not(self, day: date, start: time, free: list[time], *, taken: bool) -> str:
        hours = _hours(day)
        if taken:
            reason = f"{say_time(start).capitalize()} is already taken on {say_date(day)}."
        elif start in hours:
            reason = f"{say_time(start).capitalize()} is already over today."
        elif hours[0] <= start <= hours[-1]:
            reason = "Viewings start on the hour."
        else:
            reason = f"On {say_date(day)} we show homes from {say_time(hours[0])} to {say_time(hours[-1])}."
        if not free:
            return f"{reason} Nothing is left on that day; {say_date(self._next(day))} is possible."
        nearest = sorted(free, key=lambda other: abs(_minutes(other) - _minutes(start)))[:3]
        return f"{reason} You could come at {say_list([say_time(other) for other in sorted(nearest)], joint='or')}."

    def _next(self, day: date) -> date:
        """The first day after ``day`` on which homes are shown."""
        after = day + timedelta(days=1)
        return after if _hours(after) else after + timedelta(days=1)


def _hours(day: date) -> list[time]:
    last = {5: SATURDAY_LAST, 6: None}.get(day.weekday(), LAST)
    return [time(hour) for hour in range(FIRST.hour, last.hour + 1)] if last else []


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute
