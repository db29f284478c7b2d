"""A reader for times of day: "two thirty p m", "half past two", "quarter to three in the afternoon", "14:30"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Literal

from perhop.text.numbers import read_cardinal
from perhop.text.words import TEENS, TENS, UNITS, Reading, word_at

__all__ = ["Clock", "DayPart", "read_day_part", "read_time"]

DayPart = Literal["am", "pm"]

_WRITTEN = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_NAMED = {"noon": time(12, 0), "midday": time(12, 0), "midnight": time(0, 0)}
_PARTS: dict[str, DayPart] = {"morning": "am", "afternoon": "pm", "evening": "pm", "night": "pm"}
_FIRST_WORKING_HOUR = 8


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day as it was said.

    Attributes:
        hour: 0 to 23 when ``part`` is known or the hour says it itself, else 1 to 12.
        part: morning or afternoon, None when that was left open.
    """

    hour: int
    minute: int
    part: DayPart | None

    @property
    def open(self) -> bool:
        """Whether morning or afternoon was left open."""
        return self.part is None and 1 <= self.hour <= 12

    def with_part(self, part: DayPart) -> Clock:
        """The same time in that half of the day, if it was open."""
        return _clock(self.hour, self.minute, part) or self if self.open else self

    def resolve(self) -> time:
        """The time; an open one is taken within working hours, 8 in the morning to 7 in the evening."""
        clock = self
        if self.open:
            clock = self.with_part("am" if _FIRST_WORKING_HOUR <= self.hour < 12 else "pm")
        return time(clock.hour, clock.minute)


def _clock(hour: int, minute: int, part: DayPart | None) -> Clock | None:
    if part is not None:
        if hour > 12 and part == "am":
            return None
        hour = hour % 12 + (12 if part == "pm" else 0) if hour <= 12 else hour
    return Clock(hour, minute, part) if 0 <= hour < 24 and 0 <= minute < 60 else None


def read_day_part(words: Sequence[str], at: int) -> Reading[DayPart] | None:
    """Morning or afternoon: "p m", "pm", "in the afternoon", "tonight", "this morning"."""
    word, following = word_at(words, at), word_at(words, at + 1)
    if word in ("am", "pm"):
        return Reading("am" if word == "am" else "pm", at + 1)
    if word in ("a", "p") and following == "m":
        return Reading("am" if word == "a" else "pm", at + 2)
    if word == "tonight":
        return Reading("pm", at + 1)
    if word == "at" and following == "night":
        return Reading("pm", at + 2)
    skip = 2 if (word, following) == ("in", "the") else 1 if word == "this" else 0
    part = _PARTS.get(word_at(words, at + skip))
    return Reading(part, at + skip + 1) if part else None


def _minute(words: Sequence[str], at: int) -> Reading[int] | None:
    """Minutes after the hour: "thirty", "forty five", "oh five", "fifteen"."""
    word = word_at(words, at)
    if word in ("oh", "o") and (unit := UNITS.get(word_at(words, at + 1))):
        return Reading(unit, at + 2)
    if word in TEENS:
        return Reading(TEENS[word], at + 1)
    if word in TENS and TENS[word] < 60:
        unit = UNITS.get(word_at(words, at + 1))
        return Reading(TENS[word] + (unit or 0), at + (2 if unit else 1))
    return None


def _hour(words: Sequence[str], at: int) -> Reading[int] | None:
    word = word_at(words, at)
    value = UNITS.get(word) or TEENS.get(word)
    if value is not None:
        return Reading(value, at + 1)
    if word == "twenty" and word_at(words, at + 1) in ("one", "two", "three"):
        return Reading(20 + UNITS[words[at + 1]], at + 2)
    if word.isdecimal() and word.isascii() and len(word) < 3 and 0 < int(word) < 24:
        return Reading(int(word), at + 1)
    return None


def _relative(words: Sequence[str], at: int) -> tuple[Reading[int], int] | None:
    """ "half past two": the hour, and the minutes to add to it."""
    word = word_at(words, at)
    if word == "a" and word_at(words, at + 1) == "quarter":
        return _relative(words, at + 1)
    if word == "half" and word_at(words, at + 1) == "past":
        hour = _hour(words, at + 2)
        return (hour, 30) if hour else None
    if word == "quarter":
        minutes, end = 15, at + 1
    elif (number := read_cardinal(words, at)) and 0 < number.value < 60:
        minutes, end = number.value, number.end + (word_at(words, number.end) in ("minute", "minutes"))
    else:
        return None
    side = word_at(words, end)
    if side not in ("past", "after", "to", "before", "till"):
        return None
    hour = _hour(words, end + 1)
    return (hour, minutes if side in ("past", "after") else -minutes) if hour else None


def read_time(words: Sequence[str], at: int, *, bare: bool = False) -> Reading[Clock] | None:
    """A time of day.

    Args:
        words: lower-case words.
        at: where to look.
        bare: also take a lone hour ("two") and an hour with minutes ("two thirty") as a time; else these need
            "o'clock" or a half of the day, because "two thirty" may be a number.
    """
    word = word_at(words, at)
    if word in _NAMED:
        return Reading(Clock(_NAMED[word].hour, 0, "am" if word == "midnight" else "pm"), at + 1)
    certain = True
    if match := _WRITTEN.fullmatch(word):
        hour, minute, end = int(match.group(1)), int(match.group(2)), at + 1
        if hour == 0 or hour > 12:
            clock = _clock(hour, minute, None)
            return Reading(clock, end) if clock else None
    elif relative := _relative(words, at):
        (reading, offset) = relative
        minute = offset % 60
        hour, end = (reading.value if offset >= 0 else (reading.value - 1) % 24 or 12), reading.end
    elif spoken := _hour(words, at):
        hour, end = spoken.value, spoken.end
        if minutes := _minute(words, end):
            minute, end, certain = minutes.value, minutes.end, bare
        elif word_at(words, end) == "o'clock":
            minute, end = 0, end + 1
        else:
            minute, certain = 0, bare
    else:
        return None
    part = read_day_part(words, end)
    if part is None and not certain:
        return None
    if part and hour <= 12:
        if part.value == "pm" and hour == 12 and word_at(words, end) in ("at", "tonight"):
            clock, end = _clock(0, minute, None), part.end
        else:
            clock, end = _clock(hour, minute, part.value), part.end
    else:
        clock = _clock(hour, minute, None)
    return Reading(clock, end) if clock else None
