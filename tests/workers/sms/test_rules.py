"""What needs no database: signatures, states, settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perhop.config.sms import SmsSettings
from perhop.workers.sms.states import later, state_of
from perhop.workers.sms.twilio import signature

STATUSES = ("accepted", "queued", "sending", "sent", "delivered", "undelivered", "failed", "read", "canceled")


def test_a_signature_is_the_one_in_the_providers_manual() -> None:
    """The worked example of Twilio's documentation on request validation."""
    form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675310"),
        ("Digits", "1234"),
        ("From", "+14158675310"),
        ("To", "+18005551212"),
    ]
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, form) == "GvWf1cFY/Q7PnoempGyD5oXAezc="
    assert signature("12345", url, form[::-1]) == signature("12345", url, form)


@given(st.lists(st.sampled_from(STATUSES)))
def test_whatever_order_reports_come_in_the_furthest_state_stays(statuses: list[str]) -> None:
    known, best = "queued", 0
    rank = {"queued": 0, "accepted": 1, "sent": 2, "delivered": 3, "undelivered": 3, "failed": 3}
    for status in statuses:
        told = state_of(status)
        assert told is not None
        if later(known, told):
            known = told
        best = max(best, rank[told])
        assert rank[known] == best


def test_a_status_nobody_knows_is_none() -> None:
    assert state_of("teleported") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"callback_port": 8090},
        {"timezone": "Mars/Olympus"},
        {"region": "us"},
        {"countries": []},
        {"twilio": {"account": "AC/../1", "token": "t", "sender": "+15105550100"}},
        {"twilio": {"account": "AC1", "token": "t", "sender": "5105550100"}},
        {"twilio": {"account": "AC1", "token": "t", "sender": "+15105550100", "callback_url": "https://a.example"}},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SmsSettings.model_validate(wrong)
