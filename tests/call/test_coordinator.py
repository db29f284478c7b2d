"""Only one party at a time asks the model for a response, and nobody's wish is lost."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from perhop.call.coordinator import (
    ALREADY_ACTIVE,
    ANSWER_DUE_S,
    DOUBT_S,
    FIRST_RETRY_S,
    MAX_TRIES,
    SILENT_RESPONSE_S,
    ResponseCoordinator,
)
from perhop.realtime.events import (
    ConversationItemAdded,
    ErrorDetail,
    ErrorEvent,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputTextDelta,
    ResponseParams,
    ServerEvent,
)
from perhop.realtime.items import FunctionCallOutputItem


def created(response_id: str, *, conversation: str | None = "conv_1") -> ResponseCreated:
    return ResponseCreated(event_id="e", response=Response(id=response_id, conversation_id=conversation))


def done(response_id: str, status: str | None = None) -> ResponseDone:
    return ResponseDone(event_id="e", response=Response(id=response_id, status=status))


def refused(event_id: str | None, code: str = ALREADY_ACTIVE) -> ErrorEvent:
    detail = ErrorDetail(type="invalid_request_error", code=code, message="no", param=None, event_id=event_id)
    return ErrorEvent(event_id="e", error=detail)


def added(item_id: str) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", item=FunctionCallOutputItem(id=item_id, call_id="call_1", output="{}"))


def speech_started() -> InputAudioBufferSpeechStarted:
    return InputAudioBufferSpeechStarted(event_id="e", audio_start_ms=0, item_id="u")


def speech_stopped() -> InputAudioBufferSpeechStopped:
    return InputAudioBufferSpeechStopped(event_id="e", audio_end_ms=900, item_id="u")


def test_a_callers_request_goes_out_at_once_and_untouched() -> None:
    coordinator = ResponseCoordinator()
    request = ResponseCreate(event_id="mine")
    assert coordinator.from_client(request, 0.0) == [request]


def test_a_request_without_an_id_gets_one_so_that_its_refusal_can_be_recognised() -> None:
    [sent] = ResponseCoordinator().from_client(ResponseCreate(), 0.0)
    assert sent.event_id


def test_a_caller_who_asks_while_the_model_answers_by_itself_is_served_afterwards() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(created("r1"), 0.0)
    assert coordinator.from_client(ResponseCreate(event_id="mine"), 0.1) == []
    sent, _ = coordinator.observe(done("r1"), 0.2)
    assert [event.event_id for event in sent] == ["mine"]


def test_a_caller_who_asks_twice_hears_of_it_from_the_model() -> None:
    coordinator = ResponseCoordinator()
    coordinator.from_client(ResponseCreate(event_id="one"), 0.0)
    coordinator.observe(created("r1"), 0.0)
    assert [e.event_id for e in coordinator.from_client(ResponseCreate(event_id="two"), 0.1)] == ["two"]
    assert coordinator.observe(refused("two"), 0.2) == ([], True)
    assert coordinator.observe(done("r1"), 0.3) == ([], True)


def test_a_collision_on_the_way_is_hidden_and_made_good() -> None:
    coordinator = ResponseCoordinator()
    coordinator.from_client(ResponseCreate(event_id="mine"), 0.0)
    coordinator.observe(created("the-model's-own"), 0.1)
    assert coordinator.observe(refused("mine"), 0.1) == ([], False)
    sent, _ = coordinator.observe(done("the-model's-own"), 0.2)
    assert [event.event_id for event in sent] == ["mine"]


def test_other_errors_about_a_callers_request_reach_the_caller() -> None:
    coordinator = ResponseCoordinator()
    coordinator.from_client(ResponseCreate(event_id="mine"), 0.0)
    assert coordinator.observe(refused("mine", "invalid_value"), 0.1) == ([], True)
    assert coordinator.from_client(ResponseCreate(event_id="next"), 0.2)


def test_tools_ask_once_for_all_their_outputs() -> None:
    coordinator = ResponseCoordinator()
    assert len(coordinator.for_tools(["o1", "o2"], 0.0)) == 1


def test_tools_wait_for_the_end_of_the_response_that_called_them() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(created("r1"), 0.0)
    assert coordinator.for_tools(["o1"], 0.1) == []
    assert len(coordinator.observe(done("r1"), 0.2)[0]) == 1


def test_tools_do_not_talk_into_the_caller() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(speech_started(), 0.0)
    assert coordinator.for_tools(["o1"], 0.1) == []
    coordinator.observe(added("o1"), 0.1)
    assert coordinator.observe(speech_stopped(), 0.5) == ([], True)
    # The model's own answer to the caller's words has seen the output: nobody needs to ask again.
    coordinator.observe(created("auto"), 0.6)
    assert coordinator.observe(done("auto"), 1.0) == ([], True)


def test_an_output_that_the_automatic_answer_has_not_seen_gets_its_own() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(created("auto"), 0.0)
    coordinator.for_tools(["o1"], 0.1)
    coordinator.observe(added("o1"), 0.2)
    assert len(coordinator.observe(done("auto"), 0.3)[0]) == 1


def test_speech_that_comes_to_nothing_lets_the_tools_ask() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(speech_started(), 0.0)
    coordinator.for_tools(["o1"], 0.1)
    assert len(coordinator.observe(InputAudioBufferCleared(event_id="e"), 0.2)[0]) == 1


def test_an_automatic_answer_that_never_comes_does_not_hold_up_the_others() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(speech_started(), 0.0)
    coordinator.for_tools(["o1"], 0.1)
    coordinator.observe(speech_stopped(), 0.5)
    deadline = coordinator.next_deadline()
    assert deadline is not None
    assert coordinator.on_timer(deadline - 0.1) == []
    assert len(coordinator.on_timer(deadline)) == 1


def test_without_automatic_answers_tools_ask_as_soon_as_the_turn_is_over() -> None:
    coordinator = ResponseCoordinator(automatic=False)
    coordinator.observe(speech_started(), 0.0)
    assert len(coordinator.for_tools(["o1"], 0.1)) == 1


def test_responses_outside_the_conversation_are_nobodys_business() -> None:
    coordinator = ResponseCoordinator()
    aside = ResponseCreate(response=ResponseParams(conversation="none"))
    coordinator.observe(created("r1"), 0.0)
    assert coordinator.from_client(aside, 0.0) == [aside]
    coordinator.observe(created("aside", conversation=None), 0.1)
    assert coordinator.live_response_id == "r1"
    coordinator.observe(done("aside"), 0.2)
    assert coordinator.live_response_id == "r1"


def test_a_model_that_refuses_for_ever_is_not_asked_for_ever() -> None:
    coordinator = ResponseCoordinator()
    sent = coordinator.from_client(ResponseCreate(event_id="mine"), 0.0)
    shown = []
    while sent:
        sent, show = coordinator.observe(refused("mine"), 0.1)
        shown.append(show)
    assert shown == [False] * (MAX_TRIES - 1) + [True]


def test_a_request_that_collides_with_one_answer_after_another_is_served_in_the_end() -> None:
    coordinator = ResponseCoordinator()
    sent = coordinator.from_client(ResponseCreate(event_id="mine"), 0.0)
    for turn in range(2 * MAX_TRIES):
        assert [event.event_id for event in sent] == ["mine"]
        coordinator.observe(created(f"the-model's-own-{turn}"), float(turn))
        assert coordinator.observe(refused("mine"), float(turn)) == ([], False)
        sent, _ = coordinator.observe(done(f"the-model's-own-{turn}"), float(turn))
    assert [event.event_id for event in sent] == ["mine"]


@dataclass
class Model:
    """A model with the rule that makes races: one response at a time, and its own after each spoken turn."""

    live: str | None = None
    count: int = 0
    inbox: deque[ResponseCreate | str] = field(default_factory=deque)
    outbox: deque[ServerEvent] = field(default_factory=deque)
    answered: set[str] = field(default_factory=set)
    items: set[str] = field(default_factory=set)

    def work(self) -> None:
        """Takes one thing from its inbox."""
        entry = self.inbox.popleft()
        if isinstance(entry, str):
            self.items.add(entry)
            self.outbox.append(added(entry))
        elif self.live is not None:
            self.outbox.append(refused(entry.event_id))
        else:
            self.begin()

    def begin(self) -> None:
        self.count += 1
        self.live = f"r{self.count}"
        self.answered |= self.items
        self.outbox.append(created(self.live))

    def finish(self) -> None:
        assert self.live is not None
        self.outbox.append(done(self.live))
        self.live = None

    def hear(self) -> None:
        """The caller talks: whatever is being said stops, and an answer to the turn begins."""
        self.outbox.append(speech_started())
        if self.live:
            self.finish()
        self.outbox.append(speech_stopped())
        self.outbox.append(InputAudioBufferCommitted(event_id="e", item_id="u", previous_item_id=None))
        self.begin()


def read(coordinator: ResponseCoordinator, model: Model, now: float) -> None:
    """The coordinator takes in the model's next event; a collision must not be shown."""
    event = model.outbox.popleft()
    events, show = coordinator.observe(event, now)
    assert show != isinstance(event, ErrorEvent), f"the caller saw {event}" if show else f"{event} was hidden"
    model.inbox.extend(events)


@pytest.mark.parametrize("block", range(10))
def test_in_a_thousand_races_of_speech_against_tool_results_no_caller_sees_a_collision(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        rng = random.Random(seed)
        coordinator, model = ResponseCoordinator(), Model()
        outputs = 0
        now = 0.0
        for _ in range(60):
            now += 0.05
            step = rng.choice(["hear", "tool", "work", "work", "read", "read", "read", "finish", "ask"])
            if step == "hear" and rng.random() < 0.4:
                model.hear()
            elif step == "tool" and outputs < 5:
                outputs += 1
                model.inbox.append(f"o{outputs}")
                model.inbox.extend(coordinator.for_tools([f"o{outputs}"], now))
            elif step == "ask" and not coordinator._asked_by_clients():
                model.inbox.extend(coordinator.from_client(ResponseCreate(event_id=f"ask{now}"), now))
            elif step == "work" and model.inbox:
                model.work()
            elif step == "read" and model.outbox:
                read(coordinator, model, now)
            elif step == "finish" and model.live and rng.random() < 0.5:
                model.finish()
        for _ in range(200):
            now += 0.5
            if model.inbox:
                model.work()
            elif model.outbox:
                read(coordinator, model, now)
            elif model.live:
                model.finish()
            else:
                model.inbox.extend(coordinator.on_timer(now))
        assert model.answered == {f"o{n + 1}" for n in range(outputs)}, f"seed {seed}: an output went unanswered"
        assert not coordinator._waiting


def test_a_session_heard_again_is_asked_again_for_what_it_had_not_begun() -> None:
    coordinator = ResponseCoordinator()
    [asked] = coordinator.from_client(ResponseCreate(), 0.0)
    assert [event.event_id for event in coordinator.rejoined(5.0, answered=False)] == [asked.event_id]


def test_a_session_that_has_answered_unheard_is_not_asked_again() -> None:
    coordinator = ResponseCoordinator()
    coordinator.from_client(ResponseCreate(), 0.0)
    assert coordinator.rejoined(5.0, answered=True) == []
    assert len(coordinator.from_client(ResponseCreate(), 6.0)) == 1, "and the next one goes out"


def test_speech_whose_end_was_not_heard_holds_nobody_up() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(speech_started(), 0.0)
    assert coordinator.for_tools(["item_1"], 1.0) == []
    assert len(coordinator.rejoined(2.0, answered=False)) == 1


def test_a_refused_request_out_of_band_is_not_waited_for() -> None:
    coordinator = ResponseCoordinator()
    aside = ResponseCreate(event_id="aside", response=ResponseParams(conversation="none"))
    coordinator.from_client(aside, 0.0)
    assert coordinator.observe(refused("aside", "invalid_value"), 0.1) == ([], True)
    # Some models do not say which conversation a response belongs to.
    coordinator.observe(ResponseCreated(event_id="e", response=Response(id="r1")), 0.2)
    assert coordinator.live_response_id == "r1"


def own(coordinator: ResponseCoordinator, event_id: str = "own", now: float = 0.0) -> list[str | None]:
    return [event.event_id for event in coordinator.for_perhop(ResponseCreate(event_id=event_id), now)]


def later(coordinator: ResponseCoordinator) -> tuple[float, list[str | None]]:
    """Waits for the coordinator's next moment: when that is, and what it sends then."""
    moment = coordinator.next_deadline()
    assert moment is not None
    return moment, [event.event_id for event in coordinator.on_timer(moment)]


def test_what_perhop_has_to_say_waits_for_what_it_is_saying() -> None:
    coordinator = ResponseCoordinator()
    assert own(coordinator, "greeting") == ["greeting"]
    coordinator.observe(created("r1"), 0.1)
    assert own(coordinator, "warning", 0.2) == []
    sent, _ = coordinator.observe(done("r1"), 0.3)
    assert [event.event_id for event in sent] == ["warning"]


def test_an_error_in_place_of_the_greeting_and_it_is_asked_for_again() -> None:
    coordinator = ResponseCoordinator()
    own(coordinator)
    assert coordinator.observe(refused(None, "server_error"), 1.0) == ([], True)
    assert later(coordinator) == (1.0 + DOUBT_S, [])
    assert later(coordinator) == (1.0 + DOUBT_S + FIRST_RETRY_S, ["own"])


def test_an_error_beside_a_greeting_that_comes_changes_nothing() -> None:
    coordinator = ResponseCoordinator()
    own(coordinator)
    for _ in range(20):
        coordinator.observe(refused(None, "server_error"), 0.5)
    coordinator.observe(created("r1"), 1.0)
    assert coordinator.observe(done("r1"), 2.0) == ([], True)
    assert coordinator.next_deadline() is None


def test_a_request_of_the_tools_that_the_model_fails_is_made_again_later_each_time_and_not_for_ever() -> None:
    coordinator = ResponseCoordinator()
    [asked] = coordinator.for_tools(["out"], 0.0)
    coordinator.observe(added("out"), 0.0)
    now, waits = 0.0, []
    while True:
        assert coordinator.observe(refused(asked.event_id, "rate_limit_exceeded"), now) == ([], False)
        if coordinator.next_deadline() is None:
            break
        moment, again = later(coordinator)
        assert again == [asked.event_id]
        waits.append(moment - now)
        now = moment
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_request_the_model_ignores_does_not_hold_up_the_next_one_for_ever() -> None:
    coordinator = ResponseCoordinator()
    coordinator.from_client(ResponseCreate(event_id="mine"), 0.0, client="a")
    assert coordinator.for_tools(["out"], 1.0) == []
    moment, sent = later(coordinator)
    assert (moment, len(sent)) == (ANSWER_DUE_S, 1)
    assert not [event for event in sent if event == "mine"], "a client repeats what it wants repeated"


def test_a_response_that_never_ends_does_not_hold_up_the_next_one_for_ever() -> None:
    coordinator = ResponseCoordinator()
    coordinator.observe(created("r1"), 0.0)
    assert coordinator.from_client(ResponseCreate(event_id="mine"), 1.0) == []
    word = ResponseOutputTextDelta(
        event_id="e", response_id="r1", item_id="i", output_index=0, content_index=0, delta="w"
    )
    coordinator.observe(word, 20.0)
    assert coordinator.on_timer(SILENT_RESPONSE_S) == [], "it is still heard of"
    assert later(coordinator) == (20.0 + SILENT_RESPONSE_S, ["mine"])


def test_nothing_is_given_up_while_there_is_no_session() -> None:
    coordinator = ResponseCoordinator()
    own(coordinator)
    coordinator.session_lost()
    assert coordinator.on_timer(1000.0) == []
    assert [event.event_id for event in coordinator.session_replaced(1000.0, answer=True)] == ["own"]
    assert coordinator.asking


def test_what_is_asked_while_there_is_no_session_is_not_given_up_either() -> None:
    coordinator = ResponseCoordinator()
    coordinator.session_lost()
    own(coordinator)
    assert coordinator.on_timer(1000.0) == []
    assert [event.event_id for event in coordinator.session_replaced(1000.0, answer=True)] == ["own"]


def test_an_answer_to_tools_that_fails_is_asked_for_again_later_each_time_and_not_for_ever() -> None:
    coordinator = ResponseCoordinator()
    [asked] = coordinator.for_tools(["o1"], 0.0)
    coordinator.observe(added("o1"), 0.0)
    tries = 1
    for number in range(2 * MAX_TRIES):
        coordinator.observe(created(f"r{number}"), 0.0)
        assert coordinator.observe(done(f"r{number}", "failed"), 0.0) == ([], True), "not at once"
        if coordinator.next_deadline() is None:
            break
        _, sent = later(coordinator)
        assert sent == [asked.event_id]
        tries += 1
    assert tries == MAX_TRIES


@pytest.mark.parametrize("asked", [True, False], ids=["the caller asked", "automatic"])
def test_outputs_that_another_answer_saw_and_failed_on_are_asked_about(asked: bool) -> None:
    coordinator = ResponseCoordinator()
    if asked:
        coordinator.from_client(ResponseCreate(event_id="mine"), 0.0)
    coordinator.observe(created("r1"), 0.0)
    coordinator.for_tools(["o1"], 0.0)
    coordinator.observe(added("o1"), 0.0)
    coordinator.observe(speech_started(), 0.0)
    coordinator.observe(done("r1"), 0.0)
    coordinator.observe(created("r2"), 0.0)
    coordinator.observe(done("r2", "failed"), 0.0)
    coordinator.observe(speech_stopped(), 0.0)
    coordinator.observe(InputAudioBufferCleared(event_id="e"), 0.0)
    _, sent = later(coordinator)
    assert len(sent) == 1
    coordinator.observe(created("r3"), 0.0)
    coordinator.observe(done("r3", "completed"), 0.0)
    assert coordinator.next_deadline() is None


def test_an_answer_that_ends_with_its_session_has_not_failed() -> None:
    coordinator = ResponseCoordinator()
    coordinator.for_tools(["o1"], 0.0)
    coordinator.observe(added("o1"), 0.0)
    coordinator.observe(created("r1"), 0.0)
    coordinator.session_lost()
    coordinator.observe(done("r1", "failed"), 0.0)
    assert len(coordinator.session_replaced(1.0, answer=True)) == 1
    coordinator.observe(created("r2"), 1.0)
    coordinator.observe(done("r2", "completed"), 1.0)
    assert coordinator.next_deadline() is None
