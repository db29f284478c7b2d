"""What a successor has to be told: nothing that is settled, everything that is not."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perhop.call.line.journal import MAX_EVENTS, Journal
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorDetail,
    ErrorEvent,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.items import ContentPart, MessageItem

FRAME = 960


def journal(*, keep: bool = True, tail_s: float = 0.2, max_s: float = 10.0) -> Journal:
    return Journal(keep=keep, tail_s=tail_s, max_s=max_s)


def frames(kept: Journal) -> list[int]:
    """Which frames are kept, when each was filled with its own number."""
    audio = b"".join(entry[1] for entry in kept.replay() if isinstance(entry, tuple))
    return [audio[at] for at in range(0, len(audio), FRAME)]


def events(kept: Journal) -> list[ClientEvent]:
    return [entry for entry in kept.replay() if not isinstance(entry, tuple)]


def hear(kept: Journal, first: int, last: int) -> None:
    for number in range(first, last):
        kept.heard(bytes([number]) * FRAME)


def item(name: str) -> MessageItem:
    return MessageItem(id=name, role="user", content=[ContentPart(type="input_text", text="hi")])


def added(name: str) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", item=item(name))


def test_silence_is_kept_as_far_as_speech_may_still_be_found_in_it() -> None:
    kept = journal(tail_s=0.1)
    hear(kept, 0, 50)
    assert frames(kept) == [45, 46, 47, 48, 49]
    assert kept.first_audio == 45 * FRAME


def test_speech_is_kept_from_its_beginning_until_the_conversation_has_it() -> None:
    kept = journal(tail_s=0.1)
    hear(kept, 0, 10)
    kept.speech_started(8 * FRAME)
    hear(kept, 10, 40)
    kept.speech_stopped(35 * FRAME)
    kept.observe(InputAudioBufferCommitted(event_id="e", item_id="u"))
    assert frames(kept) == list(range(8, 40)), "committed is not yet in the conversation"
    kept.observe(added("u"))
    assert frames(kept) == list(range(35, 40))
    assert len(kept.take_spoken()) == 27 * FRAME
    assert kept.take_spoken() == b""
    assert not kept.busy


def test_without_turn_detection_everything_waits_for_the_commit() -> None:
    kept = journal(tail_s=0.1)
    kept.manual(True)
    hear(kept, 0, 20)
    assert kept.busy
    kept.told(InputAudioBufferCommit(event_id="c"))
    hear(kept, 20, 25)
    kept.observe(InputAudioBufferCommitted(event_id="e", item_id="u"))
    kept.observe(added("u"))
    assert frames(kept) == list(range(20, 25))
    assert len(kept.take_spoken()) == 20 * FRAME


def test_a_turn_that_was_ended_by_hand_is_kept_when_its_caller_is_lost() -> None:
    kept = journal()
    kept.manual(True)
    hear(kept, 0, 3)
    kept.told(InputAudioBufferCommit(event_id="c"))
    hear(kept, 3, 5)
    kept.clear_audio()
    assert frames(kept) == [0, 1, 2], "what was not ended is over"
    assert [event.event_id for event in events(kept)] == ["c"]
    hear(kept, 5, 6)
    kept.observe(InputAudioBufferCommitted(event_id="e", item_id="item_1"))
    kept.observe(added("item_1"))
    assert kept.take_spoken() == b"".join(bytes([number]) * FRAME for number in range(3))
    assert frames(kept) == [5]
    assert not events(kept)


def test_a_gap_is_kept_whole_up_to_the_limit() -> None:
    kept = journal(tail_s=0.1, max_s=0.4)
    kept.gap(True)
    hear(kept, 0, 10)
    assert frames(kept) == list(range(10))
    hear(kept, 10, 30)
    assert frames(kept) == list(range(10, 30))
    assert kept.take_lost_ms() == 200
    assert kept.take_lost_ms() == 0, "told once"


def test_what_was_heard_is_not_lost_however_long_it_was() -> None:
    kept = journal(tail_s=0.1, max_s=0.4)
    kept.speech_started(0)
    hear(kept, 0, 60)
    kept.speech_stopped(55 * FRAME)
    kept.observe(InputAudioBufferCommitted(event_id="e", item_id="u"))
    kept.observe(added("u"))
    kept.gap(True)
    assert kept.take_lost_ms() == 0


def test_nothing_is_kept_of_a_model_that_cannot_be_lost() -> None:
    kept = journal(keep=False)
    hear(kept, 0, 10)
    assert frames(kept) == []
    assert kept.position == 10 * FRAME


def test_an_event_waits_for_its_answer() -> None:
    kept = journal()
    create = ConversationItemCreate(event_id="1", item=item("a"))
    update = SessionUpdate(event_id="2", session={"type": "realtime"})
    aside = ResponseCreate(event_id="3", response=ResponseParams(conversation="none"))
    for event in (create, update, aside):
        kept.told(event)
    assert kept.observe(added("b")) is None
    assert kept.observe(added("a")) is create
    assert kept.observe(SessionUpdated(event_id="e", session={})) is update
    refused = ErrorEvent(event_id="e", error=ErrorDetail(type="x", message="no", event_id="3"))
    assert kept.observe(refused) is aside
    assert events(kept) == []


def test_what_nobody_answers_is_not_told_again() -> None:
    kept = journal()
    kept.told(ResponseCancel(event_id="1"))
    kept.told(ResponseCreate(event_id="2"))  # the coordinator asks again
    assert events(kept) == []


def test_events_and_audio_keep_their_order() -> None:
    kept = journal()
    kept.manual(True)
    hear(kept, 0, 2)
    kept.told(InputAudioBufferCommit(event_id="c"))
    hear(kept, 2, 3)
    assert [type(entry).__name__ for entry in kept.replay()] == ["tuple", "tuple", "InputAudioBufferCommit", "tuple"]


def test_unanswered_events_are_bounded() -> None:
    kept = journal()
    for number in range(MAX_EVENTS + 3):
        kept.told(ConversationItemCreate(event_id=str(number), item=item(f"i{number}")))
    assert len(events(kept)) == MAX_EVENTS
    assert events(kept)[0].event_id == "3"


def test_in_a_gap_nothing_is_forgotten_for_nobody_has_got_it_yet() -> None:
    kept = journal()
    kept.gap(True)
    for number in range(MAX_EVENTS + 3):
        kept.told(ConversationItemCreate(event_id=str(number), item=item(f"i{number}")))
    assert len(events(kept)) == MAX_EVENTS + 3, "what clients may add is limited before"


class Bookkeeping(RuleBasedStateMachine):
    """Whatever happens, what is kept is one unbroken stretch up to now, and never what was settled."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = journal(tail_s=0.1, max_s=0.5)
        self.number = 0
        self.settled = 0
        self.speaking = False

    @rule(count=st.integers(1, 40))
    def audio(self, count: int) -> None:
        for _ in range(count):
            self.kept.heard(bytes([self.number % 256]) * FRAME)
            self.number += 1

    @rule(back=st.integers(0, 10))
    def speech_starts(self, back: int) -> None:
        self.kept.speech_started(max(0, self.number - back) * FRAME)
        self.speaking = True

    @precondition(lambda self: self.speaking)
    @rule(back=st.integers(0, 5))
    def speech_is_committed(self, back: int) -> None:
        end = max(self.settled, self.number - back)
        self.kept.speech_stopped(end * FRAME)
        self.kept.observe(InputAudioBufferCommitted(event_id="e", item_id="u"))
        self.kept.observe(added("u"))
        self.settled, self.speaking = end, False

    @rule(gap=st.booleans())
    def session(self, gap: bool) -> None:
        self.kept.gap(gap)

    @rule(name=st.sampled_from("abc"))
    def told(self, name: str) -> None:
        self.kept.told(ConversationItemCreate(event_id=name, item=item(name)))

    @rule(name=st.sampled_from("abc"))
    def answered(self, name: str) -> None:
        self.kept.observe(added(name))

    @invariant()
    def what_is_kept_ends_now_and_has_no_hole(self) -> None:
        audio = [entry for entry in self.kept.replay() if isinstance(entry, tuple)]
        position = audio[0][0] if audio else self.kept.position
        assert position >= self.settled * FRAME
        for start, pcm in audio:
            assert start == position
            position += len(pcm)
        assert position == self.kept.position == self.number * FRAME

    @invariant()
    def no_more_is_kept_than_allowed(self) -> None:
        assert sum(len(entry[1]) for entry in self.kept.replay() if isinstance(entry, tuple)) <= 25 * FRAME


TestBookkeeping = Bookkeeping.TestCase
TestBookkeeping.settings = settings(max_examples=60, stateful_step_count=40)
