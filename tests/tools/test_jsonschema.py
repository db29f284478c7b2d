from __future__ import annotations

from perhop.tools.jsonschema import inlined, without_extensions, without_noise


def test_extensions_go_everywhere_but_properties_named_like_one_stay() -> None:
    schema = {
        "type": "object",
        "x-samples": ["a"],
        "properties": {
            "x-ray": {"type": "string", "x-prompt": "Which?"},
            "many": {"type": "array", "items": {"type": "string", "x-values": ["a"]}},
            "either": {"anyOf": [{"type": "string", "x-say": "b"}, {"type": "null"}]},
        },
    }
    assert without_extensions(schema) == {
        "type": "object",
        "properties": {
            "x-ray": {"type": "string"},
            "many": {"type": "array", "items": {"type": "string"}},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    }
    assert schema["x-samples"] == ["a"], "the original is left alone"


def test_noise_goes_but_a_property_named_title_stays() -> None:
    schema = {
        "title": "Arguments",
        "properties": {
            "title": {"title": "Title", "type": "string", "default": None},
            "kind": {"const": "a", "type": "string", "default": "a"},
        },
    }
    assert without_noise(schema) == {
        "properties": {
            "title": {"type": "string"},
            "kind": {"type": "string", "default": "a", "enum": ["a"]},
        },
    }


def test_definitions_replace_their_references_and_what_stands_beside_them_wins() -> None:
    schema = {
        "$defs": {
            "Street": {"type": "string", "description": "any street"},
            "Address": {"type": "object", "properties": {"street": {"$ref": "#/$defs/Street"}}},
        },
        "properties": {
            "home": {"$ref": "#/$defs/Address", "description": "where they live"},
            "others": {"type": "array", "items": {"$ref": "#/$defs/Address"}},
        },
    }
    address = {"type": "object", "properties": {"street": {"type": "string", "description": "any street"}}}
    assert inlined(schema) == {
        "properties": {
            "home": {**address, "description": "where they live"},
            "others": {"type": "array", "items": address},
        },
    }


def test_only_definitions_that_contain_themselves_remain() -> None:
    schema = {
        "$defs": {
            "Leaf": {"type": "string"},
            "Tree": {
                "properties": {
                    "leaf": {"$ref": "#/$defs/Leaf"},
                    "branches": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                }
            },
        },
        "properties": {"tree": {"$ref": "#/$defs/Tree"}, "leaf": {"$ref": "#/$defs/Leaf"}},
    }
    assert inlined(schema) == {
        "$defs": {
            "Tree": {
                "properties": {
                    "leaf": {"type": "string"},
                    "branches": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                }
            }
        },
        "properties": {"tree": {"$ref": "#/$defs/Tree"}, "leaf": {"type": "string"}},
    }
