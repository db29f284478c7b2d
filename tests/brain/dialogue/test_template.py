"""Result templates and the words for results without one."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perhop.brain.dialogue.results import read_result, say_more, say_result
from perhop.brain.dialogue.template import Template
from perhop.brain.grammar.schema import read_tools
from perhop.brain.grammar.values import Json

TODAY = date(2026, 11, 23)


def render(template: str, output: Json, **arguments: Json) -> str:
    return Template(template).render(output, arguments, today=TODAY)


@pytest.mark.parametrize(
    ("template", "output", "said"),
    [
        ("It is {sky} in {city}.", {"sky": "sunny"}, "It is sunny in Paris."),
        ("You asked for {args.city}.", {"city": "Rome"}, "You asked for Paris."),
        ("On {day} at {at}.", {"day": "2026-11-27", "at": "14:30"}, "On Friday, November 27th at 2:30 pm."),
        ("{at}", {"at": "2026-11-27T14:30:00"}, "Friday, November 27th at 2:30 pm"),
        ("{rent:money}, {n:number}", {"rent": 2800, "n": 1200.5}, "2,800 dollars, 1,200.5"),
        ("{price}", {"price": 12.5}, "12 dollars and 50 cents"),
        ("Call {phone:phone}.", {"phone": "510-555-0134"}, "Call 5 1 0, 5 5 5, 0 1 3 4."),
        ("{code:spell} {place:ordinal} {raw:raw}", {"code": "AB-12", "place": 3, "raw": "2026-11-27"},
         "A B, 1 2 third 2026-11-27"),
        ("{mail:email}", {"mail": "a.b@c.io"}, "a dot b at c dot io"),
        ("{homes:count home homes}", {"homes": [1]}, "1 home"),
        ("{homes:count home homes}", {"homes": [1, 2]}, "2 homes"),
        ("{names}", {"names": ["a", "b", "c"]}, "a, b and c"),
        ("{#homes}The {nth} is {street}.{/homes}", {"homes": [{"street": "A"}, {"street": "B"}]},
         "The first is A. The second is B."),
        ("{#times}{value} {/times}", {"times": ["09:00", "10:30"]}, "9 am 10:30 am"),
        ("{^homes}None.{/homes}{#homes}x{/homes}", {"homes": []}, "None."),
        ("{#owner}{name} is at home.{/owner}", {"owner": {"name": "Ann"}}, "Ann is at home."),
        ("{#open}Open.{/open}{^open}Closed.{/open}", {"open": True}, "Open."),
        ("{#open}Open.{/open}{^open}Closed.{/open}", {"open": False}, "Closed."),
        ("{#items}{n}: {a}, {/items}done", [{"a": 1}, {"a": 2}], "1: 1, 2: 2, done"),
        ("{value} it is", 7, "7 it is"),
        ("{missing} gone , fine .", {}, "gone, fine."),
        ("{a.b.c}", {"a": {"b": {"c": "deep"}}}, "deep"),
        ("{unclosed {#a}{/b} {/c}", {"a": 0}, "{unclosed"),
    ],
)  # fmt: skip
def test_a_template_is_filled(template: str, output: Json, said: str) -> None:
    assert render(template, output, city="Paris") == said


def test_only_a_few_entries_are_said_at_once() -> None:
    homes: list[Json] = [{"s": name} for name in "abcdefg"]
    (tool,) = read_tools([{"type": "function", "name": "f", "parameters": {"x-say": "{#homes}{nth} {s}.{/homes}"}}])
    result = read_result("f", {}, '{"homes": [{"s": "a"}, {"s": "b"}, {"s": "c"}, {"s": "d"}]}')
    assert render(tool.say, {"homes": homes}) == "first a. second b. third c."
    assert say_result(tool, result, TODAY)[-1] == "There is 1 more. Say more to hear them."
    assert say_more(tool, result, 3, TODAY) == ["fourth d."]
    assert say_more(tool, result, 6, TODAY) == []


def test_a_list_without_a_template_is_described() -> None:
    result = read_result(
        "find_rooms",
        {},
        '{"rooms": [{"room_id": "r1", "name": "Blue room", "seats": 8, "projector": true, "rate": 1.5},'
        ' {"id": 2, "seats": 1}]}',
    )
    assert say_result(None, result, TODAY) == [
        "I found 2 rooms.",
        "The first: Blue room, 8 seats, projector, rate 1.5.",
        "The second: 1 seat.",
    ]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


@given(st.text(alphabet="{}#^/:ab. moneyspel", max_size=40), JSON)
def test_no_template_and_no_result_fails(template: str, output: Json) -> None:
    assert isinstance(render(template, output), str)


@given(JSON)
@example({"a": float("inf"), "rent": float("-inf")})
@example([1e300, [[]], {}])
def test_every_result_is_said_somehow(output: Json) -> None:
    result = read_result("f", {}, json.dumps(output))
    if result.fault is None:
        assert all(isinstance(text, str) and text for text in say_result(None, result, TODAY))
