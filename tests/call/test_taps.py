"""Taps that come and go, also while they are being told something."""

from __future__ import annotations

import pytest
from tests.call.helpers import Follower

from perhop.call.legs import EndReason
from perhop.call.taps import Taps
from perhop.errors import LimitExceededError
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import InputAudioBufferCleared, ServerEvent

EVENT = InputAudioBufferCleared(event_id="event_1")
AUDIO = AudioChunk("resp_1", "item_1", 0, 0, bytes(960))


class Leaving(Follower):
    """Leaves, and takes another along, as soon as it is told something."""

    def __init__(self, taps: Taps, *others: Follower) -> None:
        super().__init__()
        self._taps = taps
        self._others = others

    def on_event(self, event: ServerEvent) -> None:
        super().on_event(event)
        for tap in (self, *self._others):
            self._taps.remove(tap)


def test_leaving_in_the_middle_disturbs_nobody() -> None:
    taps = Taps()
    first, last = Follower(), Follower()
    leaving = Leaving(taps, first)
    for tap in (first, leaving, last):
        taps.add(tap, audio=True)
    taps.event(EVENT)
    taps.event(EVENT)
    taps.audio(AUDIO)
    assert [len(tap.received) for tap in (first, leaving, last)] == [1, 1, 2]
    assert [len(tap.heard) for tap in (first, leaving, last)] == [0, 0, 1]
    assert len(taps) == 1


def test_the_end_is_told_once_and_everybody_is_let_go() -> None:
    taps = Taps()
    tap = Follower()
    taps.add(tap, audio=False)
    taps.ended(EndReason.SHUTDOWN)
    taps.ended(EndReason.API_HANGUP)
    taps.event(EVENT)
    assert (tap.ended, tap.received, len(taps)) == ([EndReason.SHUTDOWN], [], 0)


def test_there_is_a_limit_and_who_leaves_makes_room() -> None:
    taps = Taps(limit=2)
    one, two, three = Follower(), Follower(), Follower()
    taps.add(one, audio=False)
    taps.add(two, audio=True)
    with pytest.raises(LimitExceededError):
        taps.add(three, audio=True)
    taps.audio(AUDIO)
    assert three.heard == []
    taps.remove(one)
    taps.add(three, audio=False)
    taps.event(EVENT)
    assert [len(tap.received) for tap in (one, two, three)] == [0, 1, 1]
