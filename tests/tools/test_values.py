"""The schema a model sees and the check its arguments meet agree, value by value."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, Optional, Union

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from perhop.tools.arguments import parse_arguments
from perhop.tools.docstring import Docstring
from perhop.tools.errors import InvalidArgumentsError
from perhop.tools.schema import Parameters


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(Enum):
    TEXT = "a"
    NUMBER = 1
    NOTHING = None


class Guest(BaseModel):
    name: str
    age: Annotated[int, Field(ge=0)] = 0


simple = st.sampled_from(
    [
        int,
        float,
        bool,
        str,
        date,
        time,
        datetime,
        Colour,
        Level,
        Mixed,
        Guest,
        Literal["a", "b"],
        Literal[1, "1", True],
        Literal[0, False],
        Annotated[int, Field(ge=1, lt=10)],
        Annotated[float, Field(gt=0, le=1.5)],
        Annotated[str, Field(min_length=1, max_length=3)],
        Annotated[str, Field(pattern="^[a-z]+$")],
    ]
)
hints = st.recursive(
    simple,
    lambda inner: st.one_of(
        inner.map(lambda hint: list[hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: Annotated[list[hint], Field(max_length=2)]),  # type: ignore[valid-type]
        inner.map(lambda hint: dict[str, hint]),  # type: ignore[valid-type]
        inner.map(lambda hint: Optional[hint]),  # noqa: UP045
        st.tuples(inner, inner).map(lambda pair: Union[pair]),  # noqa: UP007
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),  # type: ignore[valid-type]
    ),
    max_leaves=4,
)

# Half of what is tried looks right: near misses find more than noise does.
telling = st.sampled_from(
    [
        "2026-03-31",
        "2026-02-30",
        "2026-3-31",
        "20260331",
        "2026-W14-2",
        "1699920000",
        "14:30",
        "14:30:59",
        "24:00",
        "2:30",
        "14:30Z",
        "2026-03-31T14:30",
        "2026-03-31T14:30:00Z",
        "2026-03-31T14:30:00+02:00",
        "2026-03-31 14:30",
        "red",
        "RED",
        "a",
        "1",
        "",
        "true",
    ]
)
numbers = st.integers(-3, 12) | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
guests = st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"age": st.integers(-1, 3), "x": st.none()})
scalars = st.none() | st.booleans() | numbers | telling | st.text(max_size=4) | guests
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
)


def calendar_date(text: str) -> bool:
    """Whether RFC 3339 would call it a full-date. Year 0 is one there, but none in Python."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def parameters_of(hint: Any, *, default: bool = False) -> Parameters:
    def function(value: Any) -> None: ...

    def function_with_default(value: Any = None) -> None: ...

    chosen = function_with_default if default else function
    chosen.__annotations__["value"] = hint
    return Parameters(chosen, Docstring())


def schema_accepts(schema: dict[str, Any], arguments: Any) -> bool:
    validator = jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=True,
        # The patterns beside these two formats are exact but for the day, which RFC 3339 would want with a zone.
        formats={
            "date": calendar_date,
            "time": lambda _: True,
            "date-time": lambda text: calendar_date(text[:10]),
        },
    )
    return validator.is_valid(arguments)


def tool_accepts(parameters: Parameters, arguments: Any) -> bool:
    try:
        parameters.validate(parse_arguments(json.dumps(arguments)))
    except InvalidArgumentsError:
        return False
    return True


@settings(max_examples=400)
@given(hints, values)
@example(Literal[1], True)
@example(Literal[True], 1)
@example(Mixed, 1)
@example(date, "1699920000")
@example(datetime, "1699920000")
@example(int, 1.0)
@example(list[int], [9.223372036854775807e18])
@example(int | str, 1.0)
@example(Level, 1.0)
@example(float, 10**18)
def test_the_schema_accepts_exactly_what_the_tool_accepts(hint: Any, value: Any) -> None:
    parameters = parameters_of(hint)
    arguments = {"value": value}
    assert schema_accepts(parameters.schema, arguments) == tool_accepts(parameters, arguments)


@given(hints, values)
def test_nothing_is_accepted_that_pydantic_itself_would_not(hint: Any, value: Any) -> None:
    parameters = parameters_of(hint)
    if tool_accepts(parameters, {"value": value}):
        normal = json.dumps(parse_arguments(json.dumps({"value": value}))["value"])
        TypeAdapter(hint).validate_json(normal, strict=True)


@given(hints, values.filter(lambda value: value is not None))
def test_a_default_of_none_only_adds_leaving_it_out(hint: Any, value: Any) -> None:
    parameters = parameters_of(Optional[hint], default=True)  # noqa: UP045
    assert tool_accepts(parameters, {})
    assert schema_accepts(parameters.schema, {})
    arguments = {"value": value}
    assert schema_accepts(parameters.schema, arguments) == tool_accepts(parameters, arguments)


@pytest.mark.parametrize(
    ("hint", "raw", "value"),
    [
        (Level, 2.0, Level.HIGH),
        (Mixed, 1, Mixed.NUMBER),
        (Mixed, None, Mixed.NOTHING),
        (Literal[1, True], True, True),
        (Literal[1, True], 1, 1),
        (Optional[Colour], "blue", Colour.BLUE),  # noqa: UP045
        (list[date], ["2026-03-31"], [date(2026, 3, 31)]),
    ],
)
def test_the_function_gets_the_very_member(hint: Any, raw: object, value: object) -> None:
    (found,) = parameters_of(hint).validate({"value": raw}).values()
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("hint", "value", "says"),
    [
        (date, "31 March", "a date like 2026-03-31"),
        (date, "2026-02-30", "a day that exists"),
        (time, "2:30 pm", "a 24-hour time like 14:30"),
        (datetime, "tomorrow", "a date and time like 2026-03-31T14:30:00"),
        (Colour, "green", "one of: 'red', 'blue'"),
        (Literal["a", "b"], "c", "one of: 'a', 'b'"),
    ],
)
def test_a_refusal_shows_what_is_wanted(hint: Any, value: str, says: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=says):
        parameters_of(hint).validate({"value": value})
