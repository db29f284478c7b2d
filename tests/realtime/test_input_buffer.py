"""Audio time is exact, and memory is bounded."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from perhop.realtime.input_buffer import InputBuffer

RATE = 8


def audio(ms: int, first: int = 0) -> bytes:
    return bytes((first + i) % 251 for i in range(ms * RATE))


def test_time_counts_every_byte() -> None:
    buffer = InputBuffer(RATE, 1_000)
    for _ in range(7):
        buffer.append(b"abc")
    assert (buffer.end_ms, buffer.held_ms) == (2, 2)
    buffer.append(b"abc")
    assert buffer.end_ms == 3


def test_reading_between_two_times() -> None:
    buffer = InputBuffer(RATE, 1_000)
    whole = audio(10)
    buffer.append(whole)
    assert buffer.read(2, 5) == whole[2 * RATE : 5 * RATE]
    buffer.discard_before(4)
    assert (buffer.start_ms, buffer.end_ms, buffer.held_ms) == (4, 10, 6)
    assert buffer.read(2, 5) == whole[4 * RATE : 5 * RATE]
    assert buffer.read(8, 99) == whole[8 * RATE :]
    assert buffer.read(5, 2) == b""


def test_discarding_beyond_the_end_empties_it() -> None:
    buffer = InputBuffer(RATE, 1_000)
    buffer.append(audio(10))
    buffer.discard_before(99)
    assert (buffer.start_ms, buffer.end_ms, buffer.held_ms) == (10, 10, 0)


def test_clearing_keeps_the_time() -> None:
    buffer = InputBuffer(RATE, 1_000)
    buffer.append(audio(10))
    buffer.clear()
    buffer.append(audio(5))
    assert (buffer.start_ms, buffer.end_ms) == (10, 15)
    assert buffer.read(0, 99) == audio(5)


def test_a_full_buffer_says_so_once_and_time_goes_on() -> None:
    buffer = InputBuffer(RATE, 10)
    assert buffer.append(audio(10))
    assert not buffer.append(audio(5))
    assert buffer.append(audio(5))
    assert (buffer.held_ms, buffer.end_ms) == (10, 20)


def test_a_full_buffer_takes_audio_again_once_it_was_emptied() -> None:
    for empty in (InputBuffer.clear, lambda buffer: buffer.discard_before(20)):
        buffer = InputBuffer(RATE, 10)
        buffer.append(audio(10))
        buffer.append(audio(10))
        empty(buffer)
        assert buffer.append(audio(3, first=7))
        assert (buffer.start_ms, buffer.end_ms) == (20, 23)
        assert buffer.read(20, 23) == audio(3, first=7)


def test_a_full_buffer_never_joins_audio_across_a_hole() -> None:
    buffer = InputBuffer(RATE, 10)
    buffer.append(audio(10))
    buffer.append(audio(10))
    buffer.discard_before(5)
    buffer.append(audio(1))
    assert buffer.read(0, 99) == audio(10)[5 * RATE :]


def test_another_format_goes_on_at_the_same_time() -> None:
    buffer = InputBuffer(RATE, 1_000)
    buffer.append(audio(10))
    buffer.change_format(48)
    assert (buffer.start_ms, buffer.end_ms, buffer.held_ms) == (10, 10, 0)
    buffer.append(bytes(48 * 5))
    assert buffer.end_ms == 15
    assert len(buffer.read(12, 14)) == 96


def test_appending_costs_the_same_however_much_is_held() -> None:
    def cost(held_ms: int) -> float:
        buffer, best = InputBuffer(48, 400_000), 1e9
        buffer.append(bytes(held_ms * 48))
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(50):
                buffer.append(bytes(960))
                buffer.discard_before(buffer.start_ms + 20)
            best = min(best, time.perf_counter() - began)
        return best

    assert cost(300_000) < 20 * cost(300) + 0.001


@given(st.lists(st.tuples(st.sampled_from(["append", "discard", "clear"]), st.integers(0, 60)), max_size=60))
def test_it_holds_exactly_the_latest_audio(steps: list[tuple[str, int]]) -> None:
    buffer, whole, start = InputBuffer(RATE, 100_000), b"", 0
    for kind, amount in steps:
        if kind == "append":
            piece = bytes((len(whole) + i) % 251 for i in range(amount))
            whole += piece
            buffer.append(piece)
        elif kind == "discard":
            start = min(len(whole), max(start, amount * RATE))
            buffer.discard_before(amount)
        else:
            start = len(whole)
            buffer.clear()
        assert buffer.end_ms == len(whole) // RATE
        assert buffer.held_ms == (len(whole) - start) // RATE
        first_ms = -(-start // RATE)
        assert buffer.read(first_ms, buffer.end_ms) == whole[first_ms * RATE : len(whole) // RATE * RATE]
