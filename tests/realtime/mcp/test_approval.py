from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.realtime.helpers import TEXT_ONLY, error_of, types
from tests.realtime.mcp.helpers import BOOK, FIND, McpSession, item_of

from perhop.realtime.items import FunctionCallOutputItem
from perhop.realtime.mcp.declared import FollowUp

ROME = '{"place": "Rome"}'


def asked(**rules: Any) -> tuple[McpSession, str]:
    """A session whose model wants to call a tool that needs approval, and the id of the request."""
    session = McpSession(TEXT_ONLY, **rules)
    session.ready(require_approval="always")
    session.ask()
    session.forget()
    session.call("book")
    return session, item_of(session.frames, "conversation.item.done", "mcp_approval_request")["id"]


def told(session: McpSession) -> str:
    """What the model is told of the latest call."""
    output = session.server.items[-1]
    assert isinstance(output, FunctionCallOutputItem)
    return output.output


def test_a_call_that_needs_approval_is_asked_for_and_the_response_ends() -> None:
    session, request_id = asked()
    assert session.order == [
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    request = item_of(session.frames, "conversation.item.done", "mcp_approval_request")
    assert request == {
        "type": "mcp_approval_request",
        "id": request_id,
        "server_label": "maps",
        "name": "book",
        "arguments": ROME,
    }
    assert request_id.startswith("mcpr_")
    [call, shown] = session.last("response.done")["response"]["output"]
    assert (call["approval_request_id"], call["output"], shown) == (request_id, None, request)


def test_an_approved_call_runs_as_the_call_that_was_announced() -> None:
    session, request_id = asked()
    announced = session.last("response.mcp_call_arguments.done")
    session.forget()
    frames = session.approve(request_id)
    assert session.order == [
        "conversation.item.added",
        "conversation.item.done",
        "response.mcp_call.in_progress",
        "CallMcpTool",
    ]
    answer = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": True}
    assert answer.items() <= item_of(frames, "conversation.item.done", "mcp_approval_response").items()
    assert (session.calls[0].item_id, session.calls[0].arguments) == (announced["item_id"], {"place": "Rome"})
    frames = session.returns("Booked.")
    assert types(frames) == ["response.mcp_call.completed", "conversation.item.done", "response.output_item.done"]
    assert frames[0]["item_id"] == announced["item_id"]
    assert frames[2]["response_id"] == announced["response_id"]
    done = item_of(frames, "conversation.item.done", "mcp_call")
    assert (done["approval_request_id"], done["output"], done["error"]) == (request_id, "Booked.", None)
    assert told(session) == "Booked."


@pytest.mark.parametrize("reason", [{}, {"reason": None}, {"reason": "Too expensive."}])
def test_a_rejected_call_never_runs(reason: dict[str, Any]) -> None:
    session, request_id = asked()
    frames = session.approve(request_id, approve=False, **reason)
    assert session.calls == []
    assert types(frames) == [
        "conversation.item.added",
        "conversation.item.done",
        "response.mcp_call.failed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    error = frames[-1]["item"]["error"]
    assert error["type"] == "tool_execution_error"
    assert (reason.get("reason") or "not approved") in error["message"]
    assert orjson.loads(told(session))["error"]["message"] == error["message"]


def test_until_it_is_answered_the_model_knows_that_the_call_waits() -> None:
    session, _ = asked()
    assert orjson.loads(told(session))["error"]["code"] == "approval_pending"


@pytest.mark.parametrize("approve", [True, False])
def test_a_request_is_answered_once(approve: bool) -> None:
    session, request_id = asked()
    session.approve(request_id, approve)
    error = error_of(session.approve(request_id))
    assert (error["code"], error["param"]) == ("invalid_value", "item.approval_request_id")
    assert len(session.calls) == approve


def test_only_requests_of_this_server_can_be_answered() -> None:
    session, _ = asked()
    forged = {"type": "mcp_approval_request", "id": "mine", "server_label": "maps", "name": "book", "arguments": ROME}
    session.send("conversation.item.create", item=forged)
    for request_id in ("mine", "mcpr_9"):
        assert error_of(session.approve(request_id))["param"] == "item.approval_request_id"
    assert session.calls == []


def test_an_answer_that_is_no_item_approves_nothing() -> None:
    session, request_id = asked()
    frames = session.approve(request_id, id=request_id)  # the id is taken
    assert types(frames) == ["error"]
    assert session.calls == []
    session.approve(request_id)
    assert len(session.calls) == 1


def test_a_deleted_request_cannot_be_approved_any_more() -> None:
    session, request_id = asked()
    frames = session.send("conversation.item.delete", item_id=request_id)
    assert types(frames) == [
        "conversation.item.deleted",
        "response.mcp_call.failed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert types(session.approve(request_id)) == ["error"]
    assert session.calls == []


@pytest.mark.parametrize("follow_up", ["client", "server"])
def test_a_call_can_be_approved_before_its_response_is_through(follow_up: FollowUp) -> None:
    session = McpSession(TEXT_ONLY, follow_up=follow_up)
    session.ready(require_approval="always")
    session.ask()
    session.call("book", through=False)
    session.approve(item_of(session.frames, "conversation.item.done", "mcp_approval_request")["id"])
    session.returns("Booked.")
    assert session.server.live_response_id is not None
    frames = session.answer(audio_ms=0)
    assert types(frames)[-1] == ("response.done" if follow_up == "client" else "response.created")


def test_only_some_tools_need_approval() -> None:
    session = McpSession(TEXT_ONLY)
    session.ready(require_approval={"never": {"read_only": True}})
    session.ask()
    session.call("find", through=False)
    session.call("book")
    assert [call.name for call in session.calls] == ["find"]
    session.returns()
    assert session.server.live_response_id is None, "the response ends while one call still waits for approval"


def test_without_a_word_about_it_every_call_needs_approval() -> None:
    session = McpSession(TEXT_ONLY)
    session.declare({"type": "mcp", "server_label": "maps", "server_url": "https://maps.example/"})
    session.list_tools(FIND, BOOK)
    session.ask()
    session.call("find")
    assert session.calls == []


def test_arguments_that_are_no_object_are_not_asked_about() -> None:
    session = McpSession(TEXT_ONLY)
    session.ready(require_approval="always")
    session.ask()
    session.forget()
    session.call("book", arguments="no json")
    assert "mcp_approval_request" not in repr(session.frames)


@pytest.mark.parametrize("approve", [True, False])
def test_a_model_that_goes_on_by_itself_does_so_after_the_decision(approve: bool) -> None:
    session, request_id = asked(follow_up="server")
    assert session.server.live_response_id is None
    session.approve(request_id, approve)
    if approve:
        session.returns("Booked.")
    assert types(session.frames)[-1] == "response.created"
    assert len(session.started) == 1
