"""Calls that ring: accept, reject, transfer. Only telephones ring; without an edge for them, nothing is found here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from perhop.api.auth import Principal, call_not_found
from perhop.api.errors import ErrorBody
from perhop.api.services import Services, Use
from perhop.realtime.errors import ProtocolError
from perhop.realtime.session import parse_session

__all__ = ["router"]

CallId = Annotated[str, Path(description="`rtc_…`, from the webhook `realtime.call.incoming`.", max_length=64)]

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request is wrong; the message says what and where."},
    401: {"model": ErrorBody, "description": "The bearer is missing or unknown."},
    403: {"model": ErrorBody, "description": "The bearer may not do this."},
    404: {"model": ErrorBody, "description": "No such call rings, or is on a telephone, here."},
}

router = APIRouter(prefix="/v1/realtime/calls/{call_id}", tags=["Realtime"], responses=_ERRORS)


class Rejection(BaseModel):
    """How to decline; the body may be left out."""

    model_config = ConfigDict(extra="forbid")

    status_code: int = Field(
        default=603, ge=300, le=699, strict=True, description="The final SIP status the caller's telephone gets."
    )


class Transfer(BaseModel):
    """Where to."""

    model_config = ConfigDict(extra="forbid")

    target_uri: str = Field(
        pattern=r"^(tel|sips?):[^\s<>]+$", max_length=1024, description="`tel:+14155550123`, `sip:agent@example.com`"
    )


@router.post("/accept", response_class=Response, summary="Answer a call that rings")
async def accept(
    request: Request,
    services: Use,
    call_id: CallId,
    session: Annotated[dict[str, Any], Body(description="The session, with `type: realtime`.")],
) -> Response:
    """The body is the session the call starts with."""
    principal = services.auth.require(request, "calls")
    checked = _checked(session)
    _require_theirs(services, principal, call_id)
    await services.telephones.accept(call_id, session=checked)
    return Response()


@router.post("/reject", response_class=Response, summary="Decline a call that rings")
async def reject(request: Request, services: Use, call_id: CallId, rejection: Rejection | None = None) -> Response:
    """Without a status the caller hears that the call is declined (603)."""
    _require_theirs(services, services.auth.require(request, "calls"), call_id)
    await services.telephones.reject(call_id, status_code=(rejection or Rejection()).status_code)
    return Response()


@router.post("/refer", response_class=Response, summary="Transfer a telephone call")
async def refer(request: Request, services: Use, call_id: CallId, transfer: Transfer) -> Response:
    """Sends the caller's telephone elsewhere, by SIP REFER."""
    _require_theirs(services, services.auth.require(request, "calls"), call_id)
    await services.telephones.refer(call_id, target_uri=transfer.target_uri)
    return Response()


def _require_theirs(services: Services, principal: Principal, call_id: str) -> None:
    """Raises ApiError (404) for a call that does not ring here or is not theirs, without telling which."""
    tenant = services.telephones.tenant_of(call_id)
    if tenant is None or not principal.sees(tenant):
        raise call_not_found(call_id)


def _checked(session: Mapping[str, Any]) -> dict[str, Any]:
    """The session is the whole body here, so a wrong field is named without ``session.``"""
    try:
        given = parse_session(session)
    except ProtocolError as error:
        error.param = error.param.removeprefix("session.") if error.param is not None else None
        raise
    if given["type"] != "realtime":
        raise ProtocolError("invalid_value", "A telephone call needs a session of the type 'realtime'.", "type")
    return given
