"""Type hints narrowed to what their JSON Schema says, where pydantic by itself would take more.

Even in strict mode pydantic reads ``"1699920000"`` as a date and as a date-time, and ``true`` as the literal ``1``. A
model that was shown ``format: date`` and sends a timestamp made a mistake, and should be told.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = ["json_only"]

Scalar = str | int | float | bool | None

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"


def json_only(hint: Any) -> Any:
    """The same hint with the dates, times, date-times, literals and enums in it checked exactly.

    Looks into containers, unions and ``Annotated``; the fields of pydantic models stay as their author wrote them.
    """
    if isinstance(hint, type) and hint in _EXACT:
        return _EXACT[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice(hint, list(hint))
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin is Literal:
        return _choice(hint, arguments)
    if origin is Annotated and arguments[0] is int:
        # The bounds stay next to the type they bound: around a validator they would be missing in the schema.
        return Annotated[(*arguments, _WHOLE)]
    if origin is Annotated:
        return Annotated[(json_only(arguments[0]), *arguments[1:])]
    if origin is Union or origin is types.UnionType:
        return Union[tuple(json_only(part) for part in arguments)]  # noqa: UP007 - made at run time
    if isinstance(origin, type) and arguments:
        container: Any = origin
        return container[tuple(json_only(part) for part in arguments)]
    return hint


def _choice(hint: Any, options: Sequence[object]) -> Any:
    """One of a few JSON scalars; what they stand for is the literal itself or the enum's member."""
    pairs = [(option.value if isinstance(option, Enum) else option, option) for option in options]
    values = [value for value, _ in pairs]
    if not all(isinstance(value, Scalar) for value in values):
        return hint

    def read(given: object) -> object:
        for value, option in pairs:
            # JSON tells booleans from numbers, Python does not; JSON has one kind of number, Python two.
            if given == value and isinstance(given, bool) == isinstance(value, bool):
                return option
        raise PydanticCustomError("choice", "Input should be one of: {options}", {"options": known})

    known = ", ".join(map(repr, values))
    kind = {"type": "string"} if all(isinstance(value, str) for value in values) else {}
    return Annotated[hint, PlainValidator(read), WithJsonSchema({**kind, "enum": values})]


def _iso(kind: type[date | time], name: str, *, pattern: str, schema: dict[str, str], example: str) -> Any:
    """A day or a time of day, or both, in the one spelling that ISO 8601 calls extended."""
    shape = re.compile(pattern)
    what = f"{name} like {example}"
    from_text: Callable[[str], object] = kind.fromisoformat

    def read(given: object) -> object:
        if isinstance(given, str) and shape.fullmatch(given):
            try:
                return from_text(given)
            except ValueError:
                raise PydanticCustomError("no_such_day", "Input should be a day that exists") from None
        raise PydanticCustomError("iso_format", "Input should be a {what}", {"what": what})

    return Annotated[kind, PlainValidator(read), WithJsonSchema({"type": "string", **schema})]


def _whole(given: object) -> object:
    """JSON has one kind of number: 1.0 is the integer 1, however large. Pydantic by itself stops at 64 bits."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


_WHOLE = BeforeValidator(_whole)

_EXACT: dict[type, Any] = {
    int: Annotated[int, _WHOLE],
    date: _iso(date, "date", pattern=_DAY, schema={"format": "date"}, example="2026-03-31"),
    # RFC 3339's "time" demands a zone, which a time to meet at does not have: the pattern says what is meant.
    time: _iso(
        time,
        "24-hour time",
        pattern=_CLOCK,
        schema={"format": "time", "pattern": f"^{_CLOCK}$"},
        example="14:30",
    ),
    datetime: _iso(
        datetime,
        "date and time",
        pattern=f"{_DAY}T{_CLOCK}{_ZONE}",
        schema={"format": "date-time", "pattern": f"^{_DAY}T{_CLOCK}{_ZONE}$"},
        example="2026-03-31T14:30:00",
    ),
}
