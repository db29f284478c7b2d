"""``GET /v1/realtime``: the WebSocket entrance of the Realtime API."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket
from starlette.responses import JSONResponse

from perhop.api.auth import Principal, bearer_of
from perhop.api.errors import ApiError, error_response, to_api_error
from perhop.api.services import Services, Use, choose_agent, initial_session
from perhop.call.call import Call
from perhop.call.legs import EndReason
from perhop.edges.socket import WebSocketLimits
from perhop.edges.websocket import WebSocketLeg
from perhop.errors import PerhopError
from perhop.realtime.errors import ProtocolError
from perhop.realtime.ids import new_id
from perhop.realtime.session import parse_session

__all__ = ["router"]

SUBPROTOCOL = "realtime"

_BETA_REFUSED = 4000

router = APIRouter()


@router.get("/v1/realtime", include_in_schema=False)
async def upgrade_required() -> JSONResponse:
    """A plain GET here is somebody who expects a page."""
    return error_response(
        ApiError(
            426,
            "upgrade_required",
            "This is a WebSocket; connect with ws:// or wss://, or POST an SDP offer to /v1/realtime/calls.",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )
    )


@router.websocket("/v1/realtime")
async def realtime(websocket: WebSocket, services: Use) -> None:
    """One call for as long as the socket is open. What is wrong with the request is said in the response to the
    upgrade (401, 404, 429, 503 with the usual JSON body); what is wrong later, in ``error`` events."""
    try:
        principal = services.auth.authenticate(bearer_of(websocket))
        if _speaks_beta(websocket):
            await _refuse_beta(websocket)
            return
        leg, call = _start(websocket, services, principal)
    except PerhopError as error:
        answer = to_api_error(error)
        services.metrics.refused(answer.code or "server_error")
        await websocket.send_denial_response(error_response(answer))
        return
    accepted = False
    try:
        await websocket.accept(subprotocol=_subprotocol(websocket))
        accepted = True
    finally:
        if not accepted:
            call.hang_up(EndReason.CALLER_NEVER_CONNECTED)
    await leg.run()


def _start(websocket: WebSocket, services: Services, principal: Principal) -> tuple[WebSocketLeg, Call]:
    """Joins the caller to a model before the upgrade is answered, so that every refusal can be a plain response."""
    principal.require("calls")
    services.limit(services.call_rate, websocket, "calls")
    query = websocket.query_params
    if (call_id := query.get("call_id")) is not None:
        raise ApiError(404, "session_not_found", f"There is no live call {call_id[:64]!r}.", param="call_id")
    agent = choose_agent(services, principal, query.get("agent"))
    given = parse_session({"type": "transcription"}) if query.get("intent") == "transcription" else {}
    session = initial_session(principal, given)
    limits = services.settings.limits
    leg = WebSocketLeg(
        websocket,
        limits=WebSocketLimits(
            max_message_bytes=limits.max_message_bytes,
            audio_backlog_s=limits.audio_backlog_s,
            messages_per_s=limits.messages_per_s,
            message_burst=limits.message_burst,
            send_queue_bytes=limits.send_queue_bytes,
        ),
        clock=services.clock,
    )
    with services.client_secrets.spend(principal.secret) as spending:
        call = services.start_call(
            leg, principal, agent=agent, session=session, model=query.get("model") or session.get("model")
        )
        spending.commit(call.id)
    return leg, call


def _speaks_beta(websocket: WebSocket) -> bool:
    header = websocket.headers.get("openai-beta", "")
    offered = websocket.scope["subprotocols"]
    return "realtime" in header or any(name.startswith("openai-beta.realtime") for name in offered)


async def _refuse_beta(websocket: WebSocket) -> None:
    """The 2024 dialect is not spoken here: the documented error, then the documented close."""
    await websocket.accept(subprotocol=_subprotocol(websocket))
    refusal = ProtocolError(
        "beta_api_shape_disabled",
        "The beta Realtime API is not spoken here. Leave out the header 'OpenAI-Beta: realtime=v1' (and the "
        "subprotocol of that name) and use the current events.",
    )
    await websocket.send_text(refusal.to_event(new_id("event_")).to_json().decode())
    await websocket.close(_BETA_REFUSED, "invalid_request_error.beta_api_shape_disabled")


def _subprotocol(websocket: WebSocket) -> str | None:
    """Browsers that offered subprotocols fail the handshake unless one of them is answered."""
    return SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None
