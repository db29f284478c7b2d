"""Silence while speech is owed: that it is seen where there is some, and that no renewal leaves any."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from tests.call.line.conversations import Conversation
from tests.call.line.owed import Gap, Listening
from tests.virtual_time import run_virtual

from perhop.call.call import Call
from perhop.call.line import LinePolicy
from perhop.call.line.policy import Takeover
from perhop.call.observer import CallObserver
from perhop.media.playout import Playout
from perhop.realtime.audio import BYTES_PER_MS, AudioChunk
from perhop.realtime.events import (
    InputAudioBufferSpeechStarted,
    OutputAudioBufferStarted,
    Response,
    ResponseDone,
    ResponseFailure,
    StatusDetails,
)

MOST_MS = 40


class Starved(Playout):
    """A playout whose pulls bring nothing for a while, whatever waits."""

    __slots__ = ("starving",)

    def __init__(self) -> None:
        super().__init__()
        self.starving = 0

    def pull(self) -> bytes | None:
        if self.starving:
            self.starving -= 1
            return None
        return super().pull()


class Agent:
    """The call, as far as its caller hears it."""

    def __init__(self) -> None:
        self.caller = Listening()
        self.caller.playout = self.playout = Starved()
        self.caller.attach(self)  # type: ignore[arg-type]

    def say(self, response_id: str, ms: int) -> None:
        self.caller.play(AudioChunk(response_id, f"item_{response_id}", 0, 0, bytes(ms * BYTES_PER_MS)))

    def done(self, response_id: str, *, cut_off: bool = False) -> None:
        failure = ResponseFailure(type="server_error", code="model_session_lost", message="")
        details = StatusDetails(type="failed", error=failure) if cut_off else None
        self.caller.send(ResponseDone(event_id="e", response=Response(id=response_id, status_details=details)))
        self.caller.end_audio(response_id)

    def on_playout_started(self, response_id: str) -> None:
        self.caller.send(OutputAudioBufferStarted(event_id="e", response_id=response_id))

    def on_playout_stopped(self, response_id: str) -> None: ...


def test_a_playout_that_brings_nothing_while_audio_waits_is_a_gap() -> None:
    agent = Agent()
    agent.say("a", 1_000)
    agent.done("a")
    agent.caller.tick(10)
    gap = agent.caller.taken_over()
    agent.playout.starving = 10
    agent.caller.tick(100)
    assert (gap.ms, gap.cut_off, gap.open) == (200, False, False)


def test_silence_after_a_response_that_was_given_to_its_end_is_none() -> None:
    agent = Agent()
    agent.say("a", 400)
    agent.done("a")
    agent.caller.tick(10)
    gap = agent.caller.taken_over()
    agent.caller.tick(100)
    agent.say("b", 400)
    agent.caller.tick(20)
    assert (gap.ms, gap.cut_off, gap.open) == (0, False, False)


def test_silence_after_a_response_that_was_cut_off_is_a_gap_however_long() -> None:
    agent = Agent()
    agent.say("a", 400)
    agent.caller.tick(10)
    agent.done("a", cut_off=True)
    gap = agent.caller.taken_over()
    agent.caller.tick(10 + 100)
    assert (gap.ms, gap.open) == (2_000, True)
    agent.say("b", 400)
    agent.caller.tick(100)
    assert (gap.ms, gap.cut_off, gap.open) == (2_000, True, False)


def test_an_answer_that_joins_on_leaves_none() -> None:
    agent = Agent()
    agent.say("a", 400)
    agent.caller.tick(10)
    agent.done("a", cut_off=True)
    gap = agent.caller.taken_over()
    agent.caller.tick(10)
    agent.say("b", 400)
    agent.caller.tick(100)
    assert (gap.ms, gap.cut_off, gap.open) == (0, True, False)


def test_a_gap_begins_with_the_loss_and_not_with_what_makes_up_for_it() -> None:
    agent = Agent()
    agent.say("a", 100)
    agent.done("a", cut_off=True)
    agent.caller.tick(5 + 10)
    gap = agent.caller.taken_over()
    agent.caller.tick(5)
    agent.say("b", 100)
    agent.caller.tick(1)
    assert gap.ms == 300


def test_who_interrupts_is_owed_nothing() -> None:
    agent = Agent()
    agent.say("a", 100)
    agent.done("a", cut_off=True)
    gap = agent.caller.taken_over()
    agent.caller.tick(5)
    agent.caller.send(InputAudioBufferSpeechStarted(event_id="e", audio_start_ms=0, item_id="i"))
    agent.caller.clear()
    agent.caller.tick(100)
    assert (gap.ms, gap.open) == (0, False)


@dataclass
class Renewals(CallObserver):
    """What each renewal cost the caller."""

    caller: Listening = field(default_factory=Listening)
    gaps: list[Gap] = field(default_factory=list)

    def renewed(self, call: Call, *, forced: bool, gap_s: float) -> None:
        self.gaps.append(self.caller.taken_over())


def renewals(count: int) -> list[Gap]:
    """Gaps of conversations whose sessions leave hardly any time to wait for a quiet moment."""
    gaps = []
    for seed in range(count):
        rng, watched = random.Random(seed), Renewals()
        policy = LinePolicy(lead_s=0.25, rng=rng)
        conversation = Conversation(
            seed, cap_s=rng.uniform(4.0, 9.0), policy=policy, observer=watched, caller=watched.caller
        )
        outcome = run_virtual(conversation.run())
        assert not outcome.wrong, f"seed {seed}: {outcome.wrong}"
        gaps += watched.gaps
    return gaps


def test_no_renewal_is_heard_whatever_goes_on(count: int) -> None:
    gaps = renewals(count)
    assert len(gaps) > 5 * count
    audible = sorted((gap.ms for gap in gaps if gap.ms > MOST_MS), reverse=True)
    assert len(audible) <= len(gaps) // 100, f"more than one in a hundred: {audible}"


def test_one_that_waits_for_nothing_would_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(_: LinePolicy, life_s: float) -> Takeover:
        return Takeover(life_s * 0.9 - 0.25, life_s * 0.9, life_s * 0.9)

    monkeypatch.setattr(LinePolicy, "takeover", at_once)
    assert max(gap.ms for gap in renewals(12)) > MOST_MS
