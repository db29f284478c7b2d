"""Agents and tools in the database: versioned, apart for every tenant, used by the next call without a restart.

The settings file seeds it. What runs code or programs of this machine, or carries credentials, stays in the file:
Python functions, MCP servers started as programs, tools with literal headers.
"""

from __future__ import annotations

from perhop.registry.errors import (
    DefinitionError,
    EntryConflictError,
    EntryInUseError,
    FileOnlyError,
    RegistryError,
    UnknownEntryError,
)
from perhop.registry.registry import Registry
from perhop.registry.store import Entry, Expected, Kind

__all__ = [
    "DefinitionError",
    "Entry",
    "EntryConflictError",
    "EntryInUseError",
    "Expected",
    "FileOnlyError",
    "Kind",
    "Registry",
    "RegistryError",
    "UnknownEntryError",
]
