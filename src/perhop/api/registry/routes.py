"""``/api/agents/{name}`` and ``/api/tools``: agents and tools in the database, read and changed by keys with the scope
``admin``, each in the tenant of its key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response

from perhop.api.errors import ErrorBody
from perhop.api.registry.access import Conditions, RegistryAccess
from perhop.api.registry.bodies import (
    AgentDocument,
    AgentPage,
    Definition,
    ToolDocument,
    ToolInfo,
    ToolPage,
    Version,
    VersionPage,
)
from perhop.api.services import Services, Use
from perhop.registry import Entry, Kind

__all__ = ["AfterName", "Limit", "agent_page", "router"]

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


async def agent_page(request: Request, services: Services, *, limit: int, after: str) -> AgentPage:
    """Agents of the key's tenant; for the route that also lists them for pages."""
    access = RegistryAccess.admit(request, services)
    entries = await access.page("agent", after=after, limit=limit)
    page = entries[:limit]
    return AgentPage(
        agents=[Definition.of(entry, problem=access.problem(entry)) for entry in page],
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
    access = RegistryAccess.admit(request, services)
    entry = await access.put("agent", name, definition, Conditions(if_match, if_none_match))
    return _shown(access, entry, response)


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
    access = RegistryAccess.admit(request, services)
    entries = await access.page("tool", after=after, limit=limit)
    in_file = {name: tool for name, tool in access.registry.rules.file_tools.items() if name > after}
    infos = [ToolInfo.in_file(name, tool) for name, tool in in_file.items()]
    infos += [ToolInfo.of(entry, problem=access.problem(entry)) for entry in entries if entry.name not in in_file]
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
    access = RegistryAccess.admit(request, services)
    entry = await access.put("tool", name, definition, Conditions(if_match, if_none_match))
    return _shown(access, entry, response)


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


# -- the same for both -------------------------------------------------------------------------------------------------


async def _get(request: Request, response: Response, services: Services, kind: Kind, name: str) -> Definition:
    access = RegistryAccess.admit(request, services)
    return _shown(access, await access.get(kind, name), response)


async def _delete(request: Request, services: Services, kind: Kind, name: str, if_match: str | None) -> Response:
    await RegistryAccess.admit(request, services).delete(kind, name, Conditions(if_match))
    return Response(status_code=204)


async def _versions(
    request: Request, services: Services, kind: Kind, name: str, *, limit: int, before: int | None
) -> VersionPage:
    entries = await RegistryAccess.admit(request, services).versions(kind, name, before=before, limit=limit)
    page = entries[:limit]
    return VersionPage(
        versions=[Version.of(entry) for entry in page],
        before=page[-1].version if len(entries) > limit else None,
    )


async def _version(request: Request, services: Services, kind: Kind, name: str, version: int) -> Definition:
    return Definition.of(await RegistryAccess.admit(request, services).version(kind, name, version))


def _shown(access: RegistryAccess, entry: Entry, response: Response) -> Definition:
    response.headers["ETag"] = f'"{entry.version}"'
    response.headers["Cache-Control"] = "no-store"
    return Definition.of(entry, problem=access.problem(entry))
