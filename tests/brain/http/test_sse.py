from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.brain.http.sse import SseParser
from perhop.errors import LimitExceededError

STREAM = (
    'data: {"a": 1}\n\n: comment\nevent: x\ndata:two\r\ndata: lines\r\n\r\ndata: ü€😀\r\rdata\n\nretry: 5\n\n'.encode()
)
EVENTS = ['{"a": 1}', "two\nlines", "ü€😀", ""]


def test_events_are_their_data() -> None:
    assert SseParser().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_survive_any_splitting(cuts: list[int]) -> None:
    parser = SseParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    assert [event for a, b in pairwise(edges) for event in parser.feed(STREAM[a:b])] == EVENTS


@given(st.binary(max_size=300))
def test_any_bytes_can_be_fed(data: bytes) -> None:
    SseParser().feed(data)


def test_an_event_that_was_not_ended_is_not_given_out() -> None:
    assert SseParser().feed(b"data: half\n") == []


def test_an_event_without_end_is_refused() -> None:
    parser = SseParser()
    with pytest.raises(LimitExceededError):
        for _ in range(40):
            parser.feed(b"data: " + bytes(65536) + b"\n")


def test_many_small_events_are_no_large_one() -> None:
    parser = SseParser()
    assert sum(len(parser.feed(b"data: " + b"x" * 60_000 + b"\n\n")) for _ in range(40)) == 40
