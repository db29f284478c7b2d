"""What a JSON schema means to the dialogue, and whether a value fits it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.brain.dialogue.agents import function

from perhop.brain.grammar.samples import read_cues, read_sample
from perhop.brain.grammar.schema import Kind, humanise, read_tools
from perhop.brain.grammar.values import check, say_value


def slot_of(name: str, schema: dict[str, Any], **root: Any) -> Any:
    tool = function("f", {name: schema})
    tool["parameters"].update(root)
    return read_tools([tool])[0].slots[name]


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("count", {"type": "integer"}, Kind.INTEGER),
        ("weight", {"type": "number"}, Kind.NUMBER),
        ("max_price", {"type": "integer"}, Kind.MONEY),
        ("parking", {"type": "boolean"}, Kind.BOOLEAN),
        ("size", {"enum": ["s", "m"]}, Kind.CHOICE),
        ("size", {"enum": [1, 2]}, Kind.CHOICE),
        ("city", {"type": "string", "x-values": ["Oakland"]}, Kind.CHOICE),
        ("city", {"type": "string"}, Kind.CHOICE),
        ("remark", {"type": "string"}, Kind.TEXT),
        ("when", {"type": "string", "format": "date"}, Kind.DATE),
        ("when", {"type": "string", "format": "time"}, Kind.TIME),
        ("when", {"type": "string", "format": "date-time"}, Kind.DATE_TIME),
        ("day", {"type": "string"}, Kind.DATE),
        ("startTime", {"type": "string"}, Kind.TIME),
        ("email", {"type": "string"}, Kind.EMAIL),
        ("mobile", {"type": "string"}, Kind.PHONE),
        ("full_name", {"type": "string"}, Kind.NAME),
        ("listing_id", {"type": "string"}, Kind.CODE),
        ("anything", {"type": "string", "pattern": "^[A-Z]+$"}, Kind.CODE),
        ("tags", {"type": "array", "items": {"type": "string"}}, Kind.LIST),
        ("maybe", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, Kind.INTEGER),
        ("maybe", {"type": ["integer", "null"]}, Kind.INTEGER),
        ("place", {"type": "object"}, Kind.UNFIT),
        ("pairs", {"type": "array", "items": {"type": "object"}}, Kind.UNFIT),
        ("any", {}, Kind.UNFIT),
    ],
)
def test_kinds_come_from_type_format_and_name(name: str, schema: dict[str, Any], kind: Kind) -> None:
    assert slot_of(name, schema).kind is kind


def test_references_inside_the_parameters_are_followed() -> None:
    slot = slot_of("size", {"$ref": "#/$defs/Size"}, **{"$defs": {"Size": {"enum": ["small", "large"]}}})
    assert [choice.value for choice in slot.choices] == ["small", "large"]


def test_values_may_have_words_of_their_own() -> None:
    slot = slot_of("city", {"type": "string", "x-values": {"SFO": ["San Francisco", "the city"], "OAK": ["Oakland"]}})
    assert slot.choices[0].label == "San Francisco"
    assert "the city" in slot.choices[0].words
    assert say_value(slot, "SFO") == "San Francisco"


def test_effects_are_assumed_unless_a_tool_only_looks() -> None:
    tools = read_tools([function("get_weather", {}), function("book", {}), function("book2", {}, effect="none")])
    assert [tool.effect for tool in tools] == [False, True, False]


def test_a_tool_that_needs_what_no_voice_can_give_is_not_fit() -> None:
    (tool,) = read_tools([function("f", {"a": {"type": "object"}})])
    assert not tool.fit
    (tool,) = read_tools([function("f", {"a": {"type": "object"}}, required=[])])
    assert tool.fit


def test_pronunciations_are_taken_as_variants() -> None:
    tool = function("f", {"a": {"type": "string", "x-pronounce": {"Alviso": ["AE L V IY S OW", "AE L V AY S OW"]}}})
    tool["parameters"]["x-pronounce"] = {"cat": ["K", "AE", "T"]}
    (read,) = read_tools([tool])
    assert read.pronunciations == {"alviso": ("AE L V IY S OW", "AE L V AY S OW"), "cat": ("K AE T",)}


def test_names_are_said_in_words() -> None:
    assert humanise("max_price") == "maximum price"
    assert humanise("listingId") == "listing id"


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 6}, 3, None),
        ({"type": "integer", "minimum": 1, "maximum": 6}, 9, "The size has to be between 1 and 6."),
        ({"type": "integer", "minimum": 1}, 0, "The size has to be at least 1."),
        ({"type": "integer", "maximum": 1000}, 2000, "The size can be at most 1,000."),
        ({"type": "number", "exclusiveMinimum": 0}, 0, "The size has to be more than 0."),
        ({"type": "number", "exclusiveMaximum": 1}, 1, "The size has to be less than 1."),
        ({"type": "number", "multipleOf": 0.5}, 0.7, "The size has to be a multiple of 0.5."),
        ({"type": "integer"}, 1.5, "The size has to be a whole number."),
        ({"type": "string", "pattern": "^[a-z]+$"}, "abc", None),
        ({"type": "string", "pattern": "^[a-z]+$"}, "ABC", "That does not look like a valid size."),
        ({"type": "string", "pattern": "(?=a)b"}, "c", None),
        ({"type": "string", "minLength": 3}, "ab", "The size is too short."),
        ({"type": "string", "maxLength": 3}, "abcd", "The size is too long."),
        ({"type": "string", "format": "email"}, "a at b", "That does not look like an e-mail address."),
        ({"type": "string", "format": "phone"}, "555", "That seems too short for a phone number."),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["a"], "I need at least 2 of them."),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["a", "b"], "I can take at most 1 of them."),
    ],
)
def test_values_are_checked_against_the_schema(schema: dict[str, Any], value: Any, problem: str | None) -> None:
    assert check(slot_of("size", schema), value) == problem


def test_a_pattern_made_to_backtrack_takes_no_time() -> None:
    slot = slot_of("code", {"type": "string", "pattern": "^(a+)+$"})
    assert check(slot, "a" * 5000 + "!") is not None


def test_samples_are_taken_apart_into_an_opening_and_cues() -> None:
    sample = read_sample("Show me a {bedrooms} bedroom apartment in {city} on {day}, please")
    assert sample.lead == ("show", "me", "a")
    assert sample.slots == ("bedrooms", "city", "day")
    assert sample.cues["bedrooms"].after == (("bedroom", "apartment"),)
    assert sample.cues["city"].before == (("in",),)
    assert sample.cues["day"].before == (("on",),)


def test_names_and_kinds_give_cues_without_samples() -> None:
    (tool,) = read_tools([function("f", {"max_rooms": {"type": "integer"}, "guests": {"type": "integer"}})])
    cues = read_cues(tool, [])
    assert ("under",) in cues["max_rooms"].before
    assert ("guest",) in cues["guests"].after


@pytest.mark.parametrize(
    ("name", "description", "title"),
    [
        ("weather", "Looks up the weather.", "look up the weather"),
        ("weather", "Searches for storms near a city; slow.", "search for storms near a city"),
        ("stock", "Carries a price over to the next day", "carry a price over to the next day"),
        ("weather", "Get current weather.", "get current weather"),
        ("weather", "The weather of a city.", "weather"),
        ("weather", "", "weather"),
        ("find_home", "Looks for homes.", "find home"),
    ],
)
def test_a_tool_without_a_title_says_what_it_can_do_from_its_name_or_description(
    name: str, description: str, title: str
) -> None:
    (tool,) = read_tools([{"type": "function", "name": name, "description": description}])
    assert tool.title == title


def test_a_number_keeps_its_kind_when_some_of_its_values_have_names() -> None:
    slot = slot_of("bedrooms", {"type": "integer", "minimum": 0, "x-values": {"0": ["studio"], "x": ["never"]}})
    assert slot.kind is Kind.INTEGER
    assert [(choice.value, choice.label) for choice in slot.choices] == [(0, "studio")]
    assert say_value(slot, 0) == "studio"
    assert say_value(slot, 2) == "2"
