"""What webhooks say, read by the official client."""

from __future__ import annotations

import json
import time
from typing import Any

from openai import OpenAI
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent

from perhop.webhooks import SigningKey, WebhookEvent, call_ended, call_incoming, call_started

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def unwrapped(event: WebhookEvent) -> Any:
    body = event.to_json()
    headers = SigningKey(SECRET).headers(event.id, body, timestamp=int(time.time()))
    return OpenAI(api_key="sk-any").webhooks.unwrap(body, headers, secret=SECRET)


def test_an_incoming_call_is_what_the_api_itself_sends() -> None:
    event = call_incoming(
        "rtc_1",
        tenant="red",
        sip_headers=[("From", "sip:+142555512112@sip.example.com"), ("Call-ID", "abc")],
        media_security="srtp",
        wall=lambda: 1_750_287_018.9,
    )
    found = unwrapped(event)
    assert isinstance(found, RealtimeCallIncomingWebhookEvent)
    assert found.id.startswith("evt_")
    assert (found.object, found.created_at) == ("event", 1_750_287_018)
    assert found.data.call_id == "rtc_1"
    assert [(header.name, header.value) for header in found.data.sip_headers][1] == ("Call-ID", "abc")
    assert found.data.sip_media_security == "srtp"


def test_what_is_not_known_of_an_incoming_call_is_left_out() -> None:
    event = call_incoming("rtc_1", tenant="red", sip_headers=[])
    assert json.loads(event.to_json())["data"] == {"call_id": "rtc_1", "sip_headers": []}


def test_the_beginning_and_the_end_of_a_call_are_figures_and_names() -> None:
    began = call_started("rtc_1", tenant="red", agent="oneroof", transport="webrtc", wall=lambda: 100.0)
    over = call_ended(
        "rtc_1",
        tenant="red",
        agent=None,
        transport="webrtc",
        reason="caller_hangup",
        duration_s=12.345,
        wall=lambda: 112.0,
    )
    assert json.loads(began.to_json()) == {
        "object": "event",
        "id": began.id,
        "type": "perhop.call.started",
        "created_at": 100,
        "data": {"call_id": "rtc_1", "tenant": "red", "agent": "oneroof", "transport": "webrtc"},
    }
    found = unwrapped(over)
    assert found.type == "perhop.call.ended"
    assert json.loads(over.to_json())["data"] == {
        "call_id": "rtc_1",
        "tenant": "red",
        "agent": None,
        "transport": "webrtc",
        "reason": "caller_hangup",
        "duration_s": 12.3,
    }
    assert began.id != over.id


def test_telephone_numbers_do_not_get_into_logs() -> None:
    event = call_incoming("rtc_1", tenant="red", sip_headers=[("From", "sip:+142555512112@sip.example.com")])
    assert "4255551" not in repr(event)
