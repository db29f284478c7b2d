"""``/api/agents/{name}`` and ``/api/tools``: agents and tools in the database, read and changed by keys with the scope
``admin``, each in the tenant of its key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field, RootModel, SkipValidation

from perhop.api.auth import Principal
from perhop.api.errors import ApiError, ErrorBody
from perhop.api.services import Services, Use
from perhop.config import AgentSettings
from perhop.config.table import Name
from perhop.config.tools import ToolSettings
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

__all__ = ["AfterName", "AgentPage", "Limit", "agent_page", "router"]

MAX_PAGE = 200

_ERRORS: dict[int | str, dict[str, object]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "A value is wrong; the message says which.",
        401: "The bearer is missing or unknown.",
        403: "The key lacks the scope `admin`, or this may stand in a settings file only.",
        404: "The tenant has no such agent, tool or version.",
        409: "Agents use this tool, or the tenant has too many.",
        412: "It was changed meanwhile.",
        428: "It is there already, and the request does not say which version it changes.",
        503: "The database does not answer.",
    }.items()
}

router = APIRouter(prefix="/api", tags=["Registry"], responses=_ERRORS)

AgentName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ToolName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
AfterName = Annotated[str, Query(pattern=r"^[A-Za-z0-9_.-]{0,64}$", description="`after` of the page before.")]
BeforeVersion = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`before` of the page before.")]
IfMatch = Annotated[
    str | None, Header(description='The `ETag` it was read with, `"3"` for version 3; `*` for whichever is there.')
]
IfNoneMatch = Annotated[str | None, Header(description="`*`: only if it is not there yet.")]


class Version(BaseModel):
    """One change of an agent or a tool."""

    version: int
    changed_at: datetime
    changed_by: str = Field(description="`key <name>`, `settings` (seeded from the settings file) or `import`.")
    deleted: bool = Field(description="Whether this change was its deletion.")


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
    problem: str | None = Field(default=None, description="Why it is not in use, if it is not.")


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


class AgentPage(BaseModel):
    """Agents by name, as they are defined, those included that cannot be used."""

    agents: Sequence[Definition]
    after: str | None = Field(description="Asks for the page that follows; null when this is the last.")


class AgentBody(AgentSettings):
    """As `[[agents]]` in the settings file; the name stands in the path and may be left out."""

    name: Name = ""


class ToolBody(RootModel[ToolSettings]):
    """As `[tools.<name>]` in the settings file."""


if TYPE_CHECKING:
    AgentDocument = Mapping[str, Any]
    ToolDocument = Mapping[str, Any]
else:
    # Published as what they are, but validated by hand: errors are then those of the settings.
    AgentDocument = Annotated[SkipValidation[AgentBody], Body()]
    ToolDocument = Annotated[SkipValidation[ToolBody], Body()]


class ToolPage(BaseModel):
    """Tools by name."""

    tools: Sequence[ToolInfo]
    after: str | None = Field(description="Asks for the page that follows; null when this is the last.")


async def agent_page(request: Request, services: Services, *, limit: int, after: str) -> AgentPage:
    """Agents of the key's tenant; for the route that also lists them for pages."""
    principal, registry = _admin(request, services)
    entries = await registry.store.page(principal.tenant, "agent", after=after, limit=limit + 1)
    page = entries[:limit]
    return AgentPage(
        agents=[
            _definition(entry, problem=registry.problem("agent", entry.name, tenant=entry.tenant)) for entry in page
        ],
        after=page[-1].name if len(entries) > limit else None,
    )


# -- agents ------------------------------------------------------------------------------------------------------------


@router.get("/agents/{name}", summary="One agent, as it is defined")
async def get_agent(request: Request, response: Response, services: Use, name: AgentName) -> Definition:
    """The newest version."""
    return await _get(request, response, services, "agent", name)


@router.put("/agents/{name}", summary="Make or change an agent")
async def put_agent(
    request: Request,
    response: Response,
    services: Use,
    name: AgentName,
    definition: AgentDocument,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Definition:
    """The next call has it; calls that go on keep what they started with. Changing an agent takes `If-Match`."""
    principal, registry = _admin(request, services)
    with _refusals(if_match or if_none_match):
        agent: AgentSettings = parse_agent(name, definition)
        entry = await registry.put_agent(
            agent,
            tenant=principal.tenant,
            author=_author(principal),
            expected=_expected(if_match, if_none_match),
        )
    return _shown(registry, entry, response)


@router.delete("/agents/{name}", status_code=204, summary="Delete an agent")
async def delete_agent(request: Request, services: Use, name: AgentName, if_match: IfMatch = None) -> Response:
    """It takes no further calls, and no settings file brings it back. Takes `If-Match`."""
    return await _delete(request, services, "agent", name, if_match)


@router.get("/agents/{name}/versions", summary="What an agent was")
async def agent_versions(
    request: Request, services: Use, name: AgentName, limit: Limit = 50, before: BeforeVersion = None
) -> VersionPage:
    """Newest first, also of an agent that was deleted."""
    return await _versions(request, services, "agent", name, limit=limit, before=before)


@router.get("/agents/{name}/versions/{version}", summary="An agent as it was")
async def agent_version(request: Request, services: Use, name: AgentName, version: VersionNumber) -> Definition:
    """One version. To go back to it, PUT its definition."""
    return await _version(request, services, "agent", name, version)


# -- tools -------------------------------------------------------------------------------------------------------------


@router.get("/tools", summary="Tools that agents may have")
async def list_tools(request: Request, services: Use, limit: Limit = 50, after: AfterName = "") -> ToolPage:
    """By name; those that are defined in the settings file are there too. Tools that agents name without a definition
    (`bus:…`, `builtin:…`, Python functions) are not."""
    principal, registry = _admin(request, services)
    tenant = principal.tenant
    entries = await registry.store.page(tenant, "tool", after=after, limit=limit + 1)
    in_file = {name: tool for name, tool in registry.rules.file_tools.items() if name > after}
    infos = [_in_file(name, tool) for name, tool in in_file.items()]
    infos += [_info(registry, entry) for entry in entries if entry.name not in in_file]
    infos.sort(key=lambda info: info.name)
    page = infos[:limit]
    return ToolPage(tools=page, after=page[-1].name if len(infos) > limit else None)


@router.get("/tools/{name}", summary="One tool, as it is defined")
async def get_tool(request: Request, response: Response, services: Use, name: ToolName) -> Definition:
    """The newest version."""
    return await _get(request, response, services, "tool", name)


@router.put("/tools/{name}", summary="Make or change a tool")
async def put_tool(
    request: Request,
    response: Response,
    services: Use,
    name: ToolName,
    definition: ToolDocument,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Definition:
    """The next call of agents that name it has it. Changing a tool takes `If-Match`. Python functions, MCP servers that
    are started as programs, tools that read files, and tools with literal credentials stay in the settings file."""
    principal, registry = _admin(request, services)
    with _refusals(if_match or if_none_match):
        tool: ToolSettings = parse_tool(definition)
        entry = await registry.put_tool(
            name,
            tool,
            tenant=principal.tenant,
            author=_author(principal),
            expected=_expected(if_match, if_none_match),
        )
    return _shown(registry, entry, response)


@router.delete("/tools/{name}", status_code=204, summary="Delete a tool")
async def delete_tool(request: Request, services: Use, name: ToolName, if_match: IfMatch = None) -> Response:
    """Refused while an agent names it. Takes `If-Match`."""
    return await _delete(request, services, "tool", name, if_match)


@router.get("/tools/{name}/versions", summary="What a tool was")
async def tool_versions(
    request: Request, services: Use, name: ToolName, limit: Limit = 50, before: BeforeVersion = None
) -> VersionPage:
    """Newest first, also of a tool that was deleted."""
    return await _versions(request, services, "tool", name, limit=limit, before=before)


@router.get("/tools/{name}/versions/{version}", summary="A tool as it was")
async def tool_version(request: Request, services: Use, name: ToolName, version: VersionNumber) -> Definition:
    """One version. To go back to it, PUT its definition."""
    return await _version(request, services, "tool", name, version)


# -- inside ------------------------------------------------------------------------------------------------------------


def _admin(request: Request, services: Services) -> tuple[Principal, Registry]:
    principal = services.auth.require(request, "admin")
    if services.registry is None:
        raise ApiError(404, "no_registry", "This process has no database, and its agents are fixed.")
    return principal, services.registry


def _author(principal: Principal) -> str:
    return f"key {principal.name}"


async def _get(request: Request, response: Response, services: Services, kind: Kind, name: str) -> Definition:
    principal, registry = _admin(request, services)
    with _refusals(None):
        if kind == "tool" and name in registry.rules.file_tools:
            raise FileOnlyError(f"the tool {name!r} is defined in the settings file, and shown only there")
        entry = await registry.store.get(principal.tenant, kind, name)
    return _shown(registry, entry, response)


async def _delete(request: Request, services: Services, kind: Kind, name: str, if_match: str | None) -> Response:
    principal, registry = _admin(request, services)
    with _refusals(if_match):
        await registry.delete(
            kind, name, tenant=principal.tenant, author=_author(principal), expected=_expected(if_match, None)
        )
    return Response(status_code=204)


async def _versions(
    request: Request, services: Services, kind: Kind, name: str, *, limit: int, before: int | None
) -> VersionPage:
    principal, registry = _admin(request, services)
    entries = await registry.store.versions(principal.tenant, kind, name, before=before, limit=limit + 1)
    if not entries and before is None:
        with _refusals(None):
            raise UnknownEntryError(f"there is no {kind} {name!r}")
    page = entries[:limit]
    return VersionPage(
        versions=[
            Version(
                version=entry.version,
                changed_at=entry.changed_at,
                changed_by=entry.changed_by,
                deleted=entry.body is None,
            )
            for entry in page
        ],
        before=page[-1].version if len(entries) > limit else None,
    )


async def _version(request: Request, services: Services, kind: Kind, name: str, version: int) -> Definition:
    principal, registry = _admin(request, services)
    with _refusals(None):
        entry = await registry.store.version(principal.tenant, kind, name, version)
        if entry.body is None:
            raise UnknownEntryError(f"in version {version} the {kind} {name!r} was deleted")
    return _definition(entry)


def _shown(registry: Registry, entry: Entry, response: Response) -> Definition:
    response.headers["ETag"] = f'"{entry.version}"'
    response.headers["Cache-Control"] = "no-store"
    return _definition(entry, problem=registry.problem(entry.kind, entry.name, tenant=entry.tenant))


def _definition(entry: Entry, *, problem: str | None = None) -> Definition:
    assert entry.body is not None
    return Definition(
        name=entry.name,
        version=entry.version,
        changed_at=entry.changed_at,
        changed_by=entry.changed_by,
        definition=orjson.loads(entry.body),
        problem=problem,
    )


def _info(registry: Registry, entry: Entry) -> ToolInfo:
    assert entry.body is not None
    said: Mapping[str, Any] = orjson.loads(entry.body)
    return ToolInfo(
        name=entry.name,
        kind=said["kind"],
        title=said.get("title", ""),
        description=said.get("description", ""),
        source="registry",
        version=entry.version,
        problem=registry.problem("tool", entry.name, tenant=entry.tenant),
    )


def _in_file(name: str, tool: ToolSettings) -> ToolInfo:
    return ToolInfo(
        name=name, kind=tool.kind, title=tool.title, description=tool.description, source="file", version=None
    )


def _expected(if_match: str | None, if_none_match: str | None) -> Expected:
    """What the headers say is there; without any, nothing is."""
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise ApiError(400, "invalid_value", "If-None-Match: only * is understood, and not with If-Match.")
        return "absent"
    if if_match is None:
        return "absent"
    if if_match.strip() == "*":
        return "present"
    found = re.fullmatch(r'\s*"([0-9]{1,9})"\s*', if_match)
    if found is None:
        raise ApiError(400, "invalid_value", 'If-Match: give the ETag it was read with, such as "3".')
    return int(found[1])


@contextmanager
def _refusals(condition: str | None) -> Iterator[None]:
    """Errors of the registry as responses."""
    try:
        yield
    except RegistryError as error:
        raise _refusal(error, condition) from None


def _refusal(error: RegistryError, condition: str | None) -> ApiError:
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
            if condition is None:
                hint = " Read it, and send If-Match with its ETag to change it."
                return ApiError(428, "precondition_required", message + hint, headers=headers)
            return ApiError(412, "changed_meanwhile", message, headers=headers)
        case _:
            return ApiError(409, "limit_exceeded", message)
