from __future__ import annotations

import dataclasses
import json
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from perhop.tools.errors import InvalidArgumentsError, Problem
from perhop.tools.result import ErrorCode, ToolResult


class Colour(Enum):
    RED = "red"


class Home(BaseModel):
    city: str
    day: date


@dataclasses.dataclass
class Slot:
    at: time


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ("done", '"done"'),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        ([Home(city="Oakland", day=date(2026, 3, 31))], '[{"city":"Oakland","day":"2026-03-31"}]'),
        (Slot(time(14, 30)), '{"at":"14:30:00"}'),
        ({"colour": Colour.RED, "price": Decimal("1.50")}, '{"colour":"red","price":"1.50"}'),
        ({"rate": float("nan"), "most": float("inf")}, '{"rate":null,"most":null}'),
        ("über", '"über"'),
    ],
)
def test_results_become_json(value: object, text: str) -> None:
    assert ToolResult.of(value, max_bytes=1_000) == ToolResult(text, ok=True, code=None)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_the_output_is_json_whatever_it_is(value: object) -> None:
    assert json.loads(ToolResult.of(value, max_bytes=10**9).output) == value


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [object(), endless(), {"a": lambda: 1}, "\ud800", b"\xff"])
def test_what_json_cannot_express_is_said_without_showing_it(value: object) -> None:
    with pytest.raises(ValueError, match=f"a {type(value).__name__} that JSON cannot express"):
        ToolResult.of(value, max_bytes=1_000)


def test_too_much_is_refused_with_both_figures() -> None:
    assert ToolResult.of("x" * 98, max_bytes=100).ok
    result = ToolResult.of("x" * 99, max_bytes=100)
    assert (result.ok, result.code) == (False, "result_too_large")
    assert "101 bytes, the limit is 100" in json.loads(result.output)["error"]["message"]


def test_wrong_arguments_are_listed_by_field() -> None:
    result = ToolResult.invalid(InvalidArgumentsError([Problem("day", "is required"), Problem("", "too odd")]))
    assert json.loads(result.output) == {
        "error": {
            "code": "invalid_arguments",
            "message": "day: is required; too odd",
            "fields": {"day": "is required"},
        }
    }


def test_an_unknown_tool_is_told_which_there_are() -> None:
    result = ToolResult.unknown("x" * 1_000, ["search", "book"])
    assert result.code == ErrorCode.UNKNOWN_TOOL
    assert json.loads(result.output)["error"]["message"].endswith("Tools: search, book.")
    assert len(result.output) < 250
