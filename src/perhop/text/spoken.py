"""Spoken forms written as they would be typed, with the way back: what redaction and slots both stand on.

"call me at five one oh five five five oh one three four on march fifth" becomes "call me at 510-555-0134 on March 5",
and every stretch of the written text knows which stretch of the original it came from, so a finding in the one can be
masked in the other. Whatever is not a spoken form stays exactly as it was, and written text passes unchanged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Literal

from perhop.text.contact import format_phone, read_email, read_phone, read_spelling
from perhop.text.dates import read_calendar_day, read_year
from perhop.text.numbers import Money, read_cardinal, read_digits, read_money, read_number, read_ordinal
from perhop.text.times import Clock, read_time
from perhop.text.words import MONTHS, WEEKDAYS, Reading, Word, split, vocabulary, word_at

__all__ = ["Kind", "Normalised", "Segment", "normalise"]

Kind = Literal[
    "cardinal", "date", "digits", "email", "money", "ordinal", "percent", "phone", "spelling", "time", "year"
]

_BEFORE_TIME = frozenset({"at", "by", "until", "till", "around", "today", "tomorrow", "tonight", *WEEKDAYS})
_NOT_A_COUNT = frozenset(
    vocabulary("another any each every good last next no only other same some that the this which")
)  # "the one", "another one": a pronoun
_MONTH_NAMES = {n: name.capitalize() for name, n in MONTHS.items()}
_WRITTEN_WORDS = frozenset({"am", "pm", ",", ".", "+", "@", "%", *MONTHS, *WEEKDAYS})


@dataclass(frozen=True, slots=True)
class Segment:
    """One spoken form that was written: ``written[start:end]`` stands for ``original[source_start:source_end]``."""

    kind: Kind
    start: int
    end: int
    source_start: int
    source_end: int


@dataclass(frozen=True, slots=True)
class Normalised:
    """Text with its spoken forms written.

    Attributes:
        original: the text as it came.
        text: the same with numbers, times, addresses … written; indices below are code points.
        segments: what was rewritten, in order, never overlapping; all between them is equal in both texts.
    """

    original: str
    text: str
    segments: tuple[Segment, ...]

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the original that ``text[start:end]`` came from, whole segments at a time.

        Raises:
            ValueError: the span is not within the text.
        """
        if not 0 <= start <= end <= len(self.text):
            raise ValueError(f"span {start}..{end} is not within a text of {len(self.text)} characters")
        first = self._source_index(start, floor=True)
        return first, max(first, self._source_index(end, floor=False)) if end > start else first

    def _source_index(self, index: int, *, floor: bool) -> int:
        at = bisect_right(self.segments, index, key=lambda segment: segment.start) - 1
        if at < 0:
            return index
        segment = self.segments[at]
        if index < segment.end and (floor or index > segment.start):
            return segment.source_start if floor else segment.source_end
        if index == segment.start:
            return segment.source_start
        return segment.source_end + index - segment.end


_Written = tuple[Kind, str, int]


def _email(words: Sequence[str], at: int) -> _Written | None:
    found = read_email(words, at)
    return ("email", found.value, found.end) if found else None


def _money(words: Sequence[str], at: int) -> _Written | None:
    found = read_money(words, at)
    return ("money", _amount(found.value), found.end) if found else None


def _amount(money: Money) -> str:
    whole = money.amount == money.amount.to_integral_value()
    return f"{money.currency}{int(money.amount):,}" if whole else f"{money.currency}{money.amount:,.2f}"


def _unsigned(words: Sequence[str], at: int) -> Reading[int | Decimal] | None:
    """A number without its "minus", which stays a word: a written dash may as well be a hyphen."""
    return None if word_at(words, at) in ("minus", "negative") else read_number(words, at)


def _percent(words: Sequence[str], at: int) -> _Written | None:
    found = _unsigned(words, at)
    if found is None:
        return None
    for unit in (("percent",), ("per", "cent")):
        if tuple(words[found.end : found.end + len(unit)]) == unit:
            return "percent", f"{_plain(found.value)}%", found.end + len(unit)
    return None


def _date(words: Sequence[str], at: int) -> _Written | None:
    found = read_calendar_day(words, at)
    if found is None:
        return None
    day = found.value
    written = f"{_MONTH_NAMES[day.month]} {day.day}"
    return "date", written if day.year is None else f"{written}, {day.year}", found.end


def _time(words: Sequence[str], at: int) -> _Written | None:
    if word_at(words, at) in ("noon", "midday", "midnight"):
        return None
    found = read_time(words, at)
    if found is None and word_at(words, at - 1) in _BEFORE_TIME:
        found = read_time(words, at, bare=True)
        if found and found.end == at + 1:
            return None  # "at two" is as likely a number
    return ("time", _clock(found.value), found.end) if found else None


def _clock(clock: Clock) -> str:
    if clock.part is None:
        return f"{clock.hour}:{clock.minute:02d}"
    return f"{clock.hour % 12 or 12}:{clock.minute:02d} {clock.part}"


def _digits(words: Sequence[str], at: int) -> _Written | None:
    phone = read_phone(words, at)
    if phone and (len(phone.value) == 10 or (len(phone.value) == 11 and phone.value[0] == "1")):
        return "phone", format_phone(phone.value), phone.end
    found = read_digits(words, at)
    if found is None or len(found.value) < 7:
        found = read_digits(words, at, commas=False)
    if found is None or len(found.value) < 3 or any(word.isdecimal() for word in words[at : found.end]):
        return None
    number = read_number(words, at)
    if number and number.end >= found.end:
        return None
    year = read_year(words, at)
    return None if year and year.end >= found.end else ("digits", found.value, found.end)


def _year(words: Sequence[str], at: int) -> _Written | None:
    found = read_year(words, at)
    number = read_cardinal(words, at)
    return ("year", str(found.value), found.end) if found and number and found.end > number.end else None


def _spelling(words: Sequence[str], at: int) -> _Written | None:
    found = read_spelling(words, at)
    return ("spelling", found.value, found.end) if found else None


def _ordinal(words: Sequence[str], at: int) -> _Written | None:
    found = read_ordinal(words, at)
    if found is None or found.value < 4:
        return None
    teen = 10 < found.value % 100 < 20
    return "ordinal", f"{found.value}{'th' if teen else _SUFFIXES.get(found.value % 10, 'th')}", found.end


_SUFFIXES = {1: "st", 2: "nd", 3: "rd"}


def _cardinal(words: Sequence[str], at: int) -> _Written | None:
    found = _unsigned(words, at)
    if found is None:
        return None
    if word_at(words, at) == "one" and found.end == at + 1:
        before, after = word_at(words, at - 1), word_at(words, at + 1)
        if before in _NOT_A_COUNT or after in ("of", "another") or read_ordinal(words, at - 1):
            return None
    return "cardinal", _plain(found.value), found.end


def _plain(value: int | Decimal) -> str:
    return str(value) if isinstance(value, int) else f"{value:f}"


_READERS: tuple[Callable[[Sequence[str], int], _Written | None], ...] = (
    _email, _money, _percent, _date, _time, _digits, _year, _spelling, _ordinal, _cardinal,
)  # fmt: skip


def _is_written(word: str) -> bool:
    return word in _WRITTEN_WORDS or any(character.isdigit() for character in word)


def _half_written(kind: Kind, first: str, last: str) -> bool:
    """ "March fifth" and "2:30 p m" are worth writing although they begin with a written word."""
    return (kind == "date" and not first[0].isdigit() and not _is_written(last)) or (
        kind == "time" and ":" in first and last == "m"
    )


def _rewrites(original: str, words: Sequence[Word]) -> list[tuple[Kind, str, int, int]]:
    texts = [word.text for word in words]
    found = []
    at = 0
    while at < len(words):
        for reader in _READERS:
            written = reader(texts, at)
            if written is None:
                continue
            kind, text, end = written
            source = original[words[at].start : words[end - 1].end]
            # What begins written goes on as written ("3 million"), or a second pass would find more than the first.
            if text != source and (not _is_written(texts[at]) or _half_written(kind, texts[at], texts[end - 1])):
                found.append((kind, text, words[at].start, words[end - 1].end))
                # Readers that look back see what was written, as they would in a second pass.
                texts[at:end] = [*[""] * (end - at - 1), split(text)[-1].text]
                at = end
                break
        else:
            at += 1
    return found


def normalise(text: str) -> Normalised:
    """Writes the spoken forms in ``text``: numbers, ordinals, digits, money, dates, times, e-mail, spelled words.

    What depends on the day it is said ("tomorrow") stays in words: :func:`perhop.text.dates.read_date` reads that.
    Takes time linear in the length of the text.
    """
    rewrites = _rewrites(text, split(text))
    if not rewrites:
        return Normalised(text, text, ())
    pieces: list[str] = []
    at = 0
    for _, written, start, end in rewrites:
        pieces += (text[at:start], written)
        at = end
    pieces.append(text[at:])
    offsets = [0, *accumulate(len(piece) for piece in pieces)]
    segments = tuple(
        Segment(kind, offsets[2 * n + 1], offsets[2 * n + 2], start, end)
        for n, (kind, _, start, end) in enumerate(rewrites)
    )
    return Normalised(text, "".join(pieces), segments)
