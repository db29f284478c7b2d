"""Signatures, judged by the official client and by the specification's own example."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import InvalidWebhookSignatureError, OpenAI

from perhop.webhooks.signature import SigningKey, SigningKeyError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(24))).decode()


OFFICIAL = OpenAI(api_key="sk-any").webhooks


def test_it_agrees_with_the_example_of_standard_webhooks() -> None:
    headers = SigningKey(SECRET).headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', timestamp=1_614_265_330
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(body=st.binary(max_size=200), message_id=st.text("abcdef_0123456789", min_size=1, max_size=40))
def test_the_official_client_believes_it(body: bytes, message_id: str) -> None:
    # The client reads bodies as text.
    text = body.decode("latin-1").encode()
    headers = SigningKey(SECRET).headers(message_id, text, timestamp=int(time.time()))
    OFFICIAL.verify_signature(text, headers, secret=SECRET)


@pytest.mark.parametrize(
    "change",
    [
        {"payload": b'{"a":2}'},
        {"secret": OTHER},
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": str(int(time.time()) - 1)},
    ],
)
def test_the_official_client_believes_nothing_else(change: dict[str, Any]) -> None:
    payload = change.pop("payload", b'{"a":1}')
    secret = change.pop("secret", SECRET)
    headers = SigningKey(SECRET).headers("evt_1", b'{"a":1}', timestamp=int(time.time())) | change
    with pytest.raises(InvalidWebhookSignatureError):
        OFFICIAL.verify_signature(payload, headers, secret=secret)


def test_an_old_signature_is_refused_as_a_repetition() -> None:
    headers = SigningKey(SECRET).headers("evt_1", b"{}", timestamp=int(time.time()) - 301)
    with pytest.raises(InvalidWebhookSignatureError, match="too old"):
        OFFICIAL.verify_signature(b"{}", headers, secret=SECRET)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_short",
        "whsec_not base64 at all, not base64 at all",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
    ],
)
def test_what_cannot_sign_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(SigningKeyError) as caught:
        SigningKey(secret)
    assert "openssl rand" in str(caught.value)
    assert len(secret) < 10 or secret not in str(caught.value)


def test_a_key_does_not_show_itself() -> None:
    assert "MfKQ" not in repr(SigningKey(SECRET))
