from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.realtime.helpers import MANUAL, TEXT_ONLY, Session, error_of, types
from tests.realtime.mcp.helpers import FIND, McpSession, item_of, server

from perhop.realtime.effects import McpCallDone, McpCallFailed, OutputDone, OutputFunctionCall, OutputText
from perhop.realtime.items import FunctionCallItem, FunctionCallOutputItem, Item, MessageItem
from perhop.realtime.server import ServerLimits

ROME = '{"place": "Rome"}'
CALL_KEYS = {"type", "id", "server_label", "name", "arguments", "approval_request_id", "output", "error"}


def asking(**rules: Any) -> McpSession:
    session = McpSession(TEXT_ONLY, **rules)
    session.ready()
    session.ask()
    session.forget()
    return session


def outputs(items: tuple[Item, ...]) -> dict[str, Any]:
    """Outputs of the function calls among items, by function, as the model sees them."""
    called = {item.call_id: item.name for item in items if isinstance(item, FunctionCallItem)}
    return {called[item.call_id]: item.output for item in items if isinstance(item, FunctionCallOutputItem)}


def test_a_call_runs_and_ends_with_its_output_before_the_response_does() -> None:
    session = asking()
    frames = session.call()
    assert session.order == [
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "CallMcpTool",
    ]
    [call] = session.calls
    assert (call.server.label, call.name, call.arguments) == ("maps", "find", {"place": "Rome"})
    added = item_of(frames, "response.output_item.added", "mcp_call")
    assert added == {
        "type": "mcp_call",
        "id": call.item_id,
        "server_label": "maps",
        "name": "find",
        "arguments": "",
        "approval_request_id": None,
        "output": None,
        "error": None,
    }
    assert call.item_id.startswith("mcp_")

    frames = session.returns("It is in Italy.")
    assert types(frames) == [
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    done = item_of(frames, "response.output_item.done", "mcp_call")
    assert done == {**added, "arguments": ROME, "output": "It is in Italy."}
    response = session.last("response.done")["response"]
    assert (response["status"], response["output"]) == ("completed", [done])


def test_every_frame_about_a_call_names_it() -> None:
    session = asking()
    response_id = session.live
    session.give(OutputText(response_id, "Let me see. "))
    session.call()
    session.returns()
    about = [frame for frame in session.frames if "mcp_call" in frame["type"]]
    assert {(frame["item_id"], frame["output_index"]) for frame in about} == {(session.calls[0].item_id, 1)}
    assert {frame.get("response_id", response_id) for frame in about} == {response_id}


def test_clients_find_the_keys_they_cannot_do_without() -> None:
    session = asking()
    session.call()
    session.returns()
    delta = session.last("response.mcp_call_arguments.delta")
    assert isinstance(delta["obfuscation"], str)
    assert (len(delta["delta"]) + len(delta["obfuscation"])) % 32 == 0
    calls = [frame["item"] for frame in session.frames if frame.get("item", {}).get("type") == "mcp_call"]
    assert len(calls) == 4
    for item in [*calls, *session.last("response.done")["response"]["output"]]:
        assert item.keys() == CALL_KEYS


def test_the_model_sees_the_call_and_its_output_as_those_of_a_function() -> None:
    session = asking()
    session.call()
    session.returns("It is in Italy.")
    session.ask()
    [call, output] = session.started[-1].context
    assert isinstance(call, FunctionCallItem)
    assert isinstance(output, FunctionCallOutputItem)
    assert (call.name, call.arguments, output.output) == ("find", ROME, "It is in Italy.")
    assert call.call_id == output.call_id
    assert session.server.items[-2:] == (call, output)


def test_a_message_before_a_call_is_complete() -> None:
    session = asking()
    session.give(OutputText(session.live, "Let me see."))
    session.call()
    session.returns()
    [message, call] = session.last("response.done")["response"]["output"]
    assert (message["status"], message["content"][0]["text"], call["type"]) == ("completed", "Let me see.", "mcp_call")


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (("tool_execution_error", "No such place."), {"type": "tool_execution_error", "message": "No such place."}),
        (("http_error", "Bad gateway.", 502), {"type": "http_error", "message": "Bad gateway.", "code": 502}),
        (("protocol_error", "Bad.", -32602), {"type": "protocol_error", "message": "Bad.", "code": -32602}),
    ],
)
def test_a_call_that_fails_says_how(failure: Any, error: dict[str, Any]) -> None:
    session = asking()
    session.call()
    frames = session.give(McpCallFailed(session.calls[0].item_id, *failure))
    assert types(frames)[0] == "response.mcp_call.failed"
    item = item_of(frames, "conversation.item.done", "mcp_call")
    assert (item["output"], item["error"]) == (None, error)
    assert session.last("response.done")["response"]["status"] == "completed"
    told = orjson.loads(outputs(session.server.items)["find"])
    assert told == {"error": {"code": error["type"], "message": error["message"]}}


@pytest.mark.parametrize("arguments", ["[1]", "no json", '"text"', "1"])
def test_arguments_that_are_no_object_are_not_sent_anywhere(arguments: str) -> None:
    session = asking()
    session.call(arguments=arguments)
    assert session.calls == []
    [item] = session.last("response.done")["response"]["output"]
    assert item["error"]["code"] == -32602


def test_no_arguments_are_an_empty_object() -> None:
    session = asking()
    session.call(arguments="")
    assert session.calls[0].arguments == {}


def test_calls_of_one_response_run_side_by_side_and_it_ends_with_the_last() -> None:
    session = asking()
    session.call("find", through=False)
    session.call("book")
    assert types(session.returns("second")) == [
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert types(session.returns("first", call=0))[-1] == "response.done"
    assert [item["output"] for item in session.last("response.done")["response"]["output"]] == ["first", "second"]


def test_a_call_may_return_before_the_model_is_through() -> None:
    session = asking()
    session.call(through=False)
    session.returns()
    assert session.server.live_response_id is not None
    session.give(OutputText(session.live, "There."))
    assert types(session.give(OutputDone(session.live)))[-1] == "response.done"


def test_functions_of_the_client_stay_the_client_s() -> None:
    session = McpSession(TEXT_ONLY)
    session.declare({"type": "function", "name": "find"}, server())
    session.list_tools(FIND)
    session.ask()
    session.forget()
    frames = session.call("find", through=False)
    assert item_of(frames, "response.output_item.done", "function_call")["name"] == "find"
    session.call("maps_find")
    assert (session.calls[0].name, len(session.calls)) == ("find", 1)


def test_an_answer_comes_when_the_client_asks_for_it() -> None:
    session = asking()
    session.call()
    session.returns()
    assert session.server.live_response_id is None
    session.ask()
    assert len(session.started) == 1


def test_a_result_that_nobody_waits_for_goes_nowhere() -> None:
    session = asking()
    session.call()
    session.returns()
    assert session.give(McpCallDone(session.calls[0].item_id, "again")) == []
    assert session.give(McpCallFailed("mcp_9", "http_error", "gone", 500)) == []


def test_calls_are_bounded() -> None:
    session = asking(max_calls=2)
    for _ in range(3):
        session.call(through=False)
    assert len(session.calls) == 2
    assert session.last("conversation.item.done")["item"]["error"]["message"] == "Too many calls are waiting already."


def test_usage_counts_what_was_called_and_returned() -> None:
    session = asking()
    session.call()
    session.returns("x" * 400)
    assert session.last("response.done")["response"]["usage"]["output_tokens"] > 0
    session.ask()
    session.answer(audio_ms=0)
    assert session.last("response.done")["response"]["usage"]["input_tokens"] > 100


def test_outputs_count_towards_the_size_of_the_conversation() -> None:
    session = asking(limits=ServerLimits(max_content=1_000))
    session.call()
    session.returns("x" * 1_000)
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    assert "full" in error_of(session.send("conversation.item.create", item=message))["message"]


# -- calls that outlive their response --------------------------------------------------------------------------------


def test_a_cancelled_response_ends_at_once_and_its_call_goes_on() -> None:
    session = asking()
    session.call()
    assert types(session.send("response.cancel")) == ["response.done"]
    response = session.last("response.done")["response"]
    assert (response["status"], response["output"][0]["output"]) == ("cancelled", None)
    assert session.order[-1] == "response.done", "the host was through: there is nothing to stop"
    frames = session.returns("late")
    assert types(frames) == ["response.mcp_call.completed", "conversation.item.done", "response.output_item.done"]
    assert item_of(frames, "conversation.item.done", "mcp_call")["output"] == "late"
    [retrieved] = session.send("conversation.item.retrieve", item_id=session.calls[0].item_id)
    assert retrieved["item"]["output"] == "late"
    assert outputs(session.server.items) == {"find": "late"}


def test_the_model_knows_of_a_call_that_still_runs() -> None:
    session = asking()
    session.call()
    session.send("response.cancel")
    session.ask()
    told = orjson.loads(outputs(session.started[-1].context)["find"])
    assert told["error"]["code"] == "running"


def test_speech_ends_a_response_that_waits_for_its_call() -> None:
    session = McpSession()
    session.ready()
    session.ask()
    session.call()
    assert "response.done" in types(session.hear(0.9, 320))
    assert session.last("response.done")["response"]["status_details"]["reason"] == "turn_detected"
    assert types(session.returns())[0] == "response.mcp_call.completed"


def test_a_deleted_call_ends_without_a_word_in_the_conversation() -> None:
    session = asking()
    session.call()
    session.send("conversation.item.delete", item_id=session.calls[0].item_id)
    assert types(session.returns()) == [
        "response.mcp_call.completed",
        "response.output_item.done",
        "response.done",
    ]
    assert outputs(session.server.items) == {}


def test_a_call_is_not_dropped_from_a_full_conversation_while_it_runs() -> None:
    session = McpSession(TEXT_ONLY, limits=ServerLimits(max_items=3))
    session.ready()
    session.ask()
    session.call()
    for _ in range(5):
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        session.send("conversation.item.create", item=message)
    assert "conversation.item.done" in types(session.returns())


def test_out_of_band_responses_can_call_as_well() -> None:
    session = McpSession(TEXT_ONLY)
    session.ready()
    [created] = session.ask(conversation="none", input=[])
    response_id = created["response"]["id"]
    session.forget()
    session.give(OutputFunctionCall(response_id, "find", ROME))
    session.give(OutputDone(response_id))
    frames = session.returns()
    assert types(frames) == ["response.mcp_call.completed", "response.output_item.done", "response.done"]
    assert not any(frame["type"].startswith("conversation.") for frame in session.frames)


# -- the model goes on by itself --------------------------------------------------------------------------------------


def test_the_model_can_go_on_within_the_same_response() -> None:
    session = asking(follow_up="server")
    response_id = session.live
    session.call()
    assert types(session.returns("It is in Italy."))[-1] == "response.output_item.done"
    [start] = session.started
    assert (start.response_id, outputs(start.context)) == (response_id, {"find": "It is in Italy."})
    frames = session.answer("Rome is in Italy.", audio_ms=0)
    assert types(frames)[-1] == "response.done"
    [call, message] = session.last("response.done")["response"]["output"]
    assert (call["type"], message["content"][0]["text"]) == ("mcp_call", "Rome is in Italy.")


def test_what_was_said_before_a_call_is_known_after_it() -> None:
    session = asking(follow_up="server")
    session.give(OutputText(session.live, "Let me see."))
    session.call()
    session.returns()
    [message, _, _] = session.started[-1].context
    assert isinstance(message, MessageItem)
    assert message.text() == "Let me see."


def test_what_was_said_while_a_tool_ran_is_known_after_it() -> None:
    session = asking(follow_up="server")
    session.call(through=False)
    session.give(OutputText(session.live, "One moment."))
    session.give(OutputDone(session.live))
    assert types(session.frames)[-1] == "response.output_item.done", "the message is complete"
    session.returns()
    message = session.started[0].context[-1]
    assert isinstance(message, MessageItem)
    assert (message.status, message.text()) == ("completed", "One moment.")


def test_a_call_that_was_demanded_is_demanded_once() -> None:
    session = McpSession(TEXT_ONLY, follow_up="server")
    session.ready()
    session.ask(tool_choice="required")
    session.call()
    session.returns()
    assert [start.tool_choice for start in session.started] == ["required", "auto"]


def test_after_enough_rounds_the_model_has_to_answer() -> None:
    session = asking(follow_up="server", max_rounds=3)
    for _ in range(3):
        session.call()
        session.returns()
    assert [start.tool_choice for start in session.started] == ["auto", "auto", "none"]


def test_the_model_does_not_go_on_while_the_client_has_to_do_something() -> None:
    session = McpSession(TEXT_ONLY, follow_up="server")
    session.declare({"type": "function", "name": "look"}, server())
    session.list_tools(FIND)
    session.ask()
    session.call("look", through=False)
    session.call("find")
    assert types(session.returns())[-1] == "response.done"


def test_a_response_cut_short_does_not_go_on() -> None:
    session = asking(follow_up="server")
    session.call(through=False)
    session.give(OutputDone(session.live, "max_output_tokens"))
    session.returns()
    assert session.last("response.done")["response"]["status"] == "incomplete"


def test_the_result_of_an_interrupted_call_gets_an_answer_of_its_own() -> None:
    session = asking(follow_up="server")
    session.call()
    session.send("response.cancel")
    assert types(session.returns("late"))[-1] == "response.created"
    assert outputs(session.started[-1].context) == {"find": "late"}


def test_and_waits_for_a_response_that_lives_by_then() -> None:
    session = asking(follow_up="server")
    session.call()
    session.send("response.cancel")
    session.ask()
    assert types(session.returns("late"))[-1] == "response.output_item.done"
    assert types(session.answer(audio_ms=0))[-2:] == ["response.done", "response.created"]


def test_nothing_of_this_changes_a_session_without_mcp() -> None:
    session = Session({**TEXT_ONLY, **MANUAL, "tools": [{"type": "function", "name": "find"}]})
    session.send("response.create")
    session.give(OutputFunctionCall(session.live, "find", ROME))
    assert types(session.give(OutputDone(session.live))) == ["response.done"]


@pytest.mark.parametrize("name", ["find", "book"])
def test_tools_are_those_of_the_moment_the_response_started(name: str) -> None:
    session = asking()
    session.declare()
    session.call(name)
    assert session.calls[0].name == name
    session.returns()
    session.ask()
    assert session.started[-1].tools == ()
