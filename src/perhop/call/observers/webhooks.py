"""Webhooks when calls begin and end."""

from __future__ import annotations

from perhop.call.call import Call
from perhop.call.observer import CallObserver
from perhop.webhooks import WebhookSender, call_ended, call_started

__all__ = ["WebhookObserver"]


class WebhookObserver(CallObserver):
    """Tells the configured servers."""

    def __init__(self, webhooks: WebhookSender) -> None:
        self._webhooks = webhooks

    def call_started(self, call: Call) -> None:
        """``perhop.call.started``"""
        agent = call.agent.name if call.agent is not None else None
        self._webhooks.send(call_started(call.id, tenant=call.tenant, agent=agent, transport=call.transport))

    def call_ended(self, call: Call) -> None:
        """``perhop.call.ended``"""
        self._webhooks.send(
            call_ended(
                call.id,
                tenant=call.tenant,
                agent=call.agent.name if call.agent is not None else None,
                transport=call.transport,
                reason=call.ended.value if call.ended is not None else "",
                duration_s=call.lifetime.seconds,
            )
        )
