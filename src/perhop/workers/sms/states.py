"""How far a message is.

``queued`` → ``sending`` → ``accepted`` (the provider has it) → ``sent`` → ``delivered``, or one of ``undelivered``,
``failed``, ``cancelled``. ``unknown``: nobody can tell whether the provider has it; it is not sent again, but the
provider may still tell. ``kept``: there is no provider.
"""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["State", "later", "state_of"]

State = Literal[
    "queued",
    "sending",
    "unknown",
    "kept",
    "accepted",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "cancelled",
]

_RANK: Final[dict[str, int]] = {
    "queued": 0,
    "sending": 1,
    "unknown": 2,
    "kept": 3,
    "accepted": 3,
    "sent": 4,
    "delivered": 5,
    "undelivered": 5,
    "failed": 5,
    "cancelled": 5,
}

_OF_PROVIDER: Final[dict[str, State]] = {
    "accepted": "accepted",
    "scheduled": "accepted",
    "queued": "accepted",
    "sending": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}


def later(known: str, told: State) -> bool:
    """Whether ``told`` is news. Reports overtake each other on their way; an earlier state never replaces a later."""
    return _RANK[told] > _RANK.get(known, 0)


def state_of(status: str) -> State | None:
    """Our word for the provider's; None for one that means nothing here."""
    return _OF_PROVIDER.get(status)
