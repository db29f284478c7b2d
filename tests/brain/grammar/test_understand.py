"""What is made of one utterance: values, the tool meant, what is pointed at."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.brain.dialogue.agents import ONEROOF, RECEPTION, function

from perhop.brain.grammar import Domain, Focus, understand
from perhop.brain.grammar.acts import COMMON, PHRASES, Act, read_act
from perhop.brain.grammar.pointing import read_pointer
from perhop.text.words import split

MONDAY = date(2026, 11, 23)
FOCUS = Focus(today=MONDAY)
HOMES = Domain(ONEROOF)
CLINIC = Domain(RECEPTION)
LABELS = ("412 Grand Avenue", "9 Lake Street", "77 Hill Road")


def values(domain: Domain, tool: str, text: str, focus: Focus = FOCUS) -> dict[str, object]:
    return {name: fill.value.json for name, fill in understand(domain, text, focus).fills[tool].items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'd like to see a two bedroom in Oakland on Friday", {"bedrooms": 2, "city": "Oakland", "day": "2026-11-27"}),
        ("2 bedroom in oakland friday", {"bedrooms": 2, "city": "Oakland", "day": "2026-11-27"}),
        ("friday in berkeley, 3 beds", {"bedrooms": 3, "city": "Berkeley", "day": "2026-11-27"}),
        ("in san leandro under twenty five hundred", {"city": "San Leandro", "max_price": 2500}),
        ("up to $3,000 in alameda", {"city": "Alameda", "max_price": 3000}),
        ("something in hayward", {"city": "Hayward"}),
        ("two people", {}),
        ("not in oakland, in berkeley", {"city": "Berkeley"}),
        ("on friday, no, saturday", {"day": "2026-11-28"}),
        ("a two and a three bedroom", {"bedrooms": 3}),
    ],
)
def test_values_are_found_by_their_cues(text: str, expected: dict[str, object]) -> None:
    assert values(HOMES, "search_listings", text) == expected


@pytest.mark.parametrize(
    ("asked", "text", "expected"),
    [
        ("service", "the x ray please", {"service": "x_ray"}),
        ("service", "clening", {"service": "cleaning"}),
        ("service", "x rays", {"service": "x_ray"}),
        ("day", "the fifth", {"day": "2026-12-05"}),
        ("time", "two", {"time": "14:00"}),
        ("time", "nine in the evening", {"time": "21:00"}),
        ("time", "in the morning, at seven", {"time": "07:00"}),
        ("name", "it's pat o'neill", {"name": "Pat O'Neill"}),
        ("name", "b as in bravo r o w n", {"name": "Brown"}),
        ("name", "Sam brown, b r o w n e", {"name": "Sam Browne"}),
        ("name", "McDonald", {"name": "McDonald"}),
        ("first_visit", "nope", {"first_visit": False}),
        ("first_visit", "yes it is", {"first_visit": True}),
        ("name", "please cancel", {"name": "Cancel"}),
    ],
)
def test_what_was_asked_for_may_be_said_bare(asked: str, text: str, expected: dict[str, object]) -> None:
    focus = Focus(today=MONDAY, tool="book_appointment", asked=asked)
    if text == "please cancel":
        assert understand(CLINIC, text, focus).whole_act is Act.CANCEL
        return
    assert values(CLINIC, "book_appointment", text, focus) == expected


def test_lists_collect_all_that_is_named() -> None:
    pizza = Domain(
        [
            function("order", {"toppings": {"type": "array", "items": {"enum": ["ham", "mushrooms", "olives"]}}}),
            function("shop", {"things": {"type": "array", "items": {"type": "string"}}}),
        ]
    )
    focus = Focus(today=MONDAY, tool="order", asked="toppings")
    assert values(pizza, "order", "olives, ham and a mushroom", focus) == {"toppings": ["olives", "ham", "mushrooms"]}
    focus = Focus(today=MONDAY, tool="shop", asked="things")
    assert values(pizza, "shop", "milk, brown bread and eggs", focus) == {"things": ["milk", "brown bread", "eggs"]}


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        ("find me a place in oakland", "search_listings"),
        ("book a viewing of the first one", "book_viewing"),
        ("can you text me the details", "send_details"),
        ("i want to book a veiwing", "book_viewing"),
    ],
)
def test_the_tool_meant_comes_first(text: str, tool: str) -> None:
    name, score = understand(HOMES, text, FOCUS).ranking[0]
    assert name == tool
    assert score > 0.45


@pytest.mark.parametrize(
    "text", ["tell me a joke", "book me a flight to paris", "what is the meaning of life", "banana"]
)
def test_what_is_about_something_else_is_about_nothing_here(text: str) -> None:
    assert understand(HOMES, text, FOCUS).ranking[0][1] < 0.45


@pytest.mark.parametrize(
    ("text", "act", "whole"),
    [
        ("yes", Act.YES, True),
        ("Yes, please.", Act.YES, True),
        ("um yeah that's right", Act.YES, True),
        ("no no", Act.NO, True),
        ("no, saturday", Act.NO, False),
        ("could you please repeat that", Act.REPEAT, True),
        ("I want to start over", Act.RESTART, True),
        ("never mind", Act.CANCEL, True),
        ("can I please talk to a real person", Act.HUMAN, True),
        ("okay thank you very much", Act.THANKS, True),
        ("that's all, bye", Act.BYE, True),
        ("no thanks, bye then", Act.BYE, True),
        ("wait, stop", Act.CANCEL, True),
        ("no, wait, stop", Act.CANCEL, True),
        ("yes, cancel it", Act.YES, False),
        ("stop at noon", None, False),
        ("goodbye to sam", None, False),
        ("cancel my booking", None, False),
        ("", None, False),
    ],
)
def test_acts_are_read_whole_and_yes_and_no_in_front(text: str, act: Act | None, whole: bool) -> None:
    words = [word.text for word in split(text)]
    found = read_act(words)
    assert (found[0] if found else None) == act
    assert (found is not None and found[1] == len(words)) == whole


def test_every_phrase_is_its_act() -> None:
    for act, phrases in PHRASES.items():
        for phrase in phrases:
            assert read_act([word.text for word in split(phrase)]) == (act, len(phrase.split())), phrase
        assert act in COMMON


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("the first one", 0),
        ("book the second one on friday", 1),
        ("the last one please", -1),
        ("number three", 2),
        ("option 2", 1),
        ("the third listing", 2),
        ("the first", 0),
        ("the one on lake street", 1),
        ("grand avenue", 0),
        ("that one", None),
        ("book it", None),
    ],
)
def test_entries_are_pointed_at(text: str, index: int | None) -> None:
    words = [word.text for word in split(text)]
    pointer = read_pointer(words, LABELS, nouns=frozenset({"listing"}), alone=True)
    assert pointer is not None
    assert pointer.index == index


@pytest.mark.parametrize("text", ["the first of march", "a street", "number nine", "two bedrooms", "one"])
def test_not_everything_points(text: str) -> None:
    assert read_pointer([word.text for word in split(text)], LABELS, alone=False) is None


@given(st.text(max_size=60), st.sampled_from([None, "listing_id", "day", "time", "name"]))
def test_understanding_never_fails(text: str, asked: str | None) -> None:
    understand(HOMES, text, Focus(today=MONDAY, tool="book_viewing" if asked else None, asked=asked, labels=LABELS))


BOOKING = Domain(
    [
        function(
            "book",
            {
                "resource_id": {"type": "string", "x-pattern": "^(home-[0-9]{3})$"},
                "slot_id": {"type": "string"},
                "phone": {"type": "string"},
            },
            samples=["book {resource_id}", "book number {slot_id}"],
        )
    ]
)


@pytest.mark.parametrize("asked", ["resource_id", "slot_id"])
@pytest.mark.parametrize(
    "said", ["510 555 0134", "five one oh five five five oh one three four", "my number is 5105550134"]
)
def test_a_phone_number_is_no_answer_to_which_one(asked: str, said: str) -> None:
    focus = Focus(today=MONDAY, tool="book", asked=asked)
    assert values(BOOKING, "book", said, focus) == {"phone": "510-555-0134"}


def test_an_identifier_that_was_asked_for_may_be_spelled() -> None:
    focus = Focus(today=MONDAY, tool="book", asked="slot_id")
    assert values(BOOKING, "book", "b two seven", focus)["slot_id"] == "B27"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("do you have a studio in Berkeley", {"bedrooms": 0, "city": "Berkeley"}),
        ("a studio under 2000 dollars", {"bedrooms": 0, "max_price": 2000}),
        ("not a studio, a two bedroom", {"bedrooms": 2}),
        ("a studio or a two bedroom", {"bedrooms": 2}),
        ("zero bedrooms", {"bedrooms": 0}),
    ],
)
def test_a_number_may_have_a_name(text: str, expected: dict[str, object]) -> None:
    assert values(HOMES, "search_listings", text) == expected
