"""Functions a model may call: how they are declared, found and run."""

from __future__ import annotations

from perhop.tools.errors import (
    InvalidArgumentsError,
    ToolConflictError,
    ToolDefinitionError,
    ToolError,
    ToolLoadError,
    ToolUnavailableError,
    UnknownToolError,
)
from perhop.tools.schema import Slot
from perhop.tools.tool import FunctionTool, Tool, ToolContext, tool

__all__ = [
    "FunctionTool",
    "InvalidArgumentsError",
    "Slot",
    "Tool",
    "ToolConflictError",
    "ToolContext",
    "ToolDefinitionError",
    "ToolError",
    "ToolLoadError",
    "ToolUnavailableError",
    "UnknownToolError",
    "tool",
]
