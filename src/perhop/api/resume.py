"""``/api/calls/{id}/resume``: a caller who was lost, or changes networks, goes on with its call over a new leg."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response, WebSocket

from perhop.api.beta import require_current_shape
from perhop.api.errors import ApiError, ErrorBody
from perhop.api.offers import read_offer
from perhop.api.resume_secret import resume_headers, resumed_call
from perhop.api.services import Services, Use
from perhop.api.sockets import Opened, serve_socket, socket_limits
from perhop.call.legs import EndReason
from perhop.edges.websocket import WebSocketLeg
from perhop.media.sdp import SdpError
from perhop.telemetry.context import keep_log_context

__all__ = ["router"]

CallId = Annotated[str, Path(description="`rtc_…`, from the Location of the answer or `Perhop-Call`.", max_length=64)]

_RESPONSES: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The SDP answer, complete with candidates.",
        "content": {"application/sdp": {"schema": {"type": "string"}}},
    },
    **{
        status: {"model": ErrorBody, "description": text}
        for status, text in {
            400: "The offer is wrong; the message says what and where.",
            401: "The resume secret is missing.",
            404: "There is no such live call, or this is not its secret.",
            413: "The body is too large.",
            415: "The body's type is not supported.",
            429: "Too many requests from this address.",
            503: "Every WebRTC peer of this server is taken.",
        }.items()
    },
}
_OFFER_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/sdp": {"schema": {"type": "string", "description": "A new SDP offer."}}},
    }
}

router = APIRouter(prefix="/api/calls", tags=["Perhop"])


@router.post(
    "/{call_id}/resume",
    status_code=201,
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra=_OFFER_BODY,
    summary="Come back to a call: offer in, answer out",
)
async def resume_call(
    request: Request,
    services: Use,
    call_id: CallId,
    dcid: Annotated[
        int | None, Query(ge=0, le=65534, description="Id of a data channel that is negotiated out of band.")
    ] = None,
) -> Response:
    """Takes the call's resume secret as bearer. The conversation goes on where it was, over the new peer connection;
    the old one is closed, if it is still there. This is also the way of an ICE restart. Who comes last stays."""
    services.limit(services.resume_rate, request, "attempts to resume")
    require_current_shape(request)
    resumed_call(services, request, call_id)
    offer = await read_offer(request, max_sdp_bytes=services.settings.limits.max_sdp_bytes)
    if offer.session:
        raise ApiError(400, "invalid_value", "The session goes on as it is; send the offer alone.", param="session")
    # It may have ended while the body was read; there is no await from here on.
    call = resumed_call(services, request, call_id)
    try:
        leg = services.webrtc.answer(offer.sdp, dcid=dcid)
    except SdpError as error:
        raise ApiError(400, "invalid_sdp", str(error), param="sdp") from None
    call.resume(leg)
    return Response(
        leg.answer_sdp,
        status_code=201,
        media_type="application/sdp",
        headers={"Location": f"/v1/realtime/calls/{call.id}", **resume_headers(call)},
    )


@router.websocket("/{call_id}/resume")
async def resume_over_websocket(websocket: WebSocket, services: Use, call_id: str) -> None:
    """The same over a WebSocket: what follows the upgrade is as on ``/v1/realtime``."""
    await serve_socket(websocket, services, lambda: _open(websocket, services, call_id))


def _open(websocket: WebSocket, services: Services, call_id: str) -> Opened:
    services.limit(services.resume_rate, websocket, "attempts to resume")
    require_current_shape(websocket)
    call = resumed_call(services, websocket, call_id)
    keep_log_context(call_id=call.id, tenant=call.tenant)
    leg = WebSocketLeg(websocket, limits=socket_limits(services), clock=services.clock)
    call.resume(leg)
    return Opened(leg, lambda: leg.on_client_gone(EndReason.CALLER_NEVER_CONNECTED), resume_headers(call))
