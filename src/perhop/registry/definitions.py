"""Definitions of agents and tools: between JSON and settings, and what may stand in the database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from pydantic import SecretStr, TypeAdapter, ValidationError

from perhop.config import AgentSettings
from perhop.config.registry import SecretSettings
from perhop.config.tools import HttpToolSettings, McpToolSettings, ToolSettings
from perhop.registry.errors import DefinitionError

__all__ = [
    "body_of_agent",
    "body_of_tool",
    "file_only",
    "is_function",
    "parse_agent",
    "parse_tool",
    "shown",
    "with_secrets",
]

_TOOL: TypeAdapter[ToolSettings] = TypeAdapter(ToolSettings)
_SECRET = re.compile(r"\{secret:([A-Za-z0-9][A-Za-z0-9_.-]{0,63})\}")
_HEADERS = ("headers", "env")
_KINDS = frozenset({"http", "bus", "mcp", "builtin"})


def parse_agent(name: str, definition: Mapping[str, Any]) -> AgentSettings:
    """An agent of its definition; ``name`` may stand in it or not.

    Raises:
        DefinitionError: a field is wrong.
    """
    _must_be_object(definition)
    said = definition.get("name", name)
    if said != name:
        raise DefinitionError("name: is not the name of this agent; leave it out", field="name")
    try:
        return AgentSettings.model_validate({**definition, "name": name})
    except ValidationError as error:
        raise _explained(error) from None


def parse_tool(definition: Mapping[str, Any]) -> ToolSettings:
    """A tool of its definition.

    Raises:
        DefinitionError: a field is wrong.
    """
    _must_be_object(definition)
    try:
        return _TOOL.validate_python(dict(definition))
    except ValidationError as error:
        raise _explained(error) from None


def body_of_agent(agent: AgentSettings) -> str:
    """The JSON that is stored: what was said, without the name.

    Raises:
        DefinitionError: it holds what JSON cannot express.
    """
    _must_be_finite(agent.session, agent.privacy, agent.turn_detection)
    return _encoded(lambda: agent.model_dump(mode="json", exclude_unset=True, exclude={"name"}))


def body_of_tool(tool: ToolSettings) -> str:
    """The JSON that is stored; headers as they were written. Raises DefinitionError as :func:`body_of_agent` does."""
    _must_be_finite(getattr(tool, "parameters", None), getattr(tool, "body", None))
    return _encoded(lambda: shown(tool))


def shown(tool: ToolSettings) -> dict[str, Any]:
    """A tool as JSON can express it. Only for tools that name their credentials instead of carrying them."""
    said = tool.model_dump(mode="json", exclude_unset=True)
    for name in _HEADERS:
        if name in said:
            said[name] = {key: secret.get_secret_value() for key, secret in getattr(tool, name).items()}
    return {"kind": tool.kind, **said}


def file_only(tool: ToolSettings) -> str | None:
    """Why a tool may stand in a settings file only; None when it may be anywhere."""
    if isinstance(tool, McpToolSettings) and tool.command is not None:
        return "an MCP server that is started as a program"
    if isinstance(tool, HttpToolSettings) and tool.openapi is not None:
        return "an HTTP tool that reads a file (openapi)"
    if isinstance(tool, HttpToolSettings | McpToolSettings):
        for secret in tool.headers.values():
            if not _SECRET.search(secret.get_secret_value()):
                return "a tool with credentials in its headers"
    return None


def is_function(reference: str) -> bool:
    """Whether an agent names a Python function by it."""
    kind, colon, _ = reference.rpartition(":")
    return bool(colon) and kind not in ("builtin", "bus")


def with_secrets(tool: ToolSettings, secrets: Mapping[str, SecretSettings], *, tenant: str) -> ToolSettings:
    """The same tool with the credentials that its headers name.

    Raises:
        DefinitionError: there is no such secret for this tenant, or it must not be sent to this scheme, host and port.
    """
    if not isinstance(tool, HttpToolSettings | McpToolSettings) or not tool.headers:
        return tool
    url = str(tool.url) if tool.url is not None else ""

    def value(found: re.Match[str]) -> str:
        secret = secrets.get(found[1])
        if secret is None or tenant not in secret.tenants:
            raise DefinitionError(f"headers: there is no secret {found[1]!r} for this tenant in the settings")
        if not secret.goes_to(url):
            raise DefinitionError(f"headers: the secret {found[1]!r} must not be sent to this scheme, host and port")
        return secret.value.get_secret_value()

    headers = {name: SecretStr(_SECRET.sub(value, text.get_secret_value())) for name, text in tool.headers.items()}
    return tool.model_copy(update={"headers": headers})


def _must_be_object(definition: object) -> None:
    if not isinstance(definition, Mapping):
        raise DefinitionError("a definition is an object")


def _must_be_finite(*values: object) -> None:
    """Refuses numbers that would silently become null."""
    try:
        json.dumps(values, allow_nan=False, default=str)
    except (TypeError, ValueError, RecursionError):
        raise _not_json() from None


def _not_json() -> DefinitionError:
    return DefinitionError("something in it cannot be expressed as JSON, or is nested too deeply")


def _encoded(dump: Callable[[], dict[str, Any]]) -> str:
    try:
        return orjson.dumps(dump(), option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError):
        raise _not_json() from None


def _explained(error: ValidationError) -> DefinitionError:
    """The first problem, in the words of the settings."""
    detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # A tagged union puts its tag into the place.
    places = [str(part) for number, part in enumerate(detail["loc"]) if number or part not in _KINDS]
    where = ".".join(places)
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "unknown field"
    elif detail["type"] in ("union_tag_not_found", "union_tag_invalid"):
        where, message = "kind", f"must be one of {', '.join(sorted(_KINDS))}"
    return DefinitionError(f"{where}: {message}" if where else message, field=where or None)
