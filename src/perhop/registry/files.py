"""Agents and tools as files: TOML or JSON, in the shape of the settings file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from perhop.config import AgentSettings, Settings
from perhop.config.tools import ToolSettings
from perhop.registry.definitions import file_only, parse_agent, parse_tool
from perhop.registry.errors import DefinitionError, FileOnlyError
from perhop.registry.store import Entry

__all__ = ["FileFormat", "Import", "read_files", "write"]

FileFormat = Literal["toml", "json"]

MAX_FILE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Import:
    """What files define."""

    agents: tuple[AgentSettings, ...]
    tools: Mapping[str, ToolSettings]


def read_files(paths: Iterable[Path], settings: Settings) -> Import:
    """Agents and tools of all files together. Other tables of the settings are passed over, so that a whole
    ``perhop.toml`` can be read.

    Args:
        settings: tools that can be defined in a settings file only are passed over if they stand there just so.

    Raises:
        DefinitionError: a file cannot be read, or something in it is wrong; the message says where.
        FileOnlyError: a tool belongs into the settings file.
    """
    agents: dict[str, AgentSettings] = {}
    tools: dict[str, ToolSettings] = {}
    for path in paths:
        try:
            for name, agent in _agents(_read(path)):
                _once(name, agents, "agent")
                agents[name] = agent
            for name, tool in _tools(_read(path)):
                _once(name, tools, "tool")
                reason = file_only(tool)
                if reason is None:
                    tools[name] = tool
                elif settings.tools.get(name) != tool:
                    raise FileOnlyError(f"tools.{name}: {reason} can be defined in the settings file only")
        except DefinitionError as error:
            raise DefinitionError(f"{path}: {error}") from None
        except FileOnlyError as error:
            raise FileOnlyError(f"{path}: {error}") from None
    return Import(tuple(agents.values()), tools)


def write(entries: Iterable[Entry], *, form: FileFormat) -> str:
    """The text of a file that :func:`read_files` reads: agents and tools by name, deleted ones left out."""
    alive = sorted((entry for entry in entries if entry.body is not None), key=lambda entry: entry.name)
    agents = [{"name": entry.name, **_said(entry)} for entry in alive if entry.kind == "agent"]
    tools = {entry.name: _said(entry) for entry in alive if entry.kind == "tool"}
    if form == "json":
        return json.dumps({"agents": agents, "tools": tools}, indent=2, ensure_ascii=False) + "\n"
    import tomli_w

    return tomli_w.dumps(
        {
            "agents": [_of_toml(agent) for agent in agents],
            "tools": {name: _of_toml(tool) for name, tool in tools.items()},
        }
    )


def _said(entry: Entry) -> dict[str, Any]:
    said: dict[str, Any] = orjson.loads(entry.body or "{}")
    return said


def _of_toml(value: Any, path: str = "") -> Any:
    """TOML has no null: a field that is null is left out, which means the same wherever null is the default.

    Raises:
        DefinitionError: somewhere it means something else.
    """
    if isinstance(value, dict):
        inside = path.startswith(("session", "privacy", "parameters", "body", "turn_detection"))
        if inside and None in value.values():
            raise DefinitionError(f"{path} has a null, which TOML cannot express; export as JSON (--format json)")
        return {
            key: _of_toml(each, f"{path}.{key}" if path else str(key))
            for key, each in value.items()
            if each is not None
        }
    if isinstance(value, list):
        if None in value:
            raise DefinitionError(f"{path} has a null, which TOML cannot express; export as JSON (--format json)")
        return [_of_toml(each, path) for each in value]
    return value


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DefinitionError(f"is larger than {MAX_FILE_BYTES} bytes")
        text = path.read_text("utf-8")
    except OSError as error:
        raise DefinitionError(f"cannot be read ({error.strerror or type(error).__name__})") from None
    except UnicodeDecodeError:
        raise DefinitionError("is no text in UTF-8") from None
    try:
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise DefinitionError(f"is not valid {kind}: {error}") from None
    if not isinstance(found, dict):
        raise DefinitionError("has to be an object with agents and tools")
    unknown = sorted(found.keys() - Settings.model_fields.keys())
    if unknown:
        raise DefinitionError(f"{unknown[0]}: unknown table; there are agents and tools")
    return found


def _agents(found: Mapping[str, Any]) -> list[tuple[str, AgentSettings]]:
    agents = found.get("agents", [])
    if not isinstance(agents, list):
        raise DefinitionError("agents: has to be a list ([[agents]])")
    made = []
    for number, agent in enumerate(agents):
        if not isinstance(agent, dict) or not isinstance(agent.get("name"), str):
            raise DefinitionError(f"agents[{number}]: has to be a table with a name")
        try:
            made.append((agent["name"], parse_agent(agent["name"], agent)))
        except DefinitionError as error:
            raise DefinitionError(f"agents[{number}].{error}") from None
    return made


def _tools(found: Mapping[str, Any]) -> list[tuple[str, ToolSettings]]:
    tools = found.get("tools", {})
    if not isinstance(tools, dict):
        raise DefinitionError("tools: has to be a table of tables ([tools.<name>])")
    made = []
    for name, tool in tools.items():
        try:
            made.append((name, parse_tool(tool)))
        except DefinitionError as error:
            raise DefinitionError(f"tools.{name}.{error}") from None
    return made


def _once(name: str, known: Mapping[str, object], kind: str) -> None:
    if name in known:
        raise DefinitionError(f"the {kind} {name!r} is defined twice")
