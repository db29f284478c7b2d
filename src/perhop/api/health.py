"""Liveness, readiness and metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from perhop.api.addresses import client_address, is_loopback_host
from perhop.api.errors import ErrorBody
from perhop.api.services import Use
from perhop.telemetry.metrics import CONTENT_TYPE

__all__ = ["router"]

router = APIRouter(tags=["Operations"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether calls can be taken, and what they would wait for."""

    status: Literal["ready", "not_ready"]
    missing: list[str] = []


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """Always 200 while the event loop turns."""
    return Health()


@router.get("/readyz", summary="Can it take calls?", responses={503: {"model": Readiness}})
async def readyz(response: Response, services: Use) -> Readiness:
    """503 names what is missing: engines that still start, or that shutdown has begun."""
    missing = [*services.missing(), *(["shutting down"] if services.draining else [])]
    if not missing:
        return Readiness(status="ready")
    response.status_code = 503
    return Readiness(status="not_ready", missing=missing)


@router.get(
    "/metrics",
    summary="Figures in Prometheus' text format",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        401: {"model": ErrorBody},
        403: {"model": ErrorBody},
    },
)
async def metrics(request: Request, services: Use) -> Response:
    """Open to this machine; from elsewhere it needs a key with the scope ``operator``, or with ``stats`` and the tenant
    ``default``: the figures are those of all tenants."""
    forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    address = client_address(request, services.settings.server.trusted_proxies)
    peer = request.client.host if request.client is not None else ""
    # A proxy on this machine that is not trusted hides who asks: then nobody counts as local.
    hidden = forwarded and address == peer
    if hidden or not is_loopback_host(f"[{address}]" if ":" in address else address):
        services.auth.require_house(request, "stats")
    return Response(services.metrics.render(), media_type=CONTENT_TYPE)
