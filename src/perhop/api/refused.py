"""Realtime paths that others serve and Perhop does not: each says so, and what to use instead."""

from __future__ import annotations

from fastapi import APIRouter, Request, WebSocket
from starlette.responses import JSONResponse

from perhop.api.auth import bearer_of
from perhop.api.errors import ApiError, error_response, to_api_error
from perhop.api.services import Use
from perhop.errors import PerhopError

__all__ = ["router"]

router = APIRouter(prefix="/v1/realtime", include_in_schema=False)


def _no_translation() -> ApiError:
    return ApiError(
        400,
        "translation_not_supported",
        "Perhop has no translation sessions: nothing here translates speech. Use a realtime session at /v1/realtime, "
        "or a transcription session at /v1/realtime?intent=transcription.",
    )


@router.websocket("/translations")
async def translations(websocket: WebSocket, services: Use) -> None:
    """Refused in the answer to the upgrade."""
    answer = _no_translation()
    try:
        services.auth.authenticate(bearer_of(websocket))
    except PerhopError as error:
        answer = to_api_error(error)
    services.metrics.refused(answer.code or "server_error")
    await websocket.send_denial_response(error_response(answer))


@router.get("/translations")
@router.post("/translations/client_secrets")
@router.post("/translations/calls")
async def translation(request: Request, services: Use) -> JSONResponse:
    """Refused, to those who may ask."""
    services.auth.authenticate(bearer_of(request))
    raise _no_translation()


@router.post("/sessions")
@router.post("/transcription_sessions")
async def beta_tokens(request: Request, services: Use) -> JSONResponse:
    """The 2024 way to a token."""
    services.auth.authenticate(bearer_of(request))
    raise ApiError(
        410,
        "beta_api_shape_disabled",
        "The beta Realtime API is not spoken here. Mint a token with POST /v1/realtime/client_secrets, whose 'session' "
        "has a 'type' of realtime or transcription.",
    )
