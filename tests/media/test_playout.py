"""The playout queue: exact accounts under everything that may happen to it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perhop.errors import LimitExceededError
from perhop.media.playout import MAX_ITEMS, Playout, PlayoutEvent
from perhop.media.timescale import shorten
from perhop.realtime.audio import FRAME_BYTES, AudioChunk

ODD_STEPS = bytes(range(1, 256)) * 40


def chunk(response: str, size: int, *, item: str = "item_1", fill: bytes = b"x") -> AudioChunk:
    return AudioChunk(response, item, 0, 0, fill * size)


def started(response: str) -> PlayoutEvent:
    return PlayoutEvent("started", response)


def stopped(response: str) -> PlayoutEvent:
    return PlayoutEvent("stopped", response)


def test_audio_comes_out_in_frames_and_is_counted() -> None:
    playout = Playout()
    playout.push(AudioChunk("r", "i", 0, 0, ODD_STEPS[: 2 * FRAME_BYTES + 100]))
    assert playout.pull() == ODD_STEPS[:FRAME_BYTES]
    assert playout.sent_ms("i") == 20
    assert playout.pull() == ODD_STEPS[FRAME_BYTES : 2 * FRAME_BYTES]
    assert playout.pull() is None, "100 bytes wait for more"
    playout.push(AudioChunk("r", "i", 0, 0, ODD_STEPS[2 * FRAME_BYTES + 100 : 3 * FRAME_BYTES]))
    assert playout.pull() == ODD_STEPS[2 * FRAME_BYTES : 3 * FRAME_BYTES]
    assert playout.sent_ms("i") == 60
    assert playout.queued_ms == 0


def test_an_empty_queue_gives_no_frame() -> None:
    assert Playout().pull() is None


def test_a_response_starts_with_its_first_frame_and_stops_with_its_last() -> None:
    playout = Playout()
    playout.push(chunk("r", FRAME_BYTES + 10))
    assert playout.take_events() == []
    playout.pull()
    assert playout.take_events() == [started("r")]
    playout.end("r")
    assert playout.take_events() == []
    assert playout.pull() == b"x" * 10 + bytes(FRAME_BYTES - 10)
    assert playout.take_events() == [stopped("r")]
    assert playout.pull() is None


def test_a_response_that_ends_after_it_ran_dry_stops_at_once() -> None:
    playout = Playout()
    playout.push(chunk("r", FRAME_BYTES))
    playout.pull()
    assert playout.audible == "r"
    playout.end("r")
    assert playout.take_events() == [started("r"), stopped("r")]
    assert playout.audible is None


def test_a_response_without_audio_neither_starts_nor_stops() -> None:
    playout = Playout()
    playout.push(chunk("r", 0))
    playout.end("r")
    assert playout.pull() is None
    assert playout.events == []


def test_silence_that_fills_the_last_frame_is_not_counted() -> None:
    playout = Playout()
    playout.push(chunk("r", 480))
    playout.end("r")
    playout.pull()
    assert playout.sent_ms("item_1") == 10


def test_responses_play_one_after_another() -> None:
    playout = Playout()
    playout.push(chunk("a", FRAME_BYTES, fill=b"a"))
    playout.push(chunk("b", FRAME_BYTES, fill=b"b"))
    playout.push(chunk("a", FRAME_BYTES, fill=b"A"))
    playout.end("a")
    heard = [(frame or b"")[:1] for frame in (playout.pull(), playout.pull(), playout.pull())]
    assert heard == [b"a", b"A", b"b"]
    assert playout.events == [started("a"), stopped("a"), started("b")]


def test_a_response_that_ran_dry_yields_to_one_that_waits() -> None:
    playout = Playout()
    playout.push(chunk("a", FRAME_BYTES + 2))
    playout.pull()
    playout.push(chunk("b", FRAME_BYTES))
    assert playout.pull() == b"xx" + bytes(FRAME_BYTES - 2)
    playout.pull()
    assert playout.events == [started("a"), stopped("a"), started("b")]


def test_items_of_a_response_follow_without_a_seam() -> None:
    playout = Playout()
    playout.push(chunk("r", 1_000, item="one", fill=b"1"))
    playout.push(chunk("r", 920, item="two", fill=b"2"))
    playout.pull()
    assert playout.pull() == b"1" * 40 + b"2" * 920
    assert (playout.sent_ms("one"), playout.sent_ms("two")) == (20, 19)


def test_clearing_drops_what_waits_and_names_what_was_audible() -> None:
    playout = Playout()
    playout.push(chunk("a", 3 * FRAME_BYTES))
    playout.push(chunk("b", FRAME_BYTES, item="item_2"))
    playout.pull()
    assert playout.clear() == "a"
    assert playout.pull() is None
    assert (playout.sent_ms("item_1"), playout.sent_ms("item_2")) == (20, 0)
    assert playout.dropped_bytes == 3 * FRAME_BYTES
    assert playout.take_events() == [started("a")]


def test_clearing_before_anything_was_heard_names_nothing() -> None:
    playout = Playout()
    assert playout.clear() is None
    playout.push(chunk("a", FRAME_BYTES))
    assert playout.clear() is None


def test_audio_that_still_comes_of_a_cleared_response_is_not_heard() -> None:
    playout = Playout()
    playout.push(chunk("a", FRAME_BYTES))
    playout.pull()
    playout.clear()
    playout.push(chunk("a", FRAME_BYTES))
    playout.push(chunk("b", FRAME_BYTES, fill=b"b"))
    assert playout.pull() == b"b" * FRAME_BYTES
    assert playout.dropped_bytes == FRAME_BYTES


def test_beyond_the_limit_a_response_is_cut_short_once_and_loudly() -> None:
    playout = Playout(limit_ms=40)
    playout.push(chunk("a", 2 * FRAME_BYTES))
    with pytest.raises(LimitExceededError, match="the rest of a is dropped"):
        playout.push(chunk("a", 2))
    playout.push(chunk("a", 2))
    assert playout.dropped_bytes == 4
    playout.pull()
    playout.pull()
    assert playout.pull() is None
    assert playout.events == [started("a"), stopped("a")]
    playout.push(chunk("b", FRAME_BYTES))
    assert playout.pull() is not None


def test_only_the_newest_items_are_remembered() -> None:
    playout = Playout()
    for index in range(MAX_ITEMS + 1):
        playout.push(chunk("r", FRAME_BYTES, item=f"item_{index}"))
        playout.pull()
    assert playout.sent_ms("item_0") == 0
    assert playout.sent_ms("item_1") == 20
    assert playout.sent_ms(f"item_{MAX_ITEMS}") == 20


def test_a_shortened_frame_is_made_of_up_to_a_frame_and_a_half_and_all_of_it_counts_as_sent() -> None:
    playout = Playout()
    playout.push(chunk("r", 4 * FRAME_BYTES, fill=b"\0"))
    assert playout.pull_shortened(10) == (bytes(FRAME_BYTES), 0), "a response does not begin in a hurry"
    assert playout.pull_shortened(10) == (bytes(FRAME_BYTES), FRAME_BYTES // 2)
    assert playout.sent_ms("item_1") == 50
    assert playout.pull_shortened(10) == (bytes(FRAME_BYTES), FRAME_BYTES // 2)
    assert playout.pull_shortened(10) == (None, 0)
    assert playout.queued_ms == 0


def test_a_shortened_voice_keeps_its_pitch() -> None:
    playout = Playout()
    time_axis = np.arange(24_000) / 24_000
    playout.push(AudioChunk("r", "i", 0, 0, (8_000 * np.sin(2 * np.pi * 200 * time_axis)).astype("<i2").tobytes()))
    frames = [playout.pull()] + [playout.pull_shortened(10)[0] for _ in range(30)]
    heard = np.frombuffer(b"".join(frame for frame in frames if frame), "<i2").astype(float)
    loudest = np.argmax(np.abs(np.fft.rfft(heard * np.hanning(len(heard))))) * 24_000 / len(heard)
    assert abs(loudest - 200) < 3
    assert np.abs(np.diff(heard)).max() < 1.3 * 8_000 * 2 * np.pi * 200 / 24_000, "and has no clicks"


class PlayoutMachine(RuleBasedStateMachine):
    """A model of the queue that does everything the slow and obvious way."""

    LIMIT = 6 * FRAME_BYTES

    @initialize()
    def empty(self) -> None:
        self.playout = Playout(limit_ms=self.LIMIT // 48)
        self.waiting: list[tuple[str, str, int]] = []  # response, item, byte; one entry a byte
        self.order: list[str] = []  # responses, as they will be heard
        self.ended: set[str] = set()
        self.closed: set[str] = set()
        self.audible: str | None = None
        self.sent: Counter[str] = Counter()
        self.events: list[tuple[str, str]] = []
        self.next_byte = 0

    @rule(
        response=st.sampled_from("abc"), item=st.sampled_from("12"), size=st.sampled_from([1, 7, 480, 960, 961, 2500])
    )
    def push(self, response: str, item: str, size: int) -> None:
        data = bytes((self.next_byte + index) % 256 for index in range(size))
        name = f"{response}{item}"
        fits = len(self.waiting) + size <= self.LIMIT
        audio = AudioChunk(response, name, 0, 0, data)
        if response in self.closed:
            self.playout.push(audio)
            return
        if response not in self.order:
            self.order.append(response)
        self.ended.discard(response)
        if not fits:
            self.closed.add(response)
            self.ended.add(response)
            with pytest.raises(LimitExceededError):
                self.playout.push(audio)
            return
        self.playout.push(audio)
        self.next_byte += size
        self.waiting += [(response, name, byte) for byte in data]

    @rule(response=st.sampled_from("abc"))
    def end(self, response: str) -> None:
        self.playout.end(response)
        if response in self.order:
            self.ended.add(response)
            if response == self.order[0] and not any(entry[0] == response for entry in self.waiting):
                self.stop()

    @rule()
    def pull(self) -> None:
        frame = self.playout.pull()
        expected = self.expected_frame()
        assert frame == expected

    @rule(most_ms=st.integers(0, 20))
    def pull_shortened(self, most_ms: int) -> None:
        mine = [entry for entry in self.waiting if self.order and entry[0] == self.order[0]]
        frame, taken = self.playout.pull_shortened(most_ms)
        length = FRAME_BYTES + most_ms * 48
        if self.audible is None or len(mine) < length:
            assert (frame, taken) == (self.expected_frame(), 0)
            return
        shorter = shorten(bytes(entry[2] for entry in mine[:length]), most_ms * 24)
        assert (frame, taken) == (shorter[:FRAME_BYTES], length - len(shorter))
        response, used = mine[0][0], FRAME_BYTES + taken
        self.waiting = mine[used:] + [entry for entry in self.waiting if entry[0] != response]
        self.sent.update(entry[1] for entry in mine[:used])
        if response in self.ended and len(mine) == used:
            self.stop()

    def expected_frame(self) -> bytes | None:
        while self.order:
            response = self.order[0]
            mine = [entry for entry in self.waiting if entry[0] == response]
            if len(mine) < FRAME_BYTES and response not in self.ended and len(self.order) == 1:
                return None
            if not mine:
                self.stop()
                continue
            taken = mine[:FRAME_BYTES]
            rest = iter(mine[FRAME_BYTES:])
            self.waiting = [entry for entry in self.waiting if entry[0] != response] + list(rest)
            self.sent.update(entry[1] for entry in taken)
            if self.audible != response:
                self.audible = response
                self.events.append(("started", response))
            if response in self.ended and len(mine) <= FRAME_BYTES:
                self.stop()
            return bytes(entry[2] for entry in taken).ljust(FRAME_BYTES, b"\0")
        return None

    def stop(self) -> None:
        response = self.order.pop(0)
        self.ended.discard(response)
        if self.audible == response:
            self.events.append(("stopped", response))
        self.audible = None

    @precondition(lambda self: self.order)
    @rule()
    def clear(self) -> None:
        assert self.playout.clear() == self.audible
        self.closed.update(self.order)
        self.order.clear()
        self.ended.clear()
        self.waiting.clear()
        self.audible = None

    @rule()
    def fresh_names(self) -> None:
        """The model goes on with responses of other names; forgets who was closed."""
        if self.order:
            return
        self.empty()

    @invariant()
    def accounts_agree(self) -> None:
        for item in (f"{response}{number}" for response in "abc" for number in "12"):
            assert self.playout.sent_ms(item) == self.sent[item] // 48
        assert [(event.kind, event.response_id) for event in self.playout.events] == self.events
        assert self.playout.queued_ms == len(self.waiting) // 48
        assert self.playout.audible == self.audible


PlayoutMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPlayoutMachine = PlayoutMachine.TestCase
