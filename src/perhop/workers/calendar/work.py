"""How much work it is to find the recurrences of an event, before any is looked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Final

from icalendar import Calendar

__all__ = ["steps_of"]

_SECONDS: Final = {
    "SECONDLY": 1,
    "MINUTELY": 60,
    "HOURLY": 3_600,
    "DAILY": 86_400,
    "WEEKLY": 7 * 86_400,
    "MONTHLY": 28 * 86_400,
    "YEARLY": 365 * 86_400,
}
_DAYS: Final = {"WEEKLY": 7, "MONTHLY": 31, "YEARLY": 366}
"""In one step, where a rule names days."""

_CHEAP: Final = 20
"""Days that are passed over cost as much as one that counts."""

_OF_DAYS: Final = ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH")
_OF_TIMES: Final = ("BYHOUR", "BYMINUTE", "BYSECOND")


def steps_of(calendar: Calendar, end: datetime) -> int:
    """Moments that have to be looked at for the recurrences until ``end``, at most: one for a plain event.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: an event cannot be read.
    """
    steps = 0
    for event in calendar.walk("VEVENT"):
        steps += 1
        for name in ("RDATE", "EXDATE"):
            steps += sum(len(dates.dts) for dates in _list(event.get(name)))
        for rule in _list(event.get("RRULE")):
            steps += _steps_of_rule(rule, event.decoded("DTSTART"), end)
    return steps


def _steps_of_rule(rule: Mapping[str, Any], start: date | datetime, end: datetime) -> int:
    kind = str(rule["FREQ"][0]).upper()
    begin = start if isinstance(start, datetime) else datetime.combine(start, time(0))
    begin = begin if begin.tzinfo is not None else begin.replace(tzinfo=UTC)
    interval = max(1, int(_list(rule.get("INTERVAL"))[0])) if rule.get("INTERVAL") else 1
    # A day more, for whatever the zones are.
    steps = int(max(0.0, (end - begin).total_seconds() + 86_400) / (_SECONDS[kind] * interval)) + 1
    filters = [name for name in (*_OF_DAYS, *_OF_TIMES) if rule.get(name)]
    if not filters and rule.get("COUNT"):
        return min(steps, max(1, int(_list(rule["COUNT"])[0])))
    times = math.prod(max(1, len(_list(rule.get(name)))) for name in _OF_TIMES)
    if kind in _DAYS and any(name in _OF_DAYS for name in filters):
        # Of the days in a step most are passed over, which costs little; not so if they have many times.
        days = steps * _DAYS[kind]
        return steps + days // _CHEAP if times == 1 else days * times
    return steps * times


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, Mapping | str) else [value]
