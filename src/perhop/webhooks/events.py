"""What webhooks tell: that a call is there, began or ended. Names and figures, never what was said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from perhop.realtime.ids import IdFactory, new_id

__all__ = ["WebhookEvent", "call_ended", "call_incoming", "call_started"]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event, in the shape of the Realtime API's own webhooks.

    Attributes:
        id: ``evt_…``; the same in every repetition and at every endpoint.
        tenant: whose call it is; decides which endpoints are told.
        created_at: Unix time, s.
    """

    id: str
    type: str
    tenant: str
    created_at: int
    data: Mapping[str, Any] = field(repr=False)

    def to_json(self) -> bytes:
        """The body of the request."""
        return orjson.dumps(
            {"object": "event", "id": self.id, "type": self.type, "created_at": self.created_at, "data": self.data}
        )


def call_started(
    call_id: str,
    *,
    tenant: str,
    agent: str | None,
    transport: str,
    wall: Callable[[], float] = time.time,
    new_id: IdFactory = new_id,
) -> WebhookEvent:
    """``perhop.call.started``: a caller was joined to a model."""
    data = {"call_id": call_id, "tenant": tenant, "agent": agent, "transport": transport}
    return WebhookEvent(new_id("evt_"), "perhop.call.started", tenant, int(wall()), data)


def call_ended(
    call_id: str,
    *,
    tenant: str,
    agent: str | None,
    transport: str,
    reason: str,
    duration_s: float,
    wall: Callable[[], float] = time.time,
    new_id: IdFactory = new_id,
) -> WebhookEvent:
    """``perhop.call.ended``: a call is over.

    Args:
        reason: an :class:`~perhop.call.legs.EndReason`.
    """
    data = {
        "call_id": call_id,
        "tenant": tenant,
        "agent": agent,
        "transport": transport,
        "reason": reason,
        "duration_s": round(duration_s, 1),
    }
    return WebhookEvent(new_id("evt_"), "perhop.call.ended", tenant, int(wall()), data)


def call_incoming(
    call_id: str,
    *,
    tenant: str,
    sip_headers: Iterable[tuple[str, str]],
    media_security: Literal["rtp", "srtp"] | None = None,
    wall: Callable[[], float] = time.time,
    new_id: IdFactory = new_id,
) -> WebhookEvent:
    """``realtime.call.incoming``: somebody rings, and waits for ``POST /v1/realtime/calls/{call_id}/accept``.

    Args:
        sip_headers: of the INVITE, in order; without those that authorise. They hold telephone numbers.
        media_security: what the SDP agreed on; left out when unknown.
    """
    data: dict[str, Any] = {
        "call_id": call_id,
        "sip_headers": [{"name": name, "value": value} for name, value in sip_headers],
    }
    if media_security is not None:
        data["sip_media_security"] = media_security
    return WebhookEvent(new_id("evt_"), "realtime.call.incoming", tenant, int(wall()), data)
