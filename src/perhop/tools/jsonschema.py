"""JSON Schema as a model should see it: no indirection, no noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["inlined", "without_extensions", "without_noise"]

_ONE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAP = ("properties", "patternProperties", "$defs", "dependentSchemas")
_PREFIX = "#/$defs/"

Schema = dict[str, Any]


def without_extensions(schema: Mapping[str, Any]) -> Schema:
    """A copy without any ``x-…`` key; properties that happen to be named so stay."""
    kept = {key: value for key, value in schema.items() if not key.startswith("x-")}
    return _map_children(kept, without_extensions)


def without_noise(schema: Mapping[str, Any]) -> Schema:
    """A copy without titles, null defaults and discriminators (OpenAPI's), each ``const`` written as an ``enum``."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "discriminator")}
    if "default" in kept and kept["default"] is None:
        del kept["default"]
    if "const" in kept:
        kept["enum"] = [kept.pop("const")]
    return _map_children(kept, without_noise)


def inlined(schema: Mapping[str, Any]) -> Schema:
    """A copy with every definition put in place of the references to it.

    Definitions that contain themselves cannot be; those stay in ``$defs``.
    """
    definitions: Mapping[str, Schema] = schema.get("$defs", {})
    recursive = {name for name in definitions if name in _reachable(name, definitions)}

    def resolve(part: Mapping[str, Any]) -> Schema:
        name = _target(part)
        if name is None or name in recursive:
            return _map_children(part, resolve)
        beside = {key: value for key, value in part.items() if key != "$ref"}
        return resolve({**definitions[name], **beside})

    result = resolve({key: value for key, value in schema.items() if key != "$defs"})
    if recursive:
        result["$defs"] = {name: _map_children(definitions[name], resolve) for name in sorted(recursive)}
    return result


def _target(schema: Mapping[str, Any]) -> str | None:
    reference = schema.get("$ref")
    return reference.removeprefix(_PREFIX) if isinstance(reference, str) else None


def _reachable(name: str, definitions: Mapping[str, Schema]) -> set[str]:
    """Names of the definitions that ``name`` refers to, directly or not."""
    found: set[str] = set()
    waiting = [name]

    def note(part: Mapping[str, Any]) -> Schema:
        target = _target(part)
        if target is not None and target not in found:
            found.add(target)
            waiting.append(target)
        return _map_children(part, note)

    while waiting:
        note(definitions[waiting.pop()])
    return found


def _map_children(schema: Mapping[str, Any], change: Callable[[Mapping[str, Any]], Schema]) -> Schema:
    """A shallow copy of ``schema`` with ``change`` applied to each schema directly inside it."""
    result = dict(schema)
    for key in _ONE:
        if isinstance(result.get(key), Mapping):
            result[key] = change(result[key])
    for key in _LIST:
        if key in result:
            result[key] = [change(part) if isinstance(part, Mapping) else part for part in result[key]]
    for key in _MAP:
        if key in result:
            result[key] = {name: change(part) for name, part in result[key].items()}
    return result
