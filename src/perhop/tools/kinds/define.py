"""From a ``[tools.<name>]`` table to a tool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from perhop.config.tools import BuiltinToolSettings, BusToolSettings, HttpToolSettings, McpToolSettings, ToolSettings
from perhop.tools.base import JsonObject, Tool
from perhop.tools.errors import ToolDefinitionError
from perhop.tools.kinds.builtin import builtin
from perhop.tools.kinds.bus import BusTool
from perhop.tools.kinds.http import HttpTool
from perhop.tools.kinds.openapi import find_operation

__all__ = ["define"]

MAX_DOCUMENT_BYTES = 16 << 20

_SHARED = (
    "title",
    "effect",
    "timeout_s",
    "finish_on_hangup",
    "idempotent",
    "retries",
    "attempt_s",
    "max_concurrent",
    "filler_after_s",
    "fillers",
)


def define(name: str, settings: ToolSettings, *, folder: Path | None = None) -> Tool:
    """Makes the tool that a table declares.

    Args:
        name: of the table and the tool.
        folder: what file names are relative to.

    Raises:
        ToolDefinitionError: it cannot be one; for a table of an MCP server, which has many tools.
    """
    options = _options(settings)
    match settings:
        case HttpToolSettings(openapi=None):
            return HttpTool(
                name=name,
                description=settings.description,
                parameters=_parameters(settings.parameters, settings),
                method=settings.method,
                url=settings.url or "",
                query=settings.query,
                headers=settings.headers,
                header_arguments=settings.header_arguments,
                body=settings.body,
                body_type=settings.body_type,
                **_looks_only(settings.method, options),
            )
        case HttpToolSettings():
            return _of_operation(name, settings, options, folder)
        case BusToolSettings():
            return BusTool(
                name=name,
                description=settings.description,
                parameters=_parameters(settings.parameters, settings),
                tool=settings.tool or "",
                **options,
            )
        case BuiltinToolSettings():
            if settings.description:
                options["description"] = settings.description
            if settings.samples:
                options["samples"] = settings.samples
            if settings.say:
                options["say"] = settings.say
            return builtin(settings.does, name=name, targets=settings.targets, agents=settings.agents, **options)
        case McpToolSettings():
            raise ToolDefinitionError(f"tool {name}: an MCP server is no single tool")


def _of_operation(name: str, settings: HttpToolSettings, options: dict[str, Any], folder: Path | None) -> HttpTool:
    assert settings.openapi is not None
    file = (folder or Path()) / settings.openapi
    try:
        if file.stat().st_size > MAX_DOCUMENT_BYTES:
            raise ToolDefinitionError(f"tool {name}: {file} is larger than {MAX_DOCUMENT_BYTES} bytes")
        document = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ToolDefinitionError(f"tool {name}: {file} cannot be read ({error.strerror})") from None
    except orjson.JSONDecodeError as error:
        raise ToolDefinitionError(f"tool {name}: {file} is not JSON (line {error.lineno})") from None
    if not isinstance(document, Mapping):
        raise ToolDefinitionError(f"tool {name}: {file} is no OpenAPI document")
    found = find_operation(document, settings.operation or "", base=settings.url)
    return HttpTool(
        name=name,
        description=settings.description or found.description,
        parameters=_parameters(found.parameters, settings),
        method=found.method,
        url=found.url,
        query=found.query,
        headers=settings.headers,
        header_arguments=found.header_arguments,
        body=found.body,
        body_type=found.body_type,
        **_looks_only(found.method, options),
    )


def _options(settings: ToolSettings) -> dict[str, Any]:
    """What the table says of what all kinds share; the rest keeps the kind's own default."""
    given = {name: getattr(settings, name) for name in _SHARED}
    return {name: value for name, value in given.items() if value is not None and value != ""}


def _looks_only(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """HTTP itself says that these methods change nothing."""
    return {"effect": "none" if method in ("GET", "HEAD") else "once", **options}


def _parameters(schema: Mapping[str, Any], settings: ToolSettings) -> JsonObject:
    given: JsonObject = {"type": "object", "properties": {}, **schema}
    if settings.samples:
        given["x-samples"] = list(settings.samples)
    if settings.say:
        given["x-say"] = settings.say
    return given
