"""What lets a caller who was lost come back to its call, and nobody else."""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import HTTPConnection

from perhop.api.auth import bearer_of, call_not_found
from perhop.api.errors import ApiError
from perhop.api.services import Services
from perhop.call.call import Call

__all__ = ["CALL_HEADER", "RESUME_HEADER", "resume_headers", "resumed_call"]

CALL_HEADER = "Perhop-Call"
"""The call's id: a WebSocket's upgrade has no Location."""

RESUME_HEADER = "Perhop-Resume"
"""The secret of the call, told once, to whoever started it."""

_NO_SECRET = f"rs_{secrets.token_urlsafe(32)}"


def resume_headers(call: Call) -> dict[str, str]:
    """Headers of the response that starts a call; empty when nobody may come back to it."""
    secret = call.resume_secret
    return {CALL_HEADER: call.id, RESUME_HEADER: secret} if secret is not None else {}


def resumed_call(services: Services, connection: HTTPConnection, call_id: str) -> Call:
    """The live call whose secret this request bears. Keys, client secrets and tenants do not matter here.

    Raises:
        ApiError: 401 without a bearer; 404 for a call that is not there (any more) and for a wrong secret, without
            telling which.
    """
    bearer = bearer_of(connection)
    if bearer is None:
        raise ApiError(
            401,
            "missing_resume_secret",
            "This needs the call's resume secret as 'Authorization: Bearer rs_…'; "
            f"it came with the call, in the header {RESUME_HEADER}.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    call = services.calls.get(call_id)
    secret = (call.resume_secret if call is not None else None) or _NO_SECRET
    right = hmac.compare_digest(secret.encode(), bearer.encode("utf-8", "surrogatepass"))
    if call is None or not right:
        raise call_not_found(call_id)
    return call
