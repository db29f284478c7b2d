"""Readers for numbers as people say them: cardinals, ordinals, strings of digits, amounts of money.

Every reader takes lower-case words and a place to look, accepts spoken and written forms alike ("two hundred",
"2 hundred", "200"), takes as many words as belong to one value, and answers None when nothing of its kind starts there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from perhop.text.words import DIGITS, ORDINALS, SCALES, TEENS, TENS, UNITS, Reading, word_at

__all__ = [
    "CURRENCIES",
    "Money",
    "read_amount",
    "read_cardinal",
    "read_digits",
    "read_money",
    "read_number",
    "read_ordinal",
]

CURRENCIES = {
    "dollar": "$", "dollars": "$", "bucks": "$", "euro": "€", "euros": "€", "pound": "£", "pounds": "£",
}  # fmt: skip
_REPEATS = {"double": 2, "triple": 3}
_WRITTEN = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4}")
_DECIMAL = re.compile(r"(?:[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})\.[0-9]{1,9}")
_WRITTEN_ORDINAL = re.compile(r"([0-9]{1,4})(?:st|nd|rd|th)")
_WRITTEN_MONEY = re.compile(r"([$€£]) ?([0-9][0-9,]{0,18}(?:\.[0-9]{1,4})?)")
_MAX_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    currency: str
    """A sign: ``$``, ``€`` or ``£``."""


def _below_hundred(words: Sequence[str], at: int) -> Reading[int] | None:
    word = word_at(words, at)
    if word in TENS:
        unit = UNITS.get(word_at(words, at + 1))
        return Reading(TENS[word] + (unit or 0), at + (2 if unit else 1))
    value = UNITS.get(word) or TEENS.get(word)
    return None if value is None else Reading(value, at + 1)


def _group(words: Sequence[str], at: int) -> Reading[int] | None:
    """A number below a scale word: up to 999, or hundreds as in "twenty five hundred"; or a written number."""
    if _WRITTEN.fullmatch(word_at(words, at)):
        head = Reading(int(words[at].replace(",", "")), at + 1)
    elif word_at(words, at) == "a" and (word_at(words, at + 1) == "hundred" or word_at(words, at + 1) in SCALES):
        head = Reading(1, at + 1)
    else:
        spoken = _below_hundred(words, at)
        if spoken is None:
            return None
        head = spoken
    if word_at(words, head.end) != "hundred" or head.value > 99:
        return head
    total, end = head.value * 100, head.end + 1
    tail = _below_hundred(words, end + (word_at(words, end) == "and"))
    return Reading(total + tail.value, tail.end) if tail else Reading(total, end)


def read_cardinal(words: Sequence[str], at: int) -> Reading[int] | None:
    """A whole number: "zero", "twenty five", "two thousand and ten", "a hundred", "25", "2,500"."""
    if word_at(words, at) == "zero":
        return Reading(0, at + 1)
    total, limit = 0, 10**18
    end = at
    while True:
        start = end + (end > at and word_at(words, end) == "and")
        group = _group(words, start)
        if group is None:
            break
        scale = SCALES.get(word_at(words, group.end), 1)
        if group.value == 0 and end == at:
            return Reading(0, group.end)
        if scale >= limit or group.value * scale >= limit or (end > at and _WRITTEN.fullmatch(words[start])):
            break
        total, end, limit = total + group.value * scale, group.end + (scale > 1), scale
        if scale == 1:
            break
    return Reading(total, end) if end > at else None


def read_number(words: Sequence[str], at: int) -> Reading[int | Decimal] | None:
    """A number with an optional fraction: "one point five million", "minus two", "2.5", or any cardinal."""
    word = word_at(words, at)
    if word in ("minus", "negative"):
        rest = read_number(words, at + 1) if word_at(words, at + 1) not in ("minus", "negative") else None
        return Reading(-rest.value, rest.end) if rest else None
    value: int | Decimal
    if _DECIMAL.fullmatch(word):
        value, end = Decimal(word.replace(",", "")), at + 1
    else:
        whole = read_cardinal(words, at)
        if whole is None:
            return None
        value, end = whole.value, whole.end
        if word_at(words, end) == "point" and (fraction := _fraction(words, end + 1)):
            value, end = Decimal(f"{value}.{fraction.value}"), fraction.end
    if isinstance(value, Decimal) and (scale := SCALES.get(word_at(words, end))):
        scaled = value * scale
        return Reading(int(scaled) if scaled == int(scaled) else scaled, end + 1)
    return Reading(value, end)


def _fraction(words: Sequence[str], at: int) -> Reading[str] | None:
    digits, end = "", at
    while (digit := DIGITS.get(word_at(words, end))) is not None and len(digits) < 9:
        digits, end = digits + str(digit), end + 1
    if not digits and word_at(words, at).isdecimal() and len(words[at]) < 10:
        return Reading(words[at], at + 1)
    return Reading(digits, end) if digits else None


def read_amount(words: Sequence[str], at: int) -> Reading[int | Decimal] | None:
    """A number in the short form of prices: "nine fifty" is 950, "twenty five fifty" is 2550, "3 k" is 3000."""
    number = read_number(words, at)
    if number is None or not isinstance(number.value, int):
        return number
    if word_at(words, number.end) == "k" and number.value < 10_000:
        return Reading(number.value * 1000, number.end + 1)
    head = _below_hundred(words, at)
    if head and head.end == number.end and head.value % 10 + (head.value < 20) > 0:
        tail = _below_hundred(words, head.end)
        if tail and tail.value >= 10 and word_at(words, tail.end) not in (*SCALES, "hundred"):
            return Reading(head.value * 100 + tail.value, tail.end)
    return number


def read_ordinal(words: Sequence[str], at: int) -> Reading[int] | None:
    """An ordinal up to 99: "fifth", "twenty first", "21st"."""
    word = word_at(words, at)
    if word in ORDINALS:
        return Reading(ORDINALS[word], at + 1)
    if match := _WRITTEN_ORDINAL.fullmatch(word):
        return Reading(int(match.group(1)), at + 1)
    unit = ORDINALS.get(word_at(words, at + 1), 10)
    return Reading(TENS[word] + unit, at + 2) if word in TENS and unit < 10 else None


def _digit_piece(words: Sequence[str], at: int) -> Reading[str] | None:
    word = word_at(words, at)
    if word in _REPEATS:
        digit = DIGITS.get(word_at(words, at + 1))
        if digit is None and len(word_at(words, at + 1)) == 1 and words[at + 1].isdecimal():
            digit = int(words[at + 1])
        return None if digit is None else Reading(str(digit) * _REPEATS[word], at + 2)
    if word in DIGITS:
        piece = Reading(str(DIGITS[word]), at + 1)
    elif word.isdecimal() and word.isascii():
        return Reading(word, at + 1)
    elif pair := _below_hundred(words, at):
        piece = Reading(str(pair.value), pair.end)
    else:
        return None
    following = word_at(words, piece.end)
    if len(piece.value) < 3 and piece.value != "0" and following in ("hundred", "thousand"):
        return Reading(piece.value + ("00" if following == "hundred" else "000"), piece.end + 1)
    return piece


def read_digits(words: Sequence[str], at: int, *, commas: bool = True) -> Reading[str] | None:
    """A string of digits said one by one or in groups: "five one oh", "double five", "twelve thirty four", "555 1234".

    Args:
        words: lower-case words.
        at: where to look.
        commas: whether the string goes on across a comma.
    """
    digits, end, following = "", at, at
    while len(digits) < _MAX_DIGITS and (piece := _digit_piece(words, following)):
        digits, end = digits + piece.value, piece.end
        following = end + (commas and word_at(words, end) == ",")
    return Reading(digits, end) if digits else None


def read_money(words: Sequence[str], at: int) -> Reading[Money] | None:
    """An amount with its currency: "twenty five hundred dollars", "three dollars and fifty cents", "$2,500"."""
    if match := _WRITTEN_MONEY.fullmatch(word_at(words, at)):
        amount = Decimal(match.group(2).replace(",", ""))
        if scale := SCALES.get(word_at(words, at + 1)):
            return Reading(Money(amount * scale, match.group(1)), at + 2)
        return Reading(Money(amount, match.group(1)), at + 1)
    number = read_amount(words, at)
    if number is None or number.value < 0:
        return None
    unit = word_at(words, number.end)
    if unit in ("cent", "cents"):
        return Reading(Money(Decimal(number.value) / 100, "$"), number.end + 1)
    if unit not in CURRENCIES:
        return None
    end = number.end + 1
    cents = read_cardinal(words, end + (word_at(words, end) == "and"))
    if cents and cents.value < 100 and word_at(words, cents.end) in ("cent", "cents"):
        return Reading(Money(number.value + Decimal(cents.value) / 100, CURRENCIES[unit]), cents.end + 1)
    return Reading(Money(Decimal(number.value), CURRENCIES[unit]), end)
