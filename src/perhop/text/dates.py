"""A reader for dates: "tomorrow", "next friday", "march fifth", "the fifth of march", "in two weeks", "2026-03-05"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from perhop.text.numbers import read_cardinal, read_ordinal
from perhop.text.words import MONTHS, TEENS, TENS, UNITS, WEEKDAYS, Reading, word_at

__all__ = ["CalendarDay", "Day", "read_calendar_day", "read_date", "read_year"]

_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_SLASHES = re.compile(r"([0-9]{1,2})/([0-9]{1,2})(?:/([0-9]{2}|[0-9]{4}))?")
_SHORT = {name[:3]: n for name, n in WEEKDAYS.items()} | {"tues": 1, "thur": 3, "thurs": 3, "weds": 2} | WEEKDAYS
_SHORT_MONTHS = {name[:3]: n for name, n in MONTHS.items() if n != 5} | {"sept": 9} | MONTHS
_PRONOUNS = ("i", "you", "he", "she", "it", "we", "they")
_UNITS = {"day": 1, "days": 1, "week": 7, "weeks": 7, "fortnight": 14}


@dataclass(frozen=True, slots=True)
class Day:
    """A date as it was meant.

    Attributes:
        sure: False when people disagree about what was said ("next friday", "3/4"), so that it should be confirmed.
    """

    date: date
    sure: bool = True


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day of a month as it was said, whatever today is; ``year`` is None when it was left out."""

    month: int
    day: int
    year: int | None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _weekday(words: Sequence[str], at: int) -> int | None:
    return _SHORT.get(word_at(words, at).removesuffix("'s"))


def read_year(words: Sequence[str], at: int) -> Reading[int] | None:
    """A year from 1900 to 2099: "nineteen eighty four", "twenty twenty six", "two thousand and five", "2026"."""
    word = word_at(words, at)
    if len(word) == 4 and word.isdecimal() and 1900 <= int(word) <= 2099:
        return Reading(int(word), at + 1)
    if word in ("nineteen", "twenty"):
        century, rest = (19 if word == "nineteen" else 20) * 100, word_at(words, at + 1)
        if rest in ("oh", "o") and (unit := UNITS.get(word_at(words, at + 2))):
            return Reading(century + unit, at + 3)
        if rest == "hundred" and word == "nineteen":
            return Reading(century, at + 2)
        if rest in TEENS:
            return Reading(century + TEENS[rest], at + 2)
        if rest in TENS:
            unit = UNITS.get(word_at(words, at + 2), 0)
            return Reading(century + TENS[rest] + unit, at + (3 if unit else 2))
        return None
    if word == "two" and (number := read_cardinal(words, at)) and 2000 <= number.value <= 2099:
        return number
    return None


def _day_of_month(words: Sequence[str], at: int) -> Reading[int] | None:
    number = read_ordinal(words, at) or (None if word_at(words, at) == "a" else read_cardinal(words, at))
    return number if number and 1 <= number.value <= 31 else None


def _year_after(words: Sequence[str], at: int) -> Reading[int | None]:
    year = read_year(words, at + (word_at(words, at) in (",", "of", "in")))
    return Reading(year.value, year.end) if year else Reading(None, at)


def read_calendar_day(words: Sequence[str], at: int) -> Reading[CalendarDay] | None:
    """A day with its month: "march fifth", "the fifth of march twenty twenty six", "5 march", "March 5th, 2026"."""
    month = _SHORT_MONTHS.get(word_at(words, at))
    if word_at(words, at) == "may" and word_at(words, at - 1) in _PRONOUNS:
        return None
    if month is not None:
        after = at + 1 + (word_at(words, at + 1) in (".", "the"))
        day = _day_of_month(words, after)
        # "march twenty twenty six" is a month and a year, no day.
        if day and word_at(words, after) == "twenty" and (year := read_year(words, after)) and year.end > day.end:
            day = None
    else:
        start = at + (word_at(words, at) == "the")
        day = _day_of_month(words, start)
        if day is None:
            return None
        of = day.end + (word_at(words, day.end) == "of")
        month = _SHORT_MONTHS.get(word_at(words, of))
        if month is None or (_day_of_month(words, of + 1) and not read_year(words, of + 1)):
            return None  # no month, or one that has its own day: "first, january first"
        day = Reading(day.value, of + 1)
    if day is None or _date(2000, month, day.value) is None:
        return None
    year_ = _year_after(words, day.end)
    return Reading(CalendarDay(month, day.value, year_.value), year_.end)


def _complete(said: CalendarDay, today: date, prefer: Literal["future", "past"]) -> date | None:
    """The date of a calendar day; a missing year is the one that makes it the nearest in the preferred direction."""
    if said.year is not None:
        return _date(said.year, said.month, said.day)
    step = 1 if prefer == "future" else -1
    for year in range(today.year, today.year + 9 * step, step):
        found = _date(year, said.month, said.day)
        if found and (found - today).days * step >= 0:
            return found
    return None


def _numeric(word: str, today: date, prefer: Literal["future", "past"]) -> Day | None:
    if match := _ISO.fullmatch(word):
        found = _date(*(int(part) for part in match.groups()))
        return Day(found) if found else None
    if match := _SLASHES.fullmatch(word):
        month, day = int(match.group(1)), int(match.group(2))
        sure = day > 12 or month == day
        if month > 12:
            month, day, sure = day, month, True
        year = match.group(3)
        said = CalendarDay(month, day, None if year is None else int(year) + (2000 if len(year) == 2 else 0))
        found = _complete(said, today, prefer)
        return Day(found, sure) if found else None
    return None


def _on_weekday(words: Sequence[str], at: int, today: date) -> Reading[Day] | None:
    """ "friday", "this friday", "next friday", "friday next week", "friday the twelfth", "friday, march 5"."""
    word = word_at(words, at)
    which = word if word in ("this", "next", "coming") else ""
    if which == "this" and word_at(words, at + 1) == "coming":
        at, which = at + 1, "coming"
    weekday = _weekday(words, at + bool(which))
    if weekday is None:
        return None
    end = at + bool(which) + 1
    ahead = (weekday - today.weekday()) % 7
    monday = today - timedelta(days=today.weekday())
    if tuple(words[end : end + 2]) == ("next", "week"):
        return Reading(Day(monday + timedelta(days=7 + weekday)), end + 2)
    if tuple(words[end : end + 2]) == ("this", "week"):
        return Reading(Day(monday + timedelta(days=weekday), sure=monday + timedelta(days=weekday) >= today), end + 2)
    if which == "next":
        return Reading(Day(monday + timedelta(days=7 + weekday), sure=False), end)
    start = end + (word_at(words, end) == ",")
    exact = read_calendar_day(words, start)
    if exact and (found := _complete(exact.value, today, "future")):
        return Reading(Day(found, sure=found.weekday() == weekday), exact.end)
    if word_at(words, start) == "the" and (day := read_ordinal(words, start + 1)):
        found = _next_day_of_month(day.value, today)
        if found:
            return Reading(Day(found, sure=found.weekday() == weekday), day.end)
    if ahead == 0:
        return Reading(Day(today) if which == "this" else Day(today + timedelta(days=7), sure=False), end)
    return Reading(Day(today + timedelta(days=ahead)), end)


def _next_day_of_month(day: int, today: date) -> date | None:
    for months in range(4):
        year, month = divmod(today.year * 12 + today.month - 1 + months, 12)
        found = _date(year, month + 1, day)
        if found and found >= today:
            return found
    return None


def _distance(words: Sequence[str], at: int) -> Reading[int] | None:
    """ "two weeks", "a day", "ten days": a number of days."""
    number = Reading(1, at + 1) if word_at(words, at) in ("a", "an") else read_cardinal(words, at)
    if number is None or number.value > 1000:
        return None
    unit = _UNITS.get(word_at(words, number.end))
    return Reading(number.value * unit, number.end + 1) if unit else None


def _relative(words: Sequence[str], at: int, today: date) -> Reading[Day] | None:
    word = word_at(words, at)
    if word in ("today", "tonight"):
        return Reading(Day(today), at + 1)
    if word in ("tomorrow", "yesterday"):
        return Reading(Day(today + timedelta(days=1 if word == "tomorrow" else -1)), at + 1)
    skip = word == "the"
    if tuple(words[at + skip : at + skip + 3]) == ("day", "after", "tomorrow"):
        return Reading(Day(today + timedelta(days=2)), at + skip + 3)
    if word in ("this", "next", "the") and word_at(words, at + 1) == "weekend":
        saturday = today + timedelta(days=(5 - today.weekday()) % 7 + (7 if word == "next" else 0))
        return Reading(Day(saturday, sure=False), at + 2)
    inside = word == "in"
    if distance := _distance(words, at + inside):
        if inside:
            return Reading(Day(today + timedelta(days=distance.value)), distance.end)
        tail = tuple(words[distance.end : distance.end + 2])
        if tail in (("from", "now"), ("from", "today")):
            return Reading(Day(today + timedelta(days=distance.value)), distance.end + 2)
        if tail[:1] == ("from",) and (anchor := read_date(words, distance.end + 1, today)):
            return Reading(Day(anchor.value.date + timedelta(days=distance.value), anchor.value.sure), anchor.end)
    return None


def read_date(
    words: Sequence[str], at: int, today: date, *, bare: bool = False, prefer: Literal["future", "past"] = "future"
) -> Reading[Day] | None:
    """A date, relative to ``today``.

    Args:
        words: lower-case words.
        at: where to look.
        today: what "tomorrow" is relative to.
        bare: also take a lone day of the month ("the fifth", "the 21st").
        prefer: whether a day without a year lies ahead (the default) or behind (a date of birth).
    """
    if numeric := _numeric(word_at(words, at), today, prefer):
        return Reading(numeric, at + 1)
    if found := _relative(words, at, today) or _on_weekday(words, at, today):
        return found
    if said := read_calendar_day(words, at):
        complete = _complete(said.value, today, prefer)
        return Reading(Day(complete), said.end) if complete else None
    if bare and word_at(words, at) == "the" and (day := read_ordinal(words, at + 1)):
        complete = _next_day_of_month(day.value, today)
        return Reading(Day(complete), day.end) if complete else None
    return None
