"""The dialect of 2024: told apart by how it is asked for, and not spoken here."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from perhop.realtime.errors import ProtocolError

__all__ = ["BETA_SHAPE_DISABLED", "BetaShapeError", "require_current_shape"]

BETA_SHAPE_DISABLED = "beta_api_shape_disabled"

_SUBPROTOCOL = "openai-beta.realtime"


class BetaShapeError(ProtocolError):
    """The client speaks the dialect of 2024."""


def require_current_shape(connection: HTTPConnection) -> None:
    """Lets through who does not ask for the beta, by header or by subprotocol.

    Raises:
        BetaShapeError: ``beta_api_shape_disabled``.
    """
    offered = connection.scope["subprotocols"] if connection.scope["type"] == "websocket" else ()
    if "realtime" in connection.headers.get("openai-beta", "") or any(
        name.startswith(_SUBPROTOCOL) for name in offered
    ):
        raise BetaShapeError(
            BETA_SHAPE_DISABLED,
            "The beta Realtime API is not spoken here. Leave out the header 'OpenAI-Beta: realtime=v1' (and the "
            "subprotocol of that name) and use the current events.",
        )
