"""Responses and tokens a minute: counted, shown after every response, and kept."""

from __future__ import annotations

import pytest
from tests.realtime.helpers import MANUAL, Session, types

from perhop.realtime.effects import OutputDone
from perhop.realtime.rates import RateLimits, Rates
from perhop.realtime.server import ServerLimits

LIMITS = RateLimits(responses_per_minute=60, tokens_per_minute=6_000)


def levels(rates: Rates, tokens: int, now: float) -> list[tuple[str | None, int | None, float | None]]:
    return [(limit.name, limit.remaining, limit.reset_seconds) for limit in rates.end(tokens, now)]


def test_responses_count_when_they_begin_and_tokens_when_they_end() -> None:
    rates = Rates(LIMITS, now=0.0)
    assert rates.begin(0.0) is None
    assert rates.begin(0.0) is None
    assert levels(rates, 600, 0.0) == [("requests", 58, 2.0), ("tokens", 5_400, 6.0)]


def test_they_refill_steadily_and_not_beyond_their_limit() -> None:
    rates = Rates(LIMITS, now=0.0)
    rates.begin(0.0)
    rates.end(600, 0.0)
    assert levels(rates, 0, 3.0) == [("requests", 60, 0.0), ("tokens", 5_700, 3.0)]
    assert levels(rates, 0, 3_600.0) == [("requests", 60, 0.0), ("tokens", 6_000, 0.0)]


def test_one_response_too_many_is_refused_until_there_is_room() -> None:
    rates = Rates(LIMITS, now=0.0)
    assert [rates.begin(0.0) for _ in range(60)] == [None] * 60
    assert rates.begin(0.9) is not None
    assert rates.begin(1.1) is None


def test_a_response_may_cost_more_than_is_left_and_the_next_one_waits() -> None:
    rates = Rates(LIMITS, now=0.0)
    rates.begin(0.0)
    assert levels(rates, 7_000, 0.0)[1] == ("tokens", 0, 70.0)
    assert "tokens" in (rates.begin(9.0) or "")
    assert rates.begin(11.0) is None


# -- in a session -----------------------------------------------------------------------------------------------------


def test_every_response_is_followed_by_what_is_left() -> None:
    session = Session(MANUAL, limits=ServerLimits(rates=LIMITS))
    session.send("response.create")
    frames = session.answer("Hi there.", 1_000)
    assert types(frames)[-2:] == ["response.done", "rate_limits.updated"]
    used = frames[-2]["response"]["usage"]["total_tokens"]
    requests, tokens = frames[-1]["rate_limits"]
    assert (requests["name"], requests["limit"], requests["remaining"]) == ("requests", 60, 59)
    assert (tokens["name"], tokens["limit"], tokens["remaining"]) == ("tokens", 6_000, 6_000 - used)
    assert used > 20


@pytest.mark.parametrize("how", ["cancelled", "out of band"])
def test_whatever_kind_of_response_it_was(how: str) -> None:
    session = Session(MANUAL, limits=ServerLimits(rates=LIMITS))
    session.send("response.create", response={"conversation": "none"} if how == "out of band" else {})
    if how == "cancelled":
        session.send("response.cancel")
    else:
        session.give(OutputDone(session.started[-1].response_id))
    assert types(session.frames)[-2:] == ["response.done", "rate_limits.updated"]


def test_a_session_that_asks_too_often_gets_failed_responses_and_goes_on() -> None:
    session = Session(MANUAL, limits=ServerLimits(rates=RateLimits(1, 1_000)))
    session.send("response.create")
    session.answer()
    session.forget()
    frames = session.send("response.create")
    assert types(frames) == ["response.created", "response.done", "rate_limits.updated"]
    response = frames[1]["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["code"] == "rate_limit_exceeded"
    assert response["usage"]["total_tokens"] == 0
    assert session.effects == []
    session.now += 60
    assert types(session.send("response.create")) == ["response.created"]


def test_without_limits_nothing_is_shown() -> None:
    session = Session(MANUAL)
    session.send("response.create")
    assert "rate_limits.updated" not in types(session.answer())
