"""Agents and tools as the API shows and takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import orjson
from fastapi import Body
from pydantic import BaseModel, Field, RootModel, SkipValidation

from perhop.config import AgentSettings
from perhop.config.table import Name
from perhop.config.tools import ToolSettings
from perhop.registry import Entry

__all__ = [
    "AgentBody",
    "AgentDocument",
    "AgentPage",
    "Definition",
    "ToolBody",
    "ToolDocument",
    "ToolInfo",
    "ToolPage",
    "Version",
    "VersionPage",
]


class Version(BaseModel):
    """One change of an agent or a tool."""

    version: int
    changed_at: datetime
    changed_by: str = Field(description="`key <name>`, `settings` (seeded from the settings file) or `import`.")
    deleted: bool = Field(description="Whether this change was its deletion.")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """This version."""
        return cls(
            version=entry.version,
            changed_at=entry.changed_at,
            changed_by=entry.changed_by,
            deleted=entry.body is None,
        )


class VersionPage(BaseModel):
    """Changes, newest first."""

    versions: Sequence[Version]
    before: int | None = Field(description="Asks for the page that follows; null when this is the last.")


class Definition(BaseModel):
    """An agent or a tool in one version."""

    name: str
    version: int
    changed_at: datetime
    changed_by: str
    definition: dict[str, Any] = Field(description="What was said; the rest has its default.")
    problem: str | None = Field(default=None, description="Why it is not in use, or which of its tools nobody serves.")

    @classmethod
    def of(cls, entry: Entry, *, problem: str | None = None) -> Self:
        """An entry that was not deleted."""
        assert entry.body is not None
        return cls(
            name=entry.name,
            version=entry.version,
            changed_at=entry.changed_at,
            changed_by=entry.changed_by,
            definition=orjson.loads(entry.body),
            problem=problem,
        )


class ToolInfo(BaseModel):
    """A tool, in short."""

    name: str
    kind: Literal["http", "bus", "mcp", "builtin"]
    title: str
    description: str
    source: Literal["registry", "file"] = Field(
        description="Where it is defined; `file`: it can be changed only there."
    )
    version: int | None = Field(description="Null for one that is defined in the settings file.")
    problem: str | None = Field(default=None, description="Why it is not in use, if it is not.")

    @classmethod
    def of(cls, entry: Entry, *, problem: str | None) -> Self:
        """A tool of the registry that was not deleted."""
        assert entry.body is not None
        said: Mapping[str, Any] = orjson.loads(entry.body)
        return cls(
            name=entry.name,
            kind=said["kind"],
            title=said.get("title", ""),
            description=said.get("description", ""),
            source="registry",
            version=entry.version,
            problem=problem,
        )

    @classmethod
    def in_file(cls, name: str, tool: ToolSettings) -> Self:
        """A tool of the settings file."""
        return cls(
            name=name, kind=tool.kind, title=tool.title, description=tool.description, source="file", version=None
        )


class AgentPage(BaseModel):
    """Agents by name, as they are defined, those included that cannot be used."""

    agents: Sequence[Definition]
    after: str | None = Field(description="Asks for the page that follows; null when this is the last.")


class AgentBody(AgentSettings):
    """As `[[agents]]` in the settings file; the name stands in the path and may be left out."""

    name: Name = ""


class ToolBody(RootModel[ToolSettings]):
    """As `[tools.<name>]` in the settings file."""


class ToolPage(BaseModel):
    """Tools by name."""

    tools: Sequence[ToolInfo]
    after: str | None = Field(description="Asks for the page that follows; null when this is the last.")


if TYPE_CHECKING:
    AgentDocument = Mapping[str, Any]
    ToolDocument = Mapping[str, Any]
else:
    # Published as what they are, but validated by hand: errors are then those of the settings.
    AgentDocument = Annotated[SkipValidation[AgentBody], Body()]
    ToolDocument = Annotated[SkipValidation[ToolBody], Body()]
