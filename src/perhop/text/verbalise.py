"""The way back: values as people say them.

Two styles. ``spoken_*`` gives plain lower-case words, as a caller would say them and a recogniser would hear them.
``say_*`` gives what an agent reads back: short, readable on a screen and right when a synthesiser speaks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, time
from decimal import Decimal

from perhop.text.words import DIGITS, MONTHS, ORDINALS, SCALES, TEENS, TENS, UNITS, WEEKDAYS

__all__ = [
    "say_date",
    "say_digits",
    "say_email",
    "say_list",
    "say_money",
    "say_number",
    "say_ordinal",
    "say_time",
    "spoken_date",
    "spoken_digits",
    "spoken_email",
    "spoken_letters",
    "spoken_money",
    "spoken_number",
    "spoken_ordinal",
    "spoken_time",
]

_SMALL = {n: w for w, n in (UNITS | TEENS).items()}
_TENS = {n: w for w, n in TENS.items()}
_DIGITS = {str(n): w for w, n in DIGITS.items() if w not in ("o", "oh", "nought")}
_ORDINALS = {n: w for w, n in ORDINALS.items()}
_DAYS = {n: w for w, n in WEEKDAYS.items()}
_MONTHS = {n: w for w, n in MONTHS.items()}
_SUFFIXES = {1: "st", 2: "nd", 3: "rd"}
_MARKS = {".": "dot", "_": "underscore", "-": "dash", "+": "plus", "@": "at"}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound"}
_NEAR_DAYS = 300


def _below_thousand(value: int) -> list[str]:
    words = []
    if value >= 100:
        words += [_SMALL[value // 100], "hundred"]
        value %= 100
    if value >= 20:
        words.append(_TENS[value - value % 10])
        value %= 10
    if value:
        words.append(_SMALL[value])
    return words


def spoken_number(value: float | Decimal) -> str:
    """ "two thousand five hundred", "minus three", "one point five". Below a trillion; digits one by one above."""
    number = Decimal(str(value))
    if number < 0:
        return "minus " + spoken_number(-number)
    whole, _, fraction = f"{number:f}".partition(".")
    fraction = fraction.rstrip("0")
    if len(whole) > 12:
        return spoken_digits(whole)
    rest, words = int(whole), []
    for name, scale in sorted(SCALES.items(), key=lambda item: -item[1]):
        if rest >= scale:
            words += [*_below_thousand(rest // scale), name]
            rest %= scale
    words += _below_thousand(rest)
    spoken = " ".join(words) or "zero"
    return f"{spoken} point {spoken_digits(fraction)}" if fraction else spoken


def spoken_ordinal(value: int) -> str:
    """ "first" … "ninety ninth", for 1 to 99 without the round tens above thirty."""
    if value in _ORDINALS:
        return _ORDINALS[value]
    if not 20 < value < 100 or value % 10 == 0:
        raise ValueError(f"no ordinal word for {value}")
    return f"{_TENS[value - value % 10]} {_ORDINALS[value % 10]}"


def spoken_digits(digits: str) -> str:
    """ "five one zero": every digit by itself; anything else is left out."""
    return " ".join(_DIGITS[digit] for digit in digits if digit in _DIGITS)


def spoken_letters(text: str) -> str:
    """ "b r o w n": letters and digits one by one."""
    return " ".join(_DIGITS.get(character, character.lower()) for character in text if character.isalnum())


def spoken_time(value: time) -> str:
    """ "two thirty p m", "nine oh five a m", "four p m"."""
    hour = _SMALL[value.hour % 12 or 12]
    part = "a m" if value.hour < 12 else "p m"
    if value.minute == 0:
        return f"{hour} {part}"
    minute = f"oh {_SMALL[value.minute]}" if value.minute < 10 else spoken_number(value.minute)
    return f"{hour} {minute} {part}"


def spoken_date(value: date, *, year: bool = False) -> str:
    """ "friday november twenty seventh", with ``year`` also "twenty twenty six"."""
    words = f"{_DAYS[value.weekday()]} {_MONTHS[value.month]} {spoken_ordinal(value.day)}"
    return f"{words} {_spoken_year(value.year)}" if year else words


def _spoken_year(year: int) -> str:
    century, rest = divmod(year, 100)
    if not 1900 <= year <= 2099 or 2000 <= year < 2010 or rest == 0:
        return spoken_number(year)
    tail = f"oh {_SMALL[rest]}" if rest < 10 else spoken_number(rest)
    return f"{spoken_number(century)} {tail}"


def spoken_money(amount: Decimal | int, currency: str = "$") -> str:
    """ "two thousand five hundred dollars", "three dollars and fifty cents"."""
    whole, fraction = divmod(Decimal(amount), 1)
    unit = _CURRENCIES.get(currency, "dollar")
    spoken = f"{spoken_number(whole)} {unit}{'' if whole == 1 else 's'}"
    cents = round(fraction * 100)
    return f"{spoken} and {spoken_number(cents)} cent{'' if cents == 1 else 's'}" if cents else spoken


def spoken_email(address: str) -> str:
    """ "john dot smith at gmail dot com"; words stay words, digits are said one by one."""
    words: list[str] = []
    run = ""
    for character in address.lower() + " ":
        if character.isalpha():
            run += character
            continue
        words += [run] if run else []
        run = ""
        words += [_MARKS[character]] if character in _MARKS else [_DIGITS[character]] if character in _DIGITS else []
    return " ".join(words)


def say_number(value: float | Decimal) -> str:
    """ "2,500", "1.5", "12"."""
    number = Decimal(str(value))
    return f"{int(number):,}" if number == number.to_integral_value() else f"{number.normalize():,f}"


def say_ordinal(value: int) -> str:
    """ "first" to "tenth" in words, then "11th", "22nd"."""
    if 1 <= value <= 10:
        return _ORDINALS[value]
    return f"{value}{'th' if 10 < value % 100 < 20 else _SUFFIXES.get(value % 10, 'th')}"


def say_date(value: date, today: date | None = None) -> str:
    """ "Friday, November 27th"; with the year when it is not near ``today``."""
    day = "th" if 10 < value.day < 20 else _SUFFIXES.get(value.day % 10, "th")
    said = f"{_DAYS[value.weekday()].capitalize()}, {_MONTHS[value.month].capitalize()} {value.day}{day}"
    far = today is not None and abs((value - today).days) > _NEAR_DAYS
    return f"{said}, {value.year}" if far else said


def say_time(value: time) -> str:
    """ "2:30 pm", "4 pm", "noon"."""
    if value.minute == 0 and value.hour in (0, 12):
        return "noon" if value.hour else "midnight"
    minutes = f":{value.minute:02d}" if value.minute else ""
    return f"{value.hour % 12 or 12}{minutes} {'am' if value.hour < 12 else 'pm'}"


def say_money(amount: Decimal | float, currency: str = "$") -> str:
    """ "2,500 dollars", "3 dollars and 50 cents": the unit in words, as synthesisers misread signs."""
    value = Decimal(str(amount))
    sign, value = ("minus " if value < 0 else ""), abs(value)
    whole, cents = int(value), round(value % 1 * 100)
    if cents == 100:
        whole, cents = whole + 1, 0
    unit = _CURRENCIES.get(currency, "dollar")
    said = f"{sign}{whole:,} {unit}{'' if whole == 1 else 's'}"
    return f"{said} and {cents} cent{'' if cents == 1 else 's'}" if cents else said


def say_digits(digits: str) -> str:
    """ "5 1 0, 5 5 5, 0 1 3 4": digits singly, in the groups of a phone number, else in threes and fours."""
    digits = "".join(character for character in digits if character.isdecimal())
    sizes = {7: (3, 4), 10: (3, 3, 4), 11: (1, 3, 3, 4)}.get(len(digits))
    if sizes is None:
        full, rest = divmod(len(digits), 3)
        sizes = (3,) * full + ((rest,) if rest else ())
        if rest == 1 and full:
            sizes = (3,) * (full - 1) + (4,)
    groups, at = [], 0
    for size in sizes:
        groups.append(" ".join(digits[at : at + size]))
        at += size
    return ", ".join(groups)


def say_email(address: str) -> str:
    """ "john dot smith at gmail dot com"."""
    marks = {".": " dot ", "_": " underscore ", "-": " dash ", "+": " plus ", "@": " at "}
    return " ".join("".join(marks.get(character, character) for character in address).split())


def say_list(items: Sequence[str] | Iterable[str], *, joint: str = "and") -> str:
    """ "a, b and c"."""
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joint} {items[-1]}" if items else ""
