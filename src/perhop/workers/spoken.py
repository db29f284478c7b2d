"""What the reference workers share of how tools are spoken about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from perhop.tools.base import Tool

__all__ = ["with_values"]

T = TypeVar("T", bound=Tool)


def with_values(tool: T, parameter: str, values: Sequence[str]) -> T:
    """The same tool, with known values of an open parameter that only the settings tell."""
    if not values:
        return tool
    properties: dict[str, Any] = dict(tool.parameters["properties"])
    properties[parameter] = {**properties[parameter], "x-values": list(values)}
    return replace(tool, parameters={**tool.parameters, "properties": properties})
