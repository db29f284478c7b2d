"""The moment the tests of the examples live in, and the type of their way to call a tool."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from perhop.tools.base import Tool

Ask = Callable[..., Awaitable[Any]]

THURSDAY_NOON = datetime(2026, 11, 26, 12, 15, tzinfo=UTC)


def fields_not_there(tool: Tool, output: Mapping[str, Any], arguments: Mapping[str, Any]) -> set[str]:
    """Fields that the tool's template says but neither result, entries of its lists nor arguments have."""
    named = set(re.findall(r"\{[#^/]?(\w+)", tool.parameters["x-say"]))
    entries = [entry for value in output.values() if isinstance(value, list) for entry in value]
    known = {*output, *arguments, *(key for entry in entries for key in entry)}
    return named - known - {"n", "nth"}
