"""How calls end: for every reason what it means, and how the caller learns of it.

An end that no client asked for is an ``error`` event first, on every transport. Then a WebSocket closes with a code
and, as the reason of the close, the word itself; over WebRTC the word is the reason of the RTCP BYE, and the data
channel closes. (The Realtime API has no event that says how a call ended, and clients get no event it does not have.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from perhop.call.legs import EndReason

__all__ = ["ENDINGS", "Ending"]


@dataclass(frozen=True, slots=True)
class Ending:
    """One way to end.

    Attributes:
        meaning: for people.
        close_code: of a WebSocket.
        error: code of the ``error`` event that comes before; None when the end is nobody's fault, or nobody is left to
            hear of it.
        message: of that event.
        type_: of that event.
    """

    meaning: str
    close_code: int = 1000
    error: str | None = None
    message: str = ""
    type_: str = "server_error"


ENDINGS: Mapping[EndReason, Ending] = MappingProxyType(
    {
        EndReason.CALLER_HANGUP: Ending("The caller closed its connection."),
        EndReason.CALLER_LOST: Ending("The caller's connection broke, fell silent, or was not read any more.", 1008),
        EndReason.CALLER_NEVER_CONNECTED: Ending("The offer was answered, or the upgrade begun, and nobody came."),
        EndReason.CALLER_ABUSE: Ending("The caller broke the protocol or sent a flood.", 1008),
        EndReason.MODEL_CLOSED: Ending(
            "The model ended its session, and there was no other to go on with.",
            1011,
            "model_closed",
            "The model ended the session.",
        ),
        EndReason.MODEL_FAILED: Ending(
            "The model could not be reached or failed, and there was no other to go on with.",
            1011,
            "model_failed",
            "The model failed, and the call cannot go on.",
        ),
        EndReason.API_HANGUP: Ending("`POST /v1/realtime/calls/{id}/hangup`."),
        EndReason.TOOL_HANGUP: Ending("A tool of the agent ended the call."),
        EndReason.LIMIT_REACHED: Ending(
            "The call used up the time, the tokens or the money of a budget.",
            1001,
            "limit_reached",
            "The call reached a limit of what it may use.",
        ),
        EndReason.SESSION_EXPIRED: Ending(
            "The call lasted as long as `limits.max_call_s` allows.",
            1001,
            "session_expired",
            "The session reached its maximum duration.",
            "invalid_request_error",
        ),
        EndReason.SHUTDOWN: Ending(
            "The server is going away and could wait no longer.",
            1001,
            "server_shutdown",
            "The server is shutting down; call again.",
        ),
    }
)
"""Every reason there is."""
