"""Token buckets, with time as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.edges.rate import RateLimiter, TokenBucket


def test_a_rested_bucket_allows_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(2, 3, now=0)
    assert [bucket.take(1, now=0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(1, now=0) == 0.5
    assert bucket.take(1, now=0.5)
    assert not bucket.take(1, now=0.5)


def test_a_refused_amount_takes_nothing() -> None:
    bucket = TokenBucket(1, 3, now=0)
    assert not bucket.take(4, now=0)
    assert bucket.take(3, now=0)


def test_throttling_says_how_long_to_pause() -> None:
    bucket = TokenBucket(10, 1, now=0)
    assert bucket.throttle(1, now=0) == 0
    assert bucket.throttle(1, now=0) == pytest.approx(0.1)
    assert bucket.throttle(1, now=0.1) == pytest.approx(0.1)
    assert bucket.throttle(1, now=10) == 0


def test_a_clock_that_stands_or_goes_back_gives_nothing_away() -> None:
    bucket = TokenBucket(1, 1, now=10)
    assert bucket.take(1, now=10)
    assert not bucket.take(1, now=5)
    assert not bucket.take(1, now=10.5)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 3)), max_size=60))
def test_never_more_than_burst_and_rate_allow(steps: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(2, 4, now=0)
    now = taken = 0.0
    for pause, amount in steps:
        now += pause
        if bucket.take(amount, now=now):
            taken += amount
    assert taken <= 4 + 2 * now + 1e-6


def test_each_key_has_its_own_bucket() -> None:
    limiter = RateLimiter(60, burst=1)
    assert limiter.take("a", now=0) == 0
    assert limiter.take("a", now=0) == pytest.approx(1.0)
    assert limiter.take("b", now=0) == 0


def test_only_so_many_keys_are_remembered_and_the_busiest_stay() -> None:
    limiter = RateLimiter(60, burst=2, max_keys=2)
    for key in ("a", "b", "a", "c"):
        limiter.take(key, now=0)
    assert limiter.take("a", now=0) > 0
    assert limiter.take("b", now=0) == 0
