"""A slot's value: read from words, checked against its schema, said back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, TypeAlias

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from perhop.brain.grammar.schema import Kind, Slot, stem
from perhop.text.contact import format_phone, read_email, read_phone, read_spelling
from perhop.text.dates import read_date
from perhop.text.numbers import read_amount, read_cardinal, read_digits, read_money, read_number
from perhop.text.times import DayPart, read_time
from perhop.text.verbalise import (
    say_date,
    say_digits,
    say_email,
    say_list,
    say_money,
    say_number,
    say_time,
)
from perhop.text.words import Reading, word_at

__all__ = ["Json", "Value", "check", "read_choice", "read_value", "say_value"]

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

_ORDINAL_ENDS = ("st", "nd", "rd", "th")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it goes into the arguments.

    Attributes:
        sure: False when it should be confirmed although nothing else has to be ("next friday").
    """

    json: Json
    sure: bool = True


def read_value(
    slot: Slot,
    words: Sequence[str],
    at: int,
    *,
    today: date,
    asked: bool = False,
    part: DayPart | None = None,
) -> Reading[Value] | None:
    """The value that starts at a word, if one of the slot's kind does. Free text and names are not read here.

    Args:
        slot: what to read.
        words: lower-case words.
        at: where to look.
        today: what relative dates stand on.
        asked: whether the slot was just asked for, so that short forms count ("two" as a time of day).
        part: the half of the day said elsewhere in the utterance, for times that leave it open.
    """
    if named := read_choice(slot, words, at):
        return named
    match slot.kind:
        case Kind.INTEGER:
            integer = read_cardinal(words, at)
            return Reading(Value(integer.value), integer.end) if integer else None
        case Kind.NUMBER:
            number = read_number(words, at)
            return Reading(Value(_number(slot, number.value)), number.end) if number else None
        case Kind.MONEY:
            if money := read_money(words, at):
                return Reading(Value(_number(slot, money.value.amount)), money.end)
            amount = read_amount(words, at)
            return Reading(Value(_number(slot, amount.value)), amount.end) if amount else None
        case Kind.DATE:
            day = read_date(words, at, today, bare=asked, prefer="past" if slot.past else "future")
            return Reading(Value(day.value.date.isoformat(), day.value.sure), day.end) if day else None
        case Kind.TIME:
            clock = read_time(words, at, bare=asked)
            if clock is None:
                return None
            moment = clock.value.with_part(part) if part else clock.value
            return Reading(Value(_clock(slot, moment.resolve())), clock.end)
        case Kind.DATE_TIME:
            return _date_time(words, at, today, part=part)
        case Kind.EMAIL:
            email = read_email(words, at, loose=asked)
            return Reading(Value(email.value), email.end) if email else None
        case Kind.PHONE:
            phone = read_phone(words, at)
            if phone is None or len(phone.value) < (3 if asked else 7):
                return None
            return Reading(Value(_first_fit(slot, _phone_forms(phone.value))), phone.end)
        case Kind.CODE:
            return _code(slot, words, at, asked=asked)
        case Kind.BOOLEAN:
            return _boolean(slot, words, at)
    return None


def _number(slot: Slot, value: int | Decimal) -> int | float:
    whole = value == int(value)
    return int(value) if whole and (isinstance(value, int) or slot.schema.get("type") == "integer") else float(value)


def _clock(slot: Slot, value: time) -> str:
    return _first_fit(slot, (value.strftime("%H:%M"), value.strftime("%H:%M:%S")))


def _date_time(words: Sequence[str], at: int, today: date, *, part: DayPart | None) -> Reading[Value] | None:
    day = read_date(words, at, today)
    if day is None:
        return None
    after = day.end + (word_at(words, day.end) in ("at", ",", "around"))
    clock = read_time(words, after, bare=True)
    if clock is None:
        return None
    moment = (clock.value.with_part(part) if part else clock.value).resolve()
    return Reading(Value(datetime.combine(day.value.date, moment).isoformat(), day.value.sure), clock.end)


def _phone_forms(digits: str) -> tuple[str, ...]:
    national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    forms = [format_phone(digits), national]
    if len(national) == 10:
        forms += [f"+1{national}", f"1{national}", f"({national[:3]}) {national[3:6]}-{national[6:]}"]
    return (*forms, f"+{digits}", digits)


def _code(slot: Slot, words: Sequence[str], at: int, *, asked: bool) -> Reading[Value] | None:
    written = word_at(words, at)
    if any(c.isalpha() for c in written) and any(c.isdigit() for c in written) and not written.endswith(_ORDINAL_ENDS):
        plain = written.replace("-", "")
        return Reading(Value(_first_fit(slot, (written.upper(), plain.upper(), written, plain))), at + 1)
    spelled = read_spelling(words, at, digits=True, least=1 if asked else 3)
    if spelled is None:
        digits = read_digits(words, at)
        if digits is None or (len(digits.value) < 3 and not asked):
            return None
        return Reading(Value(_first_fit(slot, (digits.value,))), digits.end)
    text = spelled.value
    if len(text) == 1 and len(words) > 1 and text in "AI":
        return None  # the article, the pronoun
    dashed = re.sub(r"(?<=[A-Z])(?=[0-9])", "-", text)
    return Reading(Value(_first_fit(slot, (text, text.lower(), dashed, dashed.lower()))), spelled.end)


def _boolean(slot: Slot, words: Sequence[str], at: int) -> Reading[Value] | None:
    noun = slot.noun.split()
    word = word_at(words, at)
    start = at + (word in ("with", "without", "no", "not"))
    if list(words[start : start + len(noun)]) != noun:
        return None
    return Reading(Value(word not in ("without", "no", "not")), start + len(noun))


def read_choice(slot: Slot, words: Sequence[str], at: int) -> Reading[Value] | None:
    """The known value whose words start there, the longest of several."""
    best: Reading[Value] | None = None
    for spoken, value in slot.index.get(stem(word_at(words, at)), ()):
        end = at + len(spoken)
        longer = best is None or end > best.end
        if longer and end <= len(words) and all(stem(words[at + n]) == word for n, word in enumerate(spoken)):
            best = Reading(Value(value), end)
    return best


def _first_fit(slot: Slot, forms: Iterable[str]) -> str:
    """The first form the schema accepts, or the first at all: then the check says what is wrong."""
    forms = tuple(forms)
    return next((form for form in forms if check(slot, form) is None), forms[0])


# -- checking ---------------------------------------------------------------------------------------------------------


def check(slot: Slot, value: Json) -> str | None:
    """What is wrong with a value, as a sentence for the caller, or None when its schema accepts it."""
    if slot.kind is Kind.LIST and slot.item is not None and isinstance(value, list):
        least, most = slot.schema.get("minItems"), slot.schema.get("maxItems")
        if isinstance(least, int) and len(value) < least:
            return f"I need at least {least} of them."
        if isinstance(most, int) and len(value) > most:
            return f"I can take at most {most} of them."
        return next((problem for item in value if (problem := check(slot.item, item))), None)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _check_number(slot, value)
    return _check_text(slot, value) if isinstance(value, str) else None


def _check_number(slot: Slot, value: float) -> str | None:
    schema = slot.schema
    if slot.kind is Kind.CHOICE and slot.open:
        return None
    if schema.get("type") == "integer" and not isinstance(value, int):
        return f"The {slot.noun} has to be a whole number."
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    above, below = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
    if low is not None and high is not None and not low <= value <= high:
        return f"The {slot.noun} has to be between {say_number(low)} and {say_number(high)}."
    if low is not None and value < low:
        return f"The {slot.noun} has to be at least {say_number(low)}."
    if high is not None and value > high:
        return f"The {slot.noun} can be at most {say_number(high)}."
    if above is not None and value <= above:
        return f"The {slot.noun} has to be more than {say_number(above)}."
    if below is not None and value >= below:
        return f"The {slot.noun} has to be less than {say_number(below)}."
    step = _bound(schema, "multipleOf")
    if step and Decimal(str(value)) % Decimal(str(step)):
        return f"The {slot.noun} has to be a multiple of {say_number(step)}."
    return None


def _bound(schema: Mapping[str, object], key: str) -> float | None:
    bound = schema.get(key)
    return bound if isinstance(bound, int | float) and not isinstance(bound, bool) else None


def _check_text(slot: Slot, value: str) -> str | None:
    schema = slot.schema
    least, most = schema.get("minLength"), schema.get("maxLength")
    pattern = schema.get("pattern")
    if slot.kind is Kind.EMAIL and not _EMAIL.fullmatch(value):
        return "That does not look like an e-mail address."
    if slot.kind is Kind.PHONE and len(re.sub(r"[^0-9]", "", value)) < 7:
        return "That seems too short for a phone number."
    if isinstance(least, int) and len(value) < least:
        return f"The {slot.noun} is too short."
    if isinstance(most, int) and len(value) > most:
        return f"The {slot.noun} is too long."
    if isinstance(pattern, str) and not _matches(pattern, value):
        return f"That does not look like a valid {slot.noun}."
    return None


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> TypeAdapter[str] | None:
    # The schema may come from a client, and Python's own engine can be made to backtrack for hours: pydantic's takes
    # time linear in the text. It has no look-around; a pattern with one is left to the tool to check.
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except SchemaError:
        return None


def _matches(pattern: str, value: str) -> bool:
    adapter = _pattern(pattern)
    if adapter is None:
        return True
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


# -- saying -----------------------------------------------------------------------------------------------------------


def say_value(slot: Slot, value: Json, today: date | None = None) -> str:
    """The value as it is read back: a full date, a time with its half of the day, digits in groups."""
    if isinstance(value, list):
        item = slot.item or slot
        return say_list([say_value(item, element, today) for element in value])
    if (label := slot.label(value)) is not None:
        return label
    match slot.kind:
        case Kind.BOOLEAN:
            return "yes" if value else "no"
        case Kind.MONEY if isinstance(value, int | float):
            return say_money(value)
        case Kind.INTEGER | Kind.NUMBER if isinstance(value, int | float):
            return say_number(value)
        case Kind.PHONE:
            return say_digits(str(value).removeprefix("+1"))
        case Kind.EMAIL:
            return say_email(str(value))
        case Kind.DATE | Kind.TIME | Kind.DATE_TIME:
            return say_moment(str(value), today) or str(value)
        case Kind.CODE:
            return ", ".join(" ".join(part) for part in re.split(r"[^A-Za-z0-9]+", str(value)) if part) or str(value)
    return str(value)


def say_moment(text: str, today: date | None = None) -> str | None:
    """An ISO 8601 date, time or date-time as it is said; None for anything else."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return say_date(date.fromisoformat(text), today)
        if re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z?", text):
            return say_time(time.fromisoformat(text.removesuffix("Z")))
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.{0,20}", text):
            moment = datetime.fromisoformat(text)
            return f"{say_date(moment.date(), today)} at {say_time(moment.time())}"
    except ValueError:
        return None
    return None
