"""The agents and tools of one tenant, ready for calls: built of what the database and the settings file say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import orjson

from perhop.call.agents import Agent, AgentRegistry
from perhop.config import AgentSettings, Settings
from perhop.config.models import BUILT_IN_MODELS
from perhop.config.registry import SecretSettings
from perhop.config.tools import ToolSettings
from perhop.errors import PerhopError
from perhop.registry.definitions import file_only, is_function, parse_agent, parse_tool, with_secrets
from perhop.registry.errors import DefinitionError, FileOnlyError
from perhop.registry.store import Entry, Kind
from perhop.tools.registry import ToolRegistry

__all__ = ["Catalogue", "Rules", "build"]

_AT_ONCE = 32
"""Definitions read, or tools of agents looked up, before others get their turn: a rebuild must not hold up audio."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings decide, whatever the database says.

    Attributes:
        folder: what tools in files are relative to.
        file_tools: tools that stay in the file, by name; all tenants have them, and none may redefine them.
        functions: Python functions that agents may name; ``module:*`` for all of a module.
        models: that agents may talk through.
        extra: agents that everybody has, unless they have one of that name.
        order: names of agents that come first.
    """

    folder: Path | None = None
    file_tools: Mapping[str, ToolSettings] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    models: tuple[str, ...] = BUILT_IN_MODELS
    secrets: Mapping[str, SecretSettings] = field(default_factory=dict, repr=False)
    extra: tuple[AgentSettings, ...] = ()
    order: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, *, extra: Iterable[AgentSettings] = ()) -> Rules:
        """The rules of a settings file."""
        named = (reference for agent in settings.agents for reference in agent.tools if is_function(reference))
        return cls(
            folder=settings.base_dir,
            file_tools={name: tool for name, tool in settings.tools.items() if file_only(tool) is not None},
            functions=frozenset((*named, *settings.registry.functions)),
            models=(*BUILT_IN_MODELS, *settings.models),
            secrets=settings.secrets,
            extra=tuple(extra),
            order=tuple(agent.name for agent in settings.agents),
        )

    def check_agent(self, agent: AgentSettings) -> None:
        """Refuses what only a file may say.

        Raises:
            DefinitionError: it talks through a model that is not there.
            FileOnlyError: it names a Python function that the settings file does not name.
        """
        for model in (agent.model, *agent.fallback_models):
            if model not in self.models:
                raise DefinitionError(
                    f"there is no model {model!r}; there are: {', '.join(self.models)}", field="model"
                )
        for reference in agent.tools:
            module = reference.rpartition(":")[0]
            if is_function(reference) and not {reference, f"{module}:*"} & self.functions:
                raise FileOnlyError(
                    f"tools: {reference!r} is a Python function that the settings file does not name; an agent there "
                    "has to use it, or registry.functions has to list it"
                )

    def check_tool(self, name: str, tool: ToolSettings) -> None:
        """Refuses what only a file may say. Raises FileOnlyError."""
        if name in self.file_tools:
            raise FileOnlyError(f"the tool {name!r} is defined in the settings file, and can be changed only there")
        reason = file_only(tool)
        if reason is not None:
            remedy = (
                "; name one of [secrets] in them: {secret:name}. Other fixed headers belong into header_arguments"
                if "credentials" in reason
                else ""
            )
            raise FileOnlyError(f"{reason} can be defined in the settings file only{remedy}")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one tenant has at one moment. Never changes: whoever holds it keeps it.

    Attributes:
        agents: by name; those of the settings file first, in its order.
        tools: all that agents refer to.
        entries: of the database, by kind and name, deleted ones left out.
        problems: why an agent or tool is left out, by kind and name.
        parsed: definitions by entry, so that the next catalogue need not read them again.
    """

    tenant: str
    agents: Mapping[str, Agent]
    tools: ToolRegistry = field(repr=False)
    entries: Mapping[tuple[Kind, str], Entry] = field(repr=False)
    problems: Mapping[tuple[Kind, str], PerhopError]
    parsed: Mapping[tuple[Kind, str], AgentSettings | ToolSettings] = field(repr=False)

    def unserved(self, agent: str) -> list[str]:
        """Tools of an agent, as it names them, that whoever should serve them has not described yet."""
        settings = self.parsed.get(("agent", agent))
        if not isinstance(settings, AgentSettings):
            return []
        unknown = {f"bus:{offered.name}" for offered in self.tools.offered if not offered.tools}
        return [reference for reference in settings.tools if reference in unknown]


async def build(tenant: str, entries: Iterable[Entry], rules: Rules, *, before: Catalogue | None = None) -> Catalogue:
    """Makes a catalogue. What cannot be used is left out, with the reason.

    Args:
        entries: all of this tenant, each in its newest version.
        before: what it follows: definitions that are the same stay the same tools.
    """
    alive = {(entry.kind, entry.name): entry for entry in entries if entry.body is not None}
    problems: dict[tuple[Kind, str], PerhopError] = {}
    parsed: dict[tuple[Kind, str], AgentSettings | ToolSettings] = {}
    for number, (key, entry) in enumerate(alive.items()):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            parsed[key] = _parsed(entry, before)
        except PerhopError as error:
            problems[key] = error
    declared: dict[str, ToolSettings] = {}
    agents: list[AgentSettings] = []
    for key, settings in parsed.items():
        if isinstance(settings, AgentSettings):
            agents.append(settings)
            continue
        try:
            rules.check_tool(key[1], settings)
            declared[key[1]] = with_secrets(settings, rules.secrets, tenant=tenant)
        except PerhopError as error:
            problems[key] = error
    declared |= rules.file_tools
    registry = before.tools.successor(declared) if before else ToolRegistry(folder=rules.folder, declared=declared)
    names = {agent.name for agent in agents}
    agents.extend(agent for agent in rules.extra if agent.name not in names)
    place = {name: number for number, name in enumerate(rules.order)}
    agents.sort(key=lambda agent: (place.get(agent.name, len(place)), agent.name))
    built: dict[str, Agent] = {}
    done = 0
    for agent in agents:
        done += 1 + len(agent.tools)
        if done >= _AT_ONCE:
            done = 0
            await asyncio.sleep(0)
        try:
            rules.check_agent(agent)
            built[agent.name] = AgentRegistry.build(agent, registry.load_all(agent.tools, tenant=tenant))
        except PerhopError as error:
            problems["agent", agent.name] = error
    return Catalogue(
        tenant=tenant,
        agents=MappingProxyType(built),
        tools=registry,
        entries=MappingProxyType(alive),
        problems=MappingProxyType(problems),
        parsed=MappingProxyType(parsed),
    )


def _parsed(entry: Entry, before: Catalogue | None) -> AgentSettings | ToolSettings:
    key = (entry.kind, entry.name)
    if before is not None and key in before.parsed and before.entries[key].body == entry.body:
        return before.parsed[key]
    assert entry.body is not None
    definition = orjson.loads(entry.body)
    return parse_agent(entry.name, definition) if entry.kind == "agent" else parse_tool(definition)
