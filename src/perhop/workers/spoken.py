"""What the reference workers share of how tools are spoken about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from perhop.tools.base import Tool

__all__ = ["with_pattern", "with_values"]

T = TypeVar("T", bound=Tool)

_MAX_SHAPES = 20


def with_values(tool: T, parameter: str, values: Sequence[str] | Mapping[str, Sequence[str]]) -> T:
    """The same tool, with known values of an open parameter that only the settings tell, or with their names."""
    if not values:
        return tool
    spoken = {value: list(words) for value, words in values.items()} if isinstance(values, Mapping) else list(values)
    return _with(tool, parameter, "x-values", spoken)


def with_pattern(tool: T, parameter: str, identifiers: Iterable[str]) -> T:
    """The same tool, whose spoken parameter has to look like one of these: any digit where they have one.

    Without it whatever is spelled, a telephone number too, would pass for an identifier. Where they look too different
    from each other, nothing is asked of it.
    """
    shapes = {re.sub(r"[0-9]", "[0-9]", re.escape(one)) for one in identifiers}
    if not shapes or len(shapes) > _MAX_SHAPES:
        return tool
    return _with(tool, parameter, "x-pattern", f"^({'|'.join(sorted(shapes))})$")


def _with(tool: T, parameter: str, key: str, value: object) -> T:
    properties: dict[str, Any] = dict(tool.parameters["properties"])
    properties[parameter] = {**properties[parameter], key: value}
    return replace(tool, parameters={**tool.parameters, "properties": properties})
