from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date, datetime, time
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from perhop.tools.docstring import parse_docstring
from perhop.tools.errors import InvalidArgumentsError, ToolDefinitionError
from perhop.tools.schema import Parameters, Slot
from perhop.tools.tool import ToolContext


class Department(Enum):
    """Where a call can go."""

    SALES = "sales"
    BILLING = "billing"


class Guest(BaseModel):
    """Somebody who comes along."""

    name: str
    age: int | None = None


class Tree(BaseModel):
    branches: list[Tree] = []


def parameters(function: Callable[..., object]) -> Parameters:
    return Parameters(function, parse_docstring(function.__doc__))


def schema_of(hint: Any) -> Any:
    """The schema of one required parameter with this hint."""

    def function(value: Any) -> None: ...

    function.__annotations__["value"] = hint
    return parameters(function).schema["properties"]["value"]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (str, {"type": "string"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a"], {"type": "string", "enum": ["a"]}),
        (Literal[1, "a"], {"enum": [1, "a"]}),
        (Department, {"type": "string", "enum": ["sales", "billing"]}),
        (date, {"type": "string", "format": "date"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list[date], {"type": "array", "items": {"type": "string", "format": "date"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Annotated[int, Field(ge=1, le=6)], {"type": "integer", "minimum": 1, "maximum": 6}),
        (
            Annotated[str, Field(pattern="^[0-9]+$", max_length=5)],
            {"type": "string", "pattern": "^[0-9]+$", "maxLength": 5},
        ),
        (
            Guest,
            {
                "type": "object",
                "description": "Somebody who comes along.",
                "properties": {
                    "name": {"type": "string"},
                    "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
                "required": ["name"],
            },
        ),
        (Any, {}),
    ],
)
def test_hints_become_schemas_without_noise(hint: Any, schema: Any) -> None:
    assert schema_of(hint) == schema


@pytest.mark.parametrize(("hint", "format_"), [(time, "time"), (datetime, "date-time")])
def test_times_say_in_a_pattern_what_their_format_leaves_open(hint: Any, format_: str) -> None:
    schema = schema_of(hint)
    assert schema["format"] == format_
    assert "pattern" in schema


def test_a_whole_signature() -> None:
    def function(
        bedrooms: int,
        context: ToolContext,
        city: str = "Oakland",
        day: date | None = None,
        guests: Annotated[list[Guest] | None, Field(max_length=3)] = None,
        *,
        at: time = time(10),
    ) -> None:
        """Books.

        Args:
            bedrooms: How many.
            day: When.
        """

    found = parameters(function)
    assert found.context == "context"
    assert found.schema == {
        "type": "object",
        "properties": {
            "bedrooms": {"type": "integer", "description": "How many."},
            "city": {"type": "string", "default": "Oakland"},
            "day": {"type": "string", "format": "date", "description": "When."},
            "guests": {"type": "array", "items": schema_of(Guest), "maxItems": 3},
            "at": {**schema_of(time), "default": "10:00:00"},
        },
        "required": ["bedrooms"],
        "additionalProperties": False,
    }


def test_no_parameters_is_an_empty_object() -> None:
    def function() -> None: ...

    assert parameters(function).schema == {"type": "object", "properties": {}, "additionalProperties": False}


def test_recursive_models_keep_their_definition() -> None:
    def function(tree: Tree) -> None: ...

    schema = parameters(function).schema
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    assert set(schema["$defs"]) == {"Tree"}


def test_what_the_dialogue_should_know_of_a_parameter() -> None:
    slot = Slot(prompt="Where?", say="in {value}", values=("Oakland",), pronounce={"Alviso": ["AE L V IY S OW"]})
    extensions = {
        "x-prompt": "Where?",
        "x-say": "in {value}",
        "x-values": ["Oakland"],
        "x-pronounce": {"Alviso": ["AE L V IY S OW"]},
    }
    assert schema_of(Annotated[str, slot]) == {"type": "string", **extensions}
    assert schema_of(Annotated[Department, slot]) == {**schema_of(Department), **extensions}
    assert schema_of(Annotated[str, Slot()]) == {"type": "string"}
    spoken = Slot(values={"SFO": ("San Francisco", "the city")})
    assert schema_of(Annotated[str, spoken])["x-values"] == {"SFO": ["San Francisco", "the city"]}

    def function(day: Any = None) -> None: ...

    function.__annotations__["day"] = Annotated[date, slot] | None
    assert parameters(function).schema["properties"]["day"] == {"type": "string", "format": "date", **extensions}


def test_parameters_may_be_named_like_anything_in_pydantic() -> None:
    def function(json: int, copy: int, model_config: int, schema: int, self_: int) -> None: ...

    assert parameters(function).validate(dict.fromkeys(inspect.signature(function).parameters, 1))["json"] == 1


def test_values_arrive_as_the_types_that_were_declared() -> None:
    def function(
        day: date, at: time, when: datetime, kind: Literal["a"], to: Department, guest: Guest, many: set[int]
    ) -> None: ...

    assert parameters(function).validate(
        {
            "day": "2026-03-31",
            "at": "14:30",
            "when": "2026-03-31T14:30:00",
            "kind": "a",
            "to": "sales",
            "guest": {"name": "Ann"},
            "many": [1, 1],
        }
    ) == {
        "day": date(2026, 3, 31),
        "at": time(14, 30),
        "when": datetime(2026, 3, 31, 14, 30),  # noqa: DTZ001 - a local time
        "kind": "a",
        "to": Department.SALES,
        "guest": Guest(name="Ann"),
        "many": {1},
    }


def test_what_is_left_out_stays_left_out() -> None:
    def function(a: int = 1, b: int | None = None) -> None: ...

    assert parameters(function).validate({}) == {}
    assert parameters(function).validate({"b": None}) == {"b": None}


def test_each_problem_names_its_argument() -> None:
    def function(guest: Guest, bedrooms: Annotated[int, Field(le=9)]) -> None: ...

    with pytest.raises(InvalidArgumentsError) as raised:
        parameters(function).validate({"guest": {"age": "old"}, "bedrooms": 12, "colour": "red"})
    assert {problem.field: problem.message for problem in raised.value.problems} == {
        "guest.name": "is required",
        "guest.age": "Input should be a valid integer",
        "bedrooms": "Input should be less than or equal to 9",
        "colour": "is not a parameter of this tool; its parameters: guest, bedrooms",
    }


def test_problems_are_bounded_in_number_and_length() -> None:
    def function(a: int) -> None: ...

    with pytest.raises(InvalidArgumentsError) as raised:
        parameters(function).validate({"x" * 10_000 + str(n): 1 for n in range(50)})
    assert len(raised.value.problems) == 8
    assert str(raised.value).endswith("; and 43 more")
    assert len(str(raised.value)) < 2_000


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {"a": float("nan")}, {"a": object()}])
def test_python_values_that_json_cannot_express_are_refused(value: Any) -> None:
    def function(a: Any) -> None: ...

    with pytest.raises(InvalidArgumentsError, match="not expressible as JSON"):
        parameters(function).validate(value)


def untyped(a) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001, RUF100
def variadic(*a: int) -> None: ...
def keywords(**a: int) -> None: ...
def positional(a: int, /) -> None: ...
def two_contexts(a: ToolContext, b: ToolContext) -> None: ...
def unresolved(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def arbitrary(a: Parameters) -> None: ...
def function_typed(a: Callable[[int], str]) -> None: ...
def old_style(a: int = Field(3, ge=1)) -> None: ...  # noqa: B008, RUF100


def misdocumented(city: str) -> None:
    """Finds.

    Args:
        citi: The city.
    """


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (untyped, "untyped: parameter 'a' needs a type hint"),
        (variadic, "name each parameter"),
        (keywords, "name each parameter"),
        (positional, "models pass arguments by name"),
        (two_contexts, "only one parameter"),
        (unresolved, "'Nowhere' is not defined"),
        (arbitrary, "a type hint cannot be checked"),
        (function_typed, "a type hint has no JSON Schema"),
        (old_style, "Annotated"),
        (misdocumented, "describes 'citi', which is not a parameter"),
    ],
)
def test_functions_that_cannot_be_tools_say_why(function: Callable[..., object], says: str) -> None:
    with pytest.raises(ToolDefinitionError, match=says):
        parameters(function)
