"""Days and moments that tools take: within what calendars, clocks and databases can count."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime

__all__ = ["FIRST_DAY", "LAST_DAY", "Day", "Moment"]

FIRST_DAY: Final = dt.date(1970, 1, 2)
LAST_DAY: Final = dt.date(2199, 12, 30)
"""Whoever goes on from a day to the next, or changes its time zone, stays within what Python and databases know."""


def _day(day: dt.date) -> dt.date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"must be from {FIRST_DAY} to {LAST_DAY}")
    return day


def _moment(moment: dt.datetime) -> dt.datetime:
    _day(moment.date())
    return moment


Day = Annotated[dt.date, AfterValidator(_day)]
Moment = Annotated[AwareDatetime, AfterValidator(_moment)]
