"""Telling another system of contacts and leads: signed webhooks through the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from perhop.config.workers import WebhookOutSettings
from perhop.errors import PerhopError
from perhop.tools.guard import Guard, OutgoingError, OutgoingLimits
from perhop.webhooks import SigningKey, WebhookEvent
from perhop.workers.sdk import Effect, NotSentError, RefusedError, WorkerContext

__all__ = ["WEBHOOK", "Telling"]

WEBHOOK = "webhook"
"""The delivery."""

_LIMITS = OutgoingLimits(total_s=15.0, max_bytes=1 << 16, max_redirects=0)
_GONE = 410


class Telling:
    """Signs and posts what happened, as Standard Webhooks 1.0 says. Receivers know a repetition by its id.

    Args:
        guard: the way out.
        wall: Unix time, s.
    """

    def __init__(self, settings: WebhookOutSettings, guard: Guard, *, wall: Callable[[], float] = time.time) -> None:
        self._url = str(settings.url)
        self._key = SigningKey(settings.secret.get_secret_value())
        self._tenant = settings.tenant
        self._guard = guard
        self._wall = wall

    def tell(self, kind: str, data: Mapping[str, Any], context: WorkerContext) -> None:
        """Asks for an event to be told once the transaction is committed."""
        if self._tenant in (None, context.tenant):
            payload = {"type": f"perhop.crm.{kind}", "created_at": int(self._wall()), "data": dict(data)}
            context.effects.add(WEBHOOK, payload)

    async def send(self, effect: Effect) -> str:
        """Posts one event.

        Raises:
            NotSentError: nobody was reached.
            RefusedError: the other system wants no more of these.
            PerhopError: it is not sure that it was taken.
        """
        told = effect.payload
        data = {**told["data"], "call_id": effect.call_id, "tenant": effect.tenant}
        event = WebhookEvent(f"evt_{effect.key[:32]}", told["type"], effect.tenant, told["created_at"], data)
        body = event.to_json()
        headers = {
            "content-type": "application/json",
            **self._key.headers(event.id, body, timestamp=int(self._wall())),
        }
        try:
            response = await self._guard.request("POST", self._url, content=body, headers=headers, limits=_LIMITS)
        except OutgoingError as error:
            if not error.sent:
                raise NotSentError("the webhook was not reached") from None
            raise
        if response.status_code == _GONE:
            raise RefusedError("the webhook is gone")
        if not response.is_success:
            raise PerhopError(f"the webhook answered with status {response.status_code}")
        return event.id
