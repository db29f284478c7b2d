from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perhop.tools.arguments import MAX_BYTES, MAX_DEPTH, parse_arguments
from perhop.tools.errors import InvalidArgumentsError

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@given(st.dictionaries(texts, values, max_size=4))
@example({"a": "\\u0000"})
def test_every_ordinary_object_is_read_as_json_reads_it(arguments: dict[str, object]) -> None:
    assert parse_arguments(json.dumps(arguments)) == arguments


@given(st.text(max_size=200))
@example("[" * 60_000)
@example('{"a":' * 9_000)
@example("9" * 60_000)
@example('{"a": "\\ud800"}')
@example("\ud800")
def test_any_text_gives_an_object_or_a_refusal(text: str) -> None:
    try:
        assert isinstance(parse_arguments(text), dict)
    except InvalidArgumentsError as error:
        assert 0 < len(str(error)) < 500


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_nothing_counts_as_no_arguments(text: str) -> None:
    assert parse_arguments(text) == {}


def test_a_number_without_a_fraction_is_an_integer() -> None:
    found = parse_arguments('{"a": 2.0, "b": 1e3, "c": -0.0, "d": 2.5, "e": 1e300}')
    assert [type(value) for value in found.values()] == [int, int, int, float, float]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "a: is given twice"),
        ('{"b": {"a": 1, "a": 1}}', "a: is given twice"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": "b\\u0000"}', "a: holds the character NUL"),
        ('{"a": {"b\\u0000": 1}}', "a: a name in it holds the character NUL"),
        ('{"a": [{"b": "\\u0000"}]}', "a.0.b: holds the character NUL"),
        ('{"a": 1e999}', "a number is too large"),
        ('{"a": 9223372036854775808}', "a number is too large"),
        ('{"a": ' + "9" * 5_000 + "}", "a number is too large"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1', "not JSON"),
        ('{"a": 1} {}', "not JSON"),
    ],
)
def test_what_readers_disagree_about_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=says):
        parse_arguments(text)


def test_size_is_counted_in_bytes() -> None:
    room = MAX_BYTES - len('{"a":""}')
    assert parse_arguments('{"a":"%s"}' % ("x" * room))
    with pytest.raises(InvalidArgumentsError, match="more than 65536 bytes"):
        parse_arguments('{"a":"%s"}' % ("x" * (room + 1)))
    with pytest.raises(InvalidArgumentsError, match="more than 65536 bytes"):
        parse_arguments('{"a":"%s"}' % ("é" * (room // 2 + 1)))


def test_depth_is_counted_from_the_outermost_object() -> None:
    assert parse_arguments('{"a":' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}")
    with pytest.raises(InvalidArgumentsError, match="nested deeper than 16 levels"):
        parse_arguments('{"a":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}")
