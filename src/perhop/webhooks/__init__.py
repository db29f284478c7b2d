"""Webhooks: telling other servers about calls, signed, and again until they answer."""

from __future__ import annotations

from perhop.webhooks.events import WebhookEvent, call_ended, call_incoming, call_started
from perhop.webhooks.sender import Post, WebhookEndpoint, WebhookSender
from perhop.webhooks.signature import SigningKey

__all__ = [
    "Post",
    "SigningKey",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookSender",
    "call_ended",
    "call_incoming",
    "call_started",
]
