"""Perhop: the right transport on every hop of a voice-agent call.

The names below are loaded when they are first used, so that a module of tools which says ``from perhop import tool``
pulls in neither media nor a bus nor a web server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perhop.tools.errors import ToolError, ToolUnavailableError
    from perhop.tools.schema import Slot
    from perhop.tools.tool import Tool, ToolContext, tool
    from perhop.workers.sdk import Worker, WorkerContext

    __version__: str

__all__ = [
    "Slot",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolUnavailableError",
    "Worker",
    "WorkerContext",
    "__version__",
    "tool",
]

_HOME = {
    "Slot": "perhop.tools.schema",
    "Tool": "perhop.tools.tool",
    "ToolContext": "perhop.tools.tool",
    "ToolError": "perhop.tools.errors",
    "ToolUnavailableError": "perhop.tools.errors",
    "Worker": "perhop.workers.sdk",
    "WorkerContext": "perhop.workers.sdk",
    "tool": "perhop.tools.tool",
}


if not TYPE_CHECKING:  # a type checker would take it to mean that every name exists

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            value: object = version("perhop")
        elif name in _HOME:
            value = getattr(import_module(_HOME[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
