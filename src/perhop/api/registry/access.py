"""What one key may do with the agents and tools of its tenant; what goes wrong is an error response."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from fastapi import Request

from perhop.api.errors import ApiError
from perhop.api.services import Services
from perhop.registry import (
    DefinitionError,
    Entry,
    EntryConflictError,
    EntryInUseError,
    Expected,
    FileOnlyError,
    Kind,
    Registry,
    RegistryError,
    UnknownEntryError,
)
from perhop.registry.definitions import parse_agent, parse_tool

__all__ = ["Conditions", "RegistryAccess"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which version a request means to change, by its headers."""

    if_match: str | None = None
    if_none_match: str | None = None

    @property
    def given(self) -> bool:
        """Whether the request says anything of it."""
        return bool(self.if_match or self.if_none_match)

    def expected(self) -> Expected:
        """What the headers say is there; without any, nothing is.

        Raises:
            ApiError: 400, they say nothing that is understood.
        """
        if self.if_none_match is not None:
            if self.if_none_match.strip() != "*" or self.if_match is not None:
                raise ApiError(400, "invalid_value", "If-None-Match: only * is understood, and not with If-Match.")
            return "absent"
        if self.if_match is None:
            return "absent"
        if self.if_match.strip() == "*":
            return "present"
        found = re.fullmatch(r'\s*"([0-9]{1,9})"\s*', self.if_match)
        if found is None:
            raise ApiError(400, "invalid_value", 'If-Match: give the ETag it was read with, such as "3".')
        return int(found[1])


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """Of one request, whose key has the scope ``admin``. Every method raises ApiError for what the registry refuses."""

    registry: Registry
    tenant: str
    author: str

    @classmethod
    def admit(cls, request: Request, services: Services) -> Self:
        """Lets an administrator in.

        Raises:
            ApiError: 401 or 403, the key is none or not an administrator's; 404, there is no registry here.
        """
        principal = services.auth.require(request, "admin")
        if services.registry is None:
            raise ApiError(404, "no_registry", "This process has no database, and its agents are fixed.")
        return cls(services.registry, principal.tenant, f"key {principal.name}")

    async def page(self, kind: Kind, *, after: str, limit: int) -> Sequence[Entry]:
        """Entries by name, and one more than ``limit`` if there are more."""
        return await self.registry.store.page(self.tenant, kind, after=after, limit=limit + 1)

    async def get(self, kind: Kind, name: str) -> Entry:
        """The newest version."""
        with _refusals():
            if kind == "tool" and name in self.registry.rules.file_tools:
                raise FileOnlyError(f"the tool {name!r} is defined in the settings file, and shown only there")
            return await self.registry.store.get(self.tenant, kind, name)

    async def put(self, kind: Kind, name: str, definition: Mapping[str, Any], conditions: Conditions) -> Entry:
        """Makes or changes an entry."""
        with _refusals(conditions):
            if kind == "agent":
                agent = parse_agent(name, definition)
                expected = conditions.expected()
                return await self.registry.put_agent(agent, tenant=self.tenant, author=self.author, expected=expected)
            tool = parse_tool(definition)
            expected = conditions.expected()
            return await self.registry.put_tool(name, tool, tenant=self.tenant, author=self.author, expected=expected)

    async def delete(self, kind: Kind, name: str, conditions: Conditions) -> None:
        """Deletes an entry; its versions stay."""
        with _refusals(conditions):
            await self.registry.delete(
                kind, name, tenant=self.tenant, author=self.author, expected=conditions.expected()
            )

    async def versions(self, kind: Kind, name: str, *, before: int | None, limit: int) -> Sequence[Entry]:
        """Versions, newest first, and one more than ``limit`` if there are more."""
        entries = await self.registry.store.versions(self.tenant, kind, name, before=before, limit=limit + 1)
        if not entries and before is None:
            with _refusals():
                raise UnknownEntryError(f"there is no {kind} {name!r}")
        return entries

    async def version(self, kind: Kind, name: str, version: int) -> Entry:
        """One version that was not a deletion."""
        with _refusals():
            entry = await self.registry.store.version(self.tenant, kind, name, version)
            if entry.body is None:
                raise UnknownEntryError(f"in version {version} the {kind} {name!r} was deleted")
        return entry

    def problem(self, entry: Entry) -> str | None:
        """Why an entry is not in use, if it is not."""
        return self.registry.problem(entry.kind, entry.name, tenant=entry.tenant)


@contextmanager
def _refusals(conditions: Conditions | None = None) -> Iterator[None]:
    """Errors of the registry as responses."""
    try:
        yield
    except RegistryError as error:
        raise _refusal(error, conditions or Conditions()) from None


def _refusal(error: RegistryError, conditions: Conditions) -> ApiError:
    message = f"{str(error)[:1].upper()}{str(error)[1:]}."
    match error:
        case DefinitionError():
            return ApiError(400, "invalid_value", f"{error}.", param=error.field)
        case FileOnlyError():
            return ApiError(403, "defined_in_files_only", message)
        case UnknownEntryError():
            return ApiError(404, "not_found", message)
        case EntryInUseError():
            return ApiError(409, "in_use", message)
        case EntryConflictError():
            headers = {"ETag": f'"{error.current}"'} if error.current is not None else {}
            if not conditions.given:
                hint = " Read it, and send If-Match with its ETag to change it."
                return ApiError(428, "precondition_required", message + hint, headers=headers)
            return ApiError(412, "changed_meanwhile", message, headers=headers)
        case _:
            return ApiError(409, "limit_exceeded", message)
