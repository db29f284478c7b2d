"""The Realtime API over HTTP: client secrets, WebRTC calls by SDP offer and answer, hang-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from perhop.api.auth import Principal, bearer_of
from perhop.api.beta import require_current_shape
from perhop.api.direct import DirectTarget, answer_directly, direct_model, mint_at_model
from perhop.api.errors import ApiError, ErrorBody
from perhop.api.offers import Offer, read_offer
from perhop.api.resume_secret import RESUME_HEADER, resume_headers
from perhop.api.services import Services, Use, choose_agent, initial_session
from perhop.call.agents import Agent
from perhop.call.legs import EndReason
from perhop.media.sdp import SdpError
from perhop.realtime.ids import new_id
from perhop.realtime.session import parse_session

__all__ = ["router"]

AgentName = Annotated[str | None, Query(description="Agent to talk to; a client secret or key may name one already.")]
ModelName = Annotated[str | None, Query(description="Shown back in the session; no name is refused.")]
CallId = Annotated[str, Path(description="`rtc_…`, from the Location of the answer.", max_length=64)]

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "The request, the offer or the session is wrong; the message says what and where.",
        401: "The bearer is missing, unknown, expired or spent.",
        403: "The bearer may not do this.",
        404: "There is no such agent or call.",
        413: "The body is too large.",
        415: "The body's type is not supported.",
        429: "Too many requests from this address.",
        503: "Every call is taken, or the server is shutting down.",
    }.items()
}
_OFFER_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/sdp": {"schema": {"type": "string", "description": "The SDP offer."}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["sdp"],
                    "properties": {
                        "sdp": {"type": "string", "description": "The SDP offer."},
                        "session": {"type": "object", "description": "Session configuration, as JSON."},
                    },
                },
                "encoding": {"sdp": {"contentType": "application/sdp"}, "session": {"contentType": "application/json"}},
            },
        },
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The SDP answer, complete with candidates.",
        "content": {"application/sdp": {"schema": {"type": "string"}}},
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "`/v1/realtime/calls/rtc_…`"},
            RESUME_HEADER: {
                "schema": {"type": "string"},
                "description": "`rs_…`, with which a caller who was lost comes back: `POST /api/calls/{id}/resume`.",
            },
        },
    }
}

router = APIRouter(prefix="/v1/realtime", tags=["Realtime"])


class ExpiresAfter(BaseModel):
    """When the secret stops opening calls; a call outlives it."""

    anchor: Literal["created_at"] = "created_at"
    seconds: int | None = Field(default=None, ge=10, le=7200)


class ClientSecretRequest(BaseModel):
    """What to mint. ``agent`` is an extension: the secret is bound to this agent and its locked configuration."""

    model_config = ConfigDict(extra="forbid")

    expires_after: ExpiresAfter | None = None
    session: dict[str, Any] | None = None
    agent: str | None = None


class ClientSecretResponse(BaseModel):
    """The secret, shown this once, and the session its calls start with."""

    value: str = Field(description="`ek_…`")
    expires_at: int = Field(description="Unix time, seconds.")
    session: dict[str, Any]


class DirectSecretResponse(ClientSecretResponse):
    """A secret of the model itself, for an agent whose route is ``direct``."""

    perhop: DirectTarget


@router.post("/client_secrets", responses=_ERRORS, summary="Mint a short-lived client secret for a page")
async def create_client_secret(
    request: Request, services: Use, body: ClientSecretRequest | None = None, agent: AgentName = None
) -> DirectSecretResponse | ClientSecretResponse:
    """The secret opens one call (or any number until it expires, with ``tokens.single_use = false``)."""
    principal = services.auth.require(request, "tokens")
    body = body or ClientSecretRequest()
    given = parse_session(body.session) if body.session is not None else {}
    ttl_s = body.expires_after.seconds if body.expires_after is not None else None
    return await mint(services, principal, agent=body.agent or agent, session=given, ttl_s=ttl_s)


async def mint(
    services: Services, principal: Principal, *, agent: str | None, session: Mapping[str, Any], ttl_s: int | None
) -> DirectSecretResponse | ClientSecretResponse:
    """A secret for calls of ``principal``'s tenant. Of an agent whose callers talk to its model directly, the model
    makes it, unless the agent takes supervised calls only.

    Raises:
        ApiError: the agent is unknown, too many secrets are live, or the model gave none.
        ProtocolError: a field of ``session`` has a wrong value.
    """
    chosen = choose_agent(services, principal, agent, session=session)
    model = session.get("model")
    effective = services.calls.effective_session(chosen, session, model=model)
    if chosen is not None and chosen.route == "direct" and not chosen.supervised:
        minted, target = await mint_at_model(services, principal, agent=chosen, session=session, ttl_s=ttl_s)
        return DirectSecretResponse(
            value=minted.value.get_secret_value(),
            expires_at=minted.expires_at,
            session=minted.session or effective.to_wire(new_id("sess_")),
            perhop=target,
        )
    value, secret = services.client_secrets.mint(
        ttl_s=ttl_s if ttl_s is not None else services.settings.tokens.ttl_s,
        tenant=principal.tenant,
        agent=chosen.name if chosen is not None else None,
        session=session,
        key=principal.key,
    )
    services.metrics.secret_minted()
    wire = effective.to_wire(new_id("sess_"))
    return ClientSecretResponse(value=value, expires_at=secret.expires_at, session=wire)


@router.post(
    "/calls",
    status_code=201,
    response_class=Response,
    responses={**_ANSWER, **_ERRORS},
    openapi_extra=_OFFER_BODY,
    summary="Start a WebRTC call: offer in, answer out",
)
async def create_call(
    request: Request,
    services: Use,
    model: ModelName = None,
    agent: AgentName = None,
    dcid: Annotated[
        int | None, Query(ge=0, le=65534, description="Id of a data channel that is negotiated out of band.")
    ] = None,
) -> Response:
    """Takes the offer raw (``application/sdp``) or with a session (``multipart/form-data``). The answer comes with
    every candidate, so nothing trickles."""
    principal = services.auth.authenticate(bearer_of(request))
    require_current_shape(request)
    principal.require("calls")
    services.limit(services.call_rate, request, "calls")
    offer = await read_offer(request, max_sdp_bytes=services.settings.limits.max_sdp_bytes)
    services.admit()
    session = initial_session(principal, offer.session)
    chosen = choose_agent(services, principal, agent, session=session)
    model = session.get("model") or model
    directly = direct_model(services, chosen)
    if directly is None or chosen is None:
        return _answer(services, principal, offer, session=session, model=model, agent=chosen, dcid=dcid)
    answer_sdp, call_id = await answer_directly(
        services,
        principal,
        offer.sdp,
        model=directly,
        agent=chosen,
        session=session,
        shown_model=model,
        dcid=dcid,
    )
    return _answered(answer_sdp, call_id)


@router.post(
    "",
    status_code=201,
    response_class=Response,
    responses={**_ANSWER, **_ERRORS},
    openapi_extra=_OFFER_BODY,
    summary="Start a WebRTC call (older form)",
)
async def create_call_older_form(
    request: Request, services: Use, model: ModelName = None, agent: AgentName = None
) -> Response:
    """The same as ``POST /v1/realtime/calls``, for pages written against the older path."""
    return await create_call(request, services, model=model, agent=agent)


@router.post("/calls/{call_id}/hangup", responses=_ERRORS, response_class=Response, summary="End a call")
async def hang_up(request: Request, services: Use, call_id: CallId) -> Response:
    """Ends a live call. The client secret that opened it may do that too."""
    call = services.calls.get(call_id)
    services.auth.require_call(
        request, call_id=call_id, tenant=call.tenant if call is not None else None, scope="calls"
    )
    assert call is not None
    call.hang_up(EndReason.API_HANGUP)
    return Response(status_code=200)


def _answer(
    services: Services,
    principal: Principal,
    offer: Offer,
    *,
    session: Mapping[str, Any],
    model: str | None,
    agent: Agent | None,
    dcid: int | None,
) -> Response:
    """Joins the caller to a model and answers. No await from here on: what is checked stays true until it is done."""
    with services.client_secrets.spend(principal.secret) as spending:
        # A wrong session must not cost a peer: say so before the offer is answered.
        services.calls.effective_session(agent, session, model=model)
        try:
            leg = services.webrtc.answer(offer.sdp, dcid=dcid)
        except SdpError as error:
            raise ApiError(400, "invalid_sdp", str(error), param="sdp") from None
        call = services.start_call(leg, principal, agent=agent, session=session, model=model)
        spending.commit(call.id)
    return _answered(leg.answer_sdp, call.id, resume_headers(call))


def _answered(answer_sdp: str, call_id: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        answer_sdp,
        status_code=201,
        media_type="application/sdp",
        headers={"Location": f"/v1/realtime/calls/{call_id}", **(headers or {})},
    )
