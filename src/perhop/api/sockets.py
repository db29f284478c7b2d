"""``GET /v1/realtime``: the WebSocket entrance of the Realtime API, for callers and for controllers of other calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import APIRouter, WebSocket
from starlette.responses import JSONResponse

from perhop.api.auth import Principal, bearer_of
from perhop.api.beta import BetaShapeError, require_current_shape
from perhop.api.errors import ApiError, error_response, to_api_error
from perhop.api.resume_secret import resume_headers
from perhop.api.services import Services, Use, choose_agent, initial_session
from perhop.call.call import Call
from perhop.call.legs import EndReason
from perhop.edges.sideband import Sideband
from perhop.edges.socket import WebSocketLimits
from perhop.edges.websocket import WebSocketLeg
from perhop.errors import LimitExceededError, PerhopError
from perhop.realtime.ids import new_id
from perhop.realtime.session import parse_session
from perhop.telemetry.context import keep_log_context

__all__ = ["Opened", "router", "serve_socket", "socket_limits"]

SUBPROTOCOL = "realtime"

_BETA_REFUSED = 4000

router = APIRouter()


class _Connection(Protocol):
    """What is behind an accepted socket."""

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What is to run behind a socket once it is accepted.

    Attributes:
        abandon: undoes it when the upgrade fails.
        headers: of the response to the upgrade.
    """

    connection: _Connection
    abandon: Callable[[], None]
    headers: Mapping[str, str] = field(default_factory=dict)


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
    """One call for as long as the socket is open; with ``?call_id=``, a controller of a call that is live already."""
    await serve_socket(websocket, services, lambda: _open(websocket, services))


async def serve_socket(websocket: WebSocket, services: Services, open_: Callable[[], Opened]) -> None:
    """Answers the upgrade and serves the socket until it is over.

    What is wrong with the request is said in the response to the upgrade (401, 404, 429, 503 with the usual JSON
    body); what is wrong later, in ``error`` events.

    Args:
        open_: checks the request and makes what is to run; raises PerhopError.
    """
    try:
        opened = open_()
    except BetaShapeError as refusal:
        await _refuse_beta(websocket, refusal)
        return
    except PerhopError as error:
        answer = to_api_error(error)
        services.metrics.refused(answer.code or "server_error")
        await websocket.send_denial_response(error_response(answer))
        return
    accepted = False
    try:
        headers = [(name.lower().encode(), value.encode()) for name, value in opened.headers.items()]
        await websocket.accept(subprotocol=_subprotocol(websocket), headers=headers)
        accepted = True
    finally:
        if not accepted:
            opened.abandon()
    await opened.connection.run()


def _open(websocket: WebSocket, services: Services) -> Opened:
    """What is to run behind the socket, and how to undo it when the upgrade fails.

    Everything happens before the upgrade is answered, so that every refusal can be a plain response.
    """
    call_id = websocket.query_params.get("call_id")
    if call_id is not None:
        call, trusted = _controlled(websocket, services, call_id)
        require_current_shape(websocket)
        services.limit(services.call_rate, websocket, "calls")
        return _join(websocket, services, call, trusted=trusted)
    principal = services.auth.authenticate(bearer_of(websocket))
    require_current_shape(websocket)
    principal.require("calls")
    services.limit(services.call_rate, websocket, "calls")
    return _start(websocket, services, principal)


def _controlled(websocket: WebSocket, services: Services, call_id: str) -> tuple[Call, bool]:
    """The live call that this controller may reach, and whether it has an API key.

    Raises:
        ApiError: 401 or 403; 404 ``session_not_found`` for a call that is not there or not theirs.
    """
    call = services.calls.get(call_id)
    trusted = services.auth.require_call(
        websocket,
        call_id=call_id,
        tenant=call.tenant if call is not None else None,
        scope="calls",
        code="session_not_found",
    )
    assert call is not None
    return call, trusted


def _join(websocket: WebSocket, services: Services, call: Call, *, trusted: bool) -> Opened:
    """Attaches a controller to a live call."""
    keep_log_context(call_id=call.id, tenant=call.tenant)
    audio = _flag(websocket, "audio")
    try:
        limits = socket_limits(services)
        sideband = Sideband(websocket, call, audio=audio, trusted=trusted, limits=limits, clock=services.clock)
    except LimitExceededError as error:
        raise ApiError(429, "too_many_controllers", f"{error}.", type_="rate_limit_exceeded") from None
    return Opened(sideband, sideband.leave)


def _start(websocket: WebSocket, services: Services, principal: Principal) -> Opened:
    """Joins a caller to a model."""
    services.admit()
    query = websocket.query_params
    given = parse_session({"type": "transcription"}) if query.get("intent") == "transcription" else {}
    session = initial_session(principal, given)
    agent = choose_agent(services, principal, query.get("agent"), session=session)
    leg = WebSocketLeg(websocket, limits=socket_limits(services), clock=services.clock)
    with services.client_secrets.spend(principal.secret) as spending:
        call = services.start_call(
            leg, principal, agent=agent, session=session, model=query.get("model") or session.get("model")
        )
        spending.commit(call.id)
    # This task, and the reader and writer of the socket, serve no other call.
    keep_log_context(call_id=call.id, tenant=call.tenant)
    return Opened(leg, lambda: call.hang_up(EndReason.CALLER_NEVER_CONNECTED), resume_headers(call))


def socket_limits(services: Services) -> WebSocketLimits:
    """The bounds of one connection, as configured."""
    limits = services.settings.limits
    return WebSocketLimits(
        max_message_bytes=limits.max_message_bytes,
        audio_backlog_s=limits.audio_backlog_s,
        messages_per_s=limits.messages_per_s,
        message_burst=limits.message_burst,
        send_queue_bytes=limits.send_queue_bytes,
    )


def _flag(websocket: WebSocket, name: str) -> bool:
    """A query parameter that is ``true`` or ``false``; false when absent."""
    match websocket.query_params.get(name, "false"):
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise ApiError(400, "invalid_value", f"{name!r} must be 'true' or 'false'.", param=name)


async def _refuse_beta(websocket: WebSocket, refusal: BetaShapeError) -> None:
    """The documented error, then the documented close."""
    await websocket.accept(subprotocol=_subprotocol(websocket))
    await websocket.send_text(refusal.to_event(new_id("event_")).to_json().decode())
    await websocket.close(_BETA_REFUSED, f"{refusal.type}.{refusal.code}")


def _subprotocol(websocket: WebSocket) -> str | None:
    """Browsers that offered subprotocols fail the handshake unless one of them is answered."""
    return SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None
