"""Our own API under ``/api``: what calls there are, what their callers measure, and what pages need to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from perhop import __version__
from perhop.api.auth import Principal, bearer_of
from perhop.api.call_history import stored_snapshot
from perhop.api.direct import DirectTarget
from perhop.api.errors import ErrorBody
from perhop.api.realtime import DirectSecretResponse, mint
from perhop.api.registry import AfterName, AgentPage, Limit, agent_page
from perhop.api.services import Services, Use
from perhop.call.snapshot import CallSnapshot, ClientReport
from perhop.store.calls import get_call as get_stored_call
from perhop.tools.registry import DEFAULT_TENANT

__all__ = ["router"]

CallId = Annotated[str, Path(description="`rtc_…`", max_length=64)]
Milliseconds = Annotated[float, Field(ge=0, le=3_600_000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**53)]

_ERRORS: dict[int | str, dict[str, object]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "A value is wrong; the message says which.",
        401: "The bearer is missing or unknown.",
        403: "The bearer, or the page's origin, may not do this.",
        404: "There is no such live call.",
        429: "Too many requests from this address.",
    }.items()
}

router = APIRouter(prefix="/api", tags=["Perhop"], responses=_ERRORS)


class Stats(BaseModel):
    """A summary of the browser's ``getStats`` for one call; every field may be left out. Fields not named here are
    ignored, so that pages may send more."""

    model_config = ConfigDict(extra="ignore")

    rtt_ms: Milliseconds | None = Field(default=None, description="Round trip of the caller's hop.")
    jitter_ms: Milliseconds | None = Field(default=None, description="Jitter of the audio the caller receives.")
    packets_received: Count | None = Field(default=None, description="Audio packets received so far.")
    packets_lost: Annotated[int, Field(ge=-(2**31), le=2**53)] | None = Field(
        default=None, description="Audio packets lost so far; negative when duplicates outnumber losses."
    )
    jitter_buffer_ms: Milliseconds | None = Field(default=None, description="Mean playout delay.")
    first_audio_ms: Milliseconds | None = Field(
        default=None, description="End of the caller's last speech to the first audible reply."
    )
    audio_level: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="Level of the microphone, 0 to 1."
    )


class AgentInfo(BaseModel):
    """An agent, as a page shows it."""

    name: str
    title: str
    description: str
    phrases: Sequence[str] = Field(description="What a caller may say, to try.")
    tools: Sequence[str] = Field(description="Names of the functions it may call.")
    model: str = Field(description="Kind of model behind it: `local`, `echo`, ….")
    route: Literal["gateway", "direct"] = Field(description="Whether media passes through Perhop.")
    languages: Sequence[str] = Field(default=(), description="That it speaks, BCP 47.")


class IceServerInfo(BaseModel):
    """An entry of the browser's ``RTCConfiguration.iceServers``."""

    urls: Sequence[str]
    username: str | None = None
    credential: str | None = None


class PageConfig(BaseModel):
    """What a page needs before its first call."""

    version: str
    ice_servers: Sequence[IceServerInfo]
    agent: str | None = Field(description="The first agent, to be chosen when nobody does.")
    stats_interval_ms: int = Field(description="How often to post `/api/calls/{id}/stats`.")
    keys_required: bool = Field(description="Whether API keys are configured.")


class PageToken(BaseModel):
    """A client secret for a page."""

    client_secret: str


class DirectPageToken(PageToken):
    """A client secret of the model itself."""

    perhop: DirectTarget


@router.get("/calls", summary="Live calls")
async def list_calls(request: Request, services: Use) -> list[CallSnapshot]:
    """Oldest first: the live calls of the key's tenant (of all tenants with the scope ``operator``)."""
    principal = services.auth.require(request, "stats")
    return [call.snapshot() for call in services.calls.live() if principal.sees(call.tenant)]


@router.get("/calls/{call_id}", summary="One call, live or past")
async def get_call(request: Request, services: Use, call_id: CallId) -> CallSnapshot:
    """Figures of one call; ``ended`` says why it is over. The client secret that opened it may read them while the
    call lives; afterwards it takes a key."""
    call = services.calls.get(call_id)
    snapshot = call.snapshot() if call is not None else services.calls.ended(call_id)
    if snapshot is None and services.db is not None and services.auth.find_key(bearer_of(request)) is not None:
        row = await get_stored_call(services.db, call_id)
        snapshot = stored_snapshot(row) if row is not None else None
    tenant = snapshot.tenant if snapshot is not None else None
    services.auth.require_call(request, call_id=call_id, tenant=tenant, scope="stats")
    assert snapshot is not None
    return snapshot


@router.post("/calls/{call_id}/stats", status_code=204, summary="Report what the caller's browser measured")
async def report_stats(request: Request, services: Use, call_id: CallId, stats: Stats) -> Response:
    """Authorised by the client secret that opened the call, or a key with the scope ``calls``."""
    call = services.calls.get(call_id)
    services.auth.require_call(request, call_id=call_id, tenant=call.tenant if call else None, scope="calls")
    assert call is not None
    call.on_client_report(
        ClientReport(
            rtt_ms=stats.rtt_ms,
            jitter_ms=stats.jitter_ms,
            packets_received=stats.packets_received,
            packets_lost=stats.packets_lost,
            jitter_buffer_ms=stats.jitter_buffer_ms,
            first_audio_ms=stats.first_audio_ms,
        )
    )
    services.metrics.client_report(
        rtt_ms=stats.rtt_ms, jitter_ms=stats.jitter_ms, jitter_buffer_ms=stats.jitter_buffer_ms
    )
    return Response(status_code=204)


@router.get("/agents", summary="Agents to talk to")
async def list_agents(
    request: Request,
    services: Use,
    definitions: Annotated[bool, Query(description="As they are defined; takes the scope `admin`.")] = False,
    limit: Limit = 50,
    after: AfterName = "",
) -> list[AgentInfo] | AgentPage:
    """For pages: open without keys, else to the allowed origins and to any key. Those of the key's tenant, else of
    the tenant ``default``. With ``definitions`` a page at a time of ``limit`` agents that follow ``after``."""
    if definitions:
        return await agent_page(request, services, limit=limit, after=after)
    tenant = _tenant_of_page_or_key(services, request)
    agents = [services.agents.get(name, tenant=tenant) for name in services.agents.names(tenant=tenant)]
    return [
        AgentInfo(
            name=agent.name,
            title=agent.title or agent.name,
            description=agent.description,
            phrases=agent.samples,
            tools=list(agent.tools),
            model=agent.model,
            route=agent.route,
            languages=agent.languages,
        )
        for agent in agents
    ]


@router.get("/config", summary="What a page needs before its first call", response_model_exclude_none=True)
async def page_config(request: Request, services: Use) -> PageConfig:
    """For pages: open without keys, else to the allowed origins and to any key."""
    names = services.agents.names(tenant=_tenant_of_page_or_key(services, request))
    return PageConfig(
        version=__version__,
        ice_servers=[
            IceServerInfo(
                urls=server.urls,
                username=server.username,
                credential=server.credential.get_secret_value() if server.credential is not None else None,
            )
            for server in services.settings.webrtc.ice_servers
        ],
        agent=names[0] if names else None,
        stats_interval_ms=2000,
        keys_required=not services.auth.open,
    )


@router.get("/realtime/token", summary="A client secret for a page that has no server of its own")
async def page_token(
    request: Request, response: Response, services: Use, agent: Annotated[str | None, Query()] = None
) -> DirectPageToken | PageToken:
    """With keys configured this is off unless ``tokens.allowed_origins`` names the page's origin."""
    services.require_page(request)
    if not services.auth.open:
        services.limit(services.token_rate, request, "tokens")
    page = Principal(name="page", tenant=DEFAULT_TENANT, scopes=frozenset({"tokens"}))
    minted = await mint(services, page, agent=agent, session={}, ttl_s=None)
    response.headers["Cache-Control"] = "no-store"
    if isinstance(minted, DirectSecretResponse):
        return DirectPageToken(client_secret=minted.value, perhop=minted.perhop)
    return PageToken(client_secret=minted.value)


def _tenant_of_page_or_key(services: Services, request: Request) -> str:
    principal = services.auth.find_key(bearer_of(request))
    if principal is not None:
        return principal.tenant
    services.require_page(request)
    return DEFAULT_TENANT
