"""The event channel over a channel that only remembers: what is answered, what is held, what is too much."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from perhop.edges.webrtc.channel import LABEL, EventChannel
from perhop.media.answer import MAX_MESSAGE_SIZE
from perhop.realtime.events import ClientEvent, OutputAudioBufferStarted, ResponseCreate


class FakeChannel:
    def __init__(self, label: str = LABEL, *, longest: int = 10**9) -> None:
        self.label = label
        self.is_open = True
        self.buffered = 0
        self.sent: list[dict[str, Any]] = []
        self._longest = longest

    def send(self, text: str) -> bool:
        if not self.is_open or len(text) > self._longest:
            return False
        self.sent.append(json.loads(text))
        return True

    def close(self) -> None:
        self.is_open = False


class Owner:
    def __init__(self) -> None:
        self.events: list[ClientEvent] = []
        self.told: list[str] = []

    def on_channel_ready(self) -> None:
        self.told.append("ready")

    def on_channel_event(self, event: ClientEvent) -> None:
        self.events.append(event)

    def on_channel_done(self) -> None:
        self.told.append("done")

    def on_channel_overflow(self) -> None:
        self.told.append("overflow")

    def on_channel_flood(self) -> None:
        self.told.append("flood")


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def events(owner: Owner) -> EventChannel:
    numbers = itertools.count(1)
    return EventChannel(owner, now=0.0, new_id=lambda prefix: f"{prefix}{next(numbers)}", expected=True)


@pytest.fixture
def channel(events: EventChannel) -> FakeChannel:
    fake = FakeChannel()
    events.adopt(fake)  # type: ignore[arg-type]
    return fake


def event(number: int = 1) -> OutputAudioBufferStarted:
    return OutputAudioBufferStarted(event_id=f"event_{number}", response_id="resp_1")


def test_a_well_formed_event_reaches_the_call(events: EventChannel, channel: FakeChannel, owner: Owner) -> None:
    events.receive(channel, b'{"type":"response.create","event_id":"mine"}', 0.0)  # type: ignore[arg-type]
    assert isinstance(owner.events[0], ResponseCreate)
    assert owner.events[0].event_id == "mine"
    assert owner.told == ["ready"]


@pytest.mark.parametrize(
    ("message", "code", "event_id"),
    [
        (b"nonsense", "invalid_json", None),
        (b"\xff\xfe", "invalid_json", None),
        (b"[1]", "invalid_event", None),
        (b'{"type":"no.such.event","event_id":"e7"}', "invalid_event", "e7"),
        (b'{"type":"conversation.item.delete","event_id":"e8"}', "missing_required_parameter", "e8"),
        (b'{"event_id":"e9","type":"x","pad":"' + b"x" * MAX_MESSAGE_SIZE + b'"}', "message_too_large", "e9"),
    ],
    ids=["no json", "no text", "no object", "unknown", "incomplete", "too large"],
)
def test_a_bad_message_is_answered_by_an_error_that_names_it(
    events: EventChannel, channel: FakeChannel, owner: Owner, message: bytes, code: str, event_id: str | None
) -> None:
    events.receive(channel, message, 0.0)  # type: ignore[arg-type]
    (answer,) = channel.sent
    assert answer["type"] == "error"
    assert answer["error"]["code"] == code
    assert answer["error"]["event_id"] == event_id
    assert owner.events == []
    events.receive(channel, b'{"type":"response.create"}', 0.0)  # type: ignore[arg-type]
    assert len(owner.events) == 1


def test_events_sent_before_the_channel_is_open_are_held_in_order(
    events: EventChannel, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        events.send(event(number))
    monkeypatch.setattr(owner, "on_channel_ready", lambda: events.send(event(10)))  # a call that greets at once
    fake = FakeChannel()
    events.adopt(fake)  # type: ignore[arg-type]
    events.send(event(11))
    assert [sent["event_id"] for sent in fake.sent] == [f"event_{number}" for number in range(12)]


def test_no_more_is_held_than_the_bound(events: EventChannel, owner: Owner) -> None:
    for number in range(1025):
        events.send(event(number))
    assert owner.told == ["overflow"]
    events.send(event())
    assert owner.told == ["overflow"]


def test_without_a_data_section_events_go_nowhere(owner: Owner) -> None:
    events = EventChannel(owner, now=0.0, new_id=str, expected=False)
    for number in range(5000):
        events.send(event(number))
    assert owner.told == []


def test_a_caller_that_does_not_read_is_given_up(events: EventChannel, channel: FakeChannel, owner: Owner) -> None:
    events.send(event())
    channel.buffered = 3 << 20
    events.send(event())
    events.send(event())
    assert owner.told == ["ready", "overflow"]
    assert len(channel.sent) == 2


def test_an_event_the_caller_cannot_take_is_left_out(events: EventChannel, owner: Owner) -> None:
    fake = FakeChannel(longest=10)
    events.adopt(fake)  # type: ignore[arg-type]
    events.send(event())
    assert (events.unsendable, owner.told) == (1, ["ready"])


def test_a_flood_is_told_to_slow_down_then_reported(events: EventChannel, channel: FakeChannel, owner: Owner) -> None:
    message = b'{"type":"response.create","event_id":"e1"}'
    for number in range(1300):
        events.receive(channel, message, number / 10_000)  # type: ignore[arg-type]
    assert 400 <= len(owner.events) <= 420
    (answer,) = channel.sent
    assert (answer["error"]["code"], answer["error"]["event_id"]) == ("rate_limit_exceeded", "e1")
    assert owner.told == ["ready"]
    for _ in range(300):
        events.receive(channel, message, 0.2)  # type: ignore[arg-type]
    assert owner.told == ["ready", "flood"]


def test_a_busy_but_honest_caller_is_never_refused(events: EventChannel, channel: FakeChannel, owner: Owner) -> None:
    for number in range(3000):
        events.receive(channel, b'{"type":"response.create"}', number / 90)  # type: ignore[arg-type]
    assert len(owner.events) == 3000
    assert channel.sent == []


def test_other_channels_are_closed_so_that_their_opener_notices(events: EventChannel, owner: Owner) -> None:
    other = FakeChannel("chat")
    events.adopt(other)  # type: ignore[arg-type]
    assert not other.is_open
    assert owner.told == []
    first, second = FakeChannel(), FakeChannel()
    events.adopt(first)  # type: ignore[arg-type]
    events.adopt(second)  # type: ignore[arg-type]
    assert (first.is_open, second.is_open) == (True, False)
    events.closed(second)  # type: ignore[arg-type]
    assert owner.told == ["ready"]


def test_closing_waits_for_the_channel_and_says_when_there_is_none(
    events: EventChannel, channel: FakeChannel, owner: Owner
) -> None:
    assert events.close()
    assert not channel.is_open
    events.send(event())
    assert channel.sent == []
    events.closed(channel)  # type: ignore[arg-type]
    assert owner.told == ["ready", "done"]
    assert not events.close()
