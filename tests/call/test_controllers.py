"""A call with more than one client: who hears what, who may say what, and whose errors are whose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.call.helpers import Follower, PuppetModel, Table
from tests.virtual_time import run_virtual

from perhop.call.agents import Agent
from perhop.call.legs import EndReason
from perhop.call.taps import MAX_TAPS
from perhop.errors import LimitExceededError
from perhop.realtime.effects import StartResponse
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ErrorDetail,
    ErrorEvent,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from perhop.realtime.items import FunctionCallOutputItem
from perhop.tools.tool import tool

ALREADY_ACTIVE = "conversation_already_has_active_response"


def speaking(ms: int, *, done: bool = True) -> Callable[[PuppetModel, StartResponse], None]:
    return lambda model, request: model.say(request.response_id, ms, done=done)


def run(scenario: Callable[[], None]) -> None:
    """Runs a scenario that needs a loop but no time."""

    async def inside() -> None:
        scenario()

    run_virtual(inside())


def errors_of(table: Table) -> list[ErrorDetail]:
    return [event.error for event in table.caller.received if isinstance(event, ErrorEvent)]


def controlled(table: Table, *, audio: bool = False) -> Follower:
    controller = Follower()
    table.call.attach(controller, audio=audio)
    return controller


def update(**fields: object) -> SessionUpdate:
    return SessionUpdate(session={"type": "realtime", **fields})


class TestHearing:
    """What controllers are told."""

    def test_the_session_in_force_comes_first(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            table.call.on_caller_event(update(instructions="Be brief."))
            [first] = controlled(table).received
            assert isinstance(first, SessionCreated)
            assert first.event_id
            assert first.session["instructions"] == "Be brief."
            created = table.caller.received[0]
            assert isinstance(created, SessionCreated)
            assert first.session["id"] == created.session["id"]

        run(scenario)

    def test_then_everything_the_caller_is_told(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(100))
            so_far = len(table.caller.received)
            controller = controlled(table)
            table.turn()
            table.caller.tick(10)
            assert controller.received[1:] == table.caller.received[so_far:]
            assert {"output_audio_buffer.started", "output_audio_buffer.stopped"} <= set(controller.types())

        run(scenario)

    def test_the_models_voice_only_if_they_ask_for_it(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(100))
            deaf, hearing = controlled(table), controlled(table, audio=True)
            table.turn()
            assert deaf.heard == []
            assert sum(len(chunk.audio) for chunk in hearing.heard) == 100 * 48

        run(scenario)

    def test_an_update_by_one_shows_for_all(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            one, other = controlled(table), controlled(table)
            table.call.on_controller_event(one, update(instructions="Sell."))
            for received in (one.received, other.received, table.caller.received):
                last = received[-1]
                assert isinstance(last, SessionUpdated)
                assert last.session["instructions"] == "Sell."

        run(scenario)

    def test_one_that_left_hears_no_more_and_the_call_goes_on(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(100))
            gone, stays = controlled(table), controlled(table)
            table.call.detach(gone)
            table.call.detach(gone)
            table.turn()
            assert len(gone.received) == 1
            assert "response.done" in stays.types()
            assert table.call.ended is None
            table.call.hang_up(EndReason.API_HANGUP)
            assert (gone.ended, stays.ended) == ([], [EndReason.API_HANGUP])

        run(scenario)

    def test_the_end_is_told_once(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            controller = controlled(table)
            table.call.on_caller_closed(EndReason.CALLER_LOST)
            table.call.hang_up(EndReason.API_HANGUP)
            assert controller.ended == [EndReason.CALLER_LOST]
            table.call.on_controller_event(controller, update(instructions="Too late."))
            assert controller.types() == ["session.created"]

        run(scenario)

    def test_they_show_in_the_snapshot_and_have_a_limit(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            for _ in range(MAX_TAPS):
                controlled(table)
            assert table.call.snapshot().taps == MAX_TAPS
            with pytest.raises(LimitExceededError, match=str(MAX_TAPS)):
                controlled(table)

        run(scenario)


class TestSaying:
    """What controllers may say: what the caller may, no more."""

    def test_their_request_waits_for_a_response_they_did_not_ask_for(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(100, done=False))
            controller = controlled(table)
            table.call.on_caller_event(ResponseCreate())
            table.call.on_controller_event(controller, ResponseCreate(event_id="mine"))
            assert controller.types().count("response.created") == 1
            table.model.say(table.model.asked[0].response_id, 0)
            assert controller.types().count("response.created") == 2
            assert errors_of(table) == controller.errors() == []

        run(scenario)

    def test_who_asks_twice_is_told_and_nobody_else(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(100, done=False))
            one, other = controlled(table), controlled(table)
            table.call.on_controller_event(one, ResponseCreate(event_id="first"))
            table.call.on_controller_event(one, ResponseCreate(event_id="second"))
            [error] = one.errors()
            assert (error.code, error.event_id) == (ALREADY_ACTIVE, "second")
            assert errors_of(table) == other.errors() == []

        run(scenario)

    def test_clearing_the_audio_silences_the_caller(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(1000))
            controller = controlled(table)
            table.turn()
            table.caller.tick(10)
            table.call.on_controller_event(controller, OutputAudioBufferClear())
            assert "output_audio_buffer.cleared" in controller.types()
            assert "output_audio_buffer.cleared" in table.caller.types()
            frames = table.caller.frames
            table.caller.tick(10)
            assert table.caller.frames == frames

        run(scenario)

    def test_what_an_agent_fixes_is_fixed_for_them_too(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0), agent=Agent("a", fixed={"instructions": "Sell homes."}))
            controller = controlled(table)
            table.call.on_controller_event(controller, update(instructions="Obey.", max_output_tokens=99))
            updated = controller.received[-1]
            assert isinstance(updated, SessionUpdated)
            assert updated.session["instructions"] == "Sell homes."
            assert updated.session["max_output_tokens"] == 99

        run(scenario)

    def test_audio_they_append_is_the_callers(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            controlled(table)
            table.call.on_controller_audio(bytes(9600))
            table.call.on_controller_audio(bytes(9600))
            table.call.on_caller_event(update(audio={"input": {"turn_detection": None}}))
            table.call.on_caller_event(InputAudioBufferCommit())
            assert "input_audio_buffer.committed" in table.caller.types()

        run(scenario)

    def test_the_output_of_an_agents_tool_is_refused_to_them_alone(self) -> None:
        async def scenario() -> None:
            @tool
            def find() -> str:
                """Finds."""
                return "found"

            def answer(model: PuppetModel, request: StartResponse) -> None:
                model.call_function(request.response_id, "find")

            table = Table.lay(answer, agent=Agent("a", tools={"find": find}))
            controller = controlled(table)
            table.turn()
            [call] = [e for e in controller.received if e.type == "response.function_call_arguments.done"]
            item = FunctionCallOutputItem(call_id=call.call_id, output="mine")  # type: ignore[attr-defined]
            table.call.on_controller_event(controller, ConversationItemCreate(event_id="e1", item=item))
            [error] = controller.errors()
            assert (error.code, error.param, error.event_id) == ("invalid_value", "item.call_id", "e1")
            assert errors_of(table) == []
            table.call.hang_up(EndReason.API_HANGUP)

        run_virtual(scenario())


class TestErrors:
    """An error that answers an event is for the one who sent it."""

    @pytest.mark.parametrize("event_id", ["mine", None])
    def test_each_gets_its_own_under_the_id_it_chose(self, event_id: str | None) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            controller = controlled(table)
            wrong = ConversationItemDelete(item_id="item_none", event_id=event_id)
            table.call.on_controller_event(controller, wrong)
            [error] = controller.errors()
            assert (error.code, error.event_id) == ("item_delete_invalid_item_id", event_id)
            assert errors_of(table) == []
            table.call.on_caller_event(wrong)
            assert len(controller.errors()) == 1
            [error] = errors_of(table)
            assert error.event_id == event_id

        run(scenario)

    def test_two_that_use_the_same_id_are_not_mixed_up(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(100, done=False))
            one, other = controlled(table), controlled(table)
            same = "agents_py_response_create_1"
            table.call.on_controller_event(one, ResponseCreate(event_id=same))
            table.call.on_controller_event(other, ResponseCreate(event_id=same))
            table.call.on_controller_event(other, ResponseCancel(response_id="resp_none", event_id=same))
            assert one.errors() == []
            [error] = other.errors()
            assert (error.code, error.event_id) == ("response_cancel_not_active", same)

        run(scenario)

    def test_one_that_answers_nobody_is_for_all(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            controller = controlled(table)
            trouble = ProtocolError(None, "The model is not well.", type_="server_error").to_event("event_x")
            table.call.on_model_event(trouble)
            assert controller.received[-1] == table.caller.received[-1] == trouble

        run(scenario)

    def test_one_that_answers_perhop_itself_is_for_nobody(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(1000))
            controller = controlled(table)
            table.turn()
            table.caller.tick(10)
            table.call.on_controller_event(controller, OutputAudioBufferClear())
            cut = table.model.took[-1]
            assert cut.type == "conversation.item.truncate"
            late = ProtocolError("item_truncate_invalid_item_id", "No such item.", event_id=cut.event_id)
            table.call.on_model_event(late.to_event("event_x"))
            assert controller.errors() == errors_of(table) == []

        run(scenario)

    def test_one_for_a_controller_that_left_is_for_nobody(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            controller = controlled(table)
            table.call.on_controller_event(controller, update(max_output_tokens=5))
            table.call.detach(controller)
            sent = table.model.took[-1]
            table.call.on_model_event(ProtocolError("invalid_value", "No.", event_id=sent.event_id).to_event("event_x"))
            assert errors_of(table) == []

        run(scenario)

    def test_what_is_wrong_with_an_out_of_band_request_is_its_senders_business(self) -> None:
        def scenario() -> None:
            table = Table.lay(speaking(0))
            controller = controlled(table)
            aside = ResponseCreate(
                event_id="aside",
                response=ResponseParams.model_validate(
                    {"conversation": "none", "input": [{"type": "item_reference", "id": "item_none"}]}
                ),
            )
            table.call.on_controller_event(controller, aside)
            [error] = controller.errors()
            assert error.event_id == "aside"
            assert errors_of(table) == []

        run(scenario)
