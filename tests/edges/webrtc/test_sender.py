"""The sender on a loop whose time is set by hand: what stalls of the whole process leave behind."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edges.webrtc.helpers import HandLoop, chunk

from perhop.edges.webrtc.pacer import Pacer
from perhop.edges.webrtc.sender import AudioSender
from perhop.media.playout import Playout
from perhop.realtime.audio import FRAME_MS

QUIET_S = 25
"""Enough for five of the longest stalls, at 100 ms in two seconds."""

LONGEST_MS = 200


class Speaker:
    """A model that speaks in real time to a process that stalls: what it said meanwhile comes all at once."""

    def __init__(self) -> None:
        self.loop = HandLoop()
        self.playout = Playout()
        self.sender = AudioSender(
            None,  # played to nobody, in real time all the same
            ssrc=1,
            playout=self.playout,
            pacer=Pacer(self.loop),  # type: ignore[arg-type]
            send=lambda _packet: None,
            on_played=self.playout.take_events,
        )
        self.sender.start(self.loop.now)
        self.said = 0
        self.waiting: list[int] = []
        self._began = self.loop.now

    def run(self, until: float) -> None:
        """Speaks until so many seconds after the start; notes what waits whenever a frame has come."""
        while self.said * FRAME_MS / 1000 <= until:
            due = self._began + self.said * FRAME_MS / 1000
            if due > self.loop.now:
                self.loop.run(due)
            self.said += 1
            self.sender.play(chunk(FRAME_MS), self.loop.now)
            self.waiting.append(self.playout.queued_ms)

    def stall(self, ms: int) -> None:
        """Nothing runs for so long, neither timers nor what reads the model's socket."""
        self.loop.now += ms / 1000


@given(st.lists(st.tuples(st.integers(500, 5_000), st.integers(1, LONGEST_MS)), max_size=5))
@settings(max_examples=60)
def test_whatever_stalled_the_process_its_delay_is_made_up_and_nothing_is_lost(stalls: list[tuple[int, int]]) -> None:
    speaker = Speaker()
    at = 0.0
    for after_ms, stall_ms in stalls:
        at += after_ms / 1000
        speaker.run(at)
        speaker.stall(stall_ms)
    speaker.run(at + QUIET_S)
    assert max(speaker.waiting[-100:]) <= FRAME_MS + 10  # the frame that came, and what is too little to be made up
    speaker.playout.end("resp_1")
    speaker.loop.run(speaker.loop.now + 0.1)
    assert speaker.playout.sent_ms("item_1") == speaker.said * FRAME_MS


def test_no_frame_is_sent_ahead_of_its_turn_and_few_are_made_of_more_than_their_time() -> None:
    speaker = Speaker()
    speaker.run(2.0)
    speaker.stall(100)
    speaker.run(2.15)
    sent = []
    for tick in range(1, 1_200):  # 6 s in steps of the pacer
        speaker.run(2.15 + tick * 0.005)
        speaker.loop.run(speaker.loop.now + 0.004)
        sent.append(speaker.playout.sent_ms("item_1"))
    steps = [after - before for before, after in itertools.pairwise(sent) if after > before]
    assert set(steps) <= {20, 30}
    longer = [number for number, step in enumerate(steps) if step == 30]
    assert 7 <= len(longer) <= 9
    assert min(later - earlier for earlier, later in itertools.pairwise(longer)) >= 5
