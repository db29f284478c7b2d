from __future__ import annotations

from tests.realtime.helpers import TEXT_ONLY, types
from tests.realtime.mcp.helpers import BOOK, FIND, PLACE, URL, McpSession, item_of, server

from perhop.realtime.effects import McpListFailed, McpToolsListed
from perhop.realtime.mcp.declared import McpServer
from perhop.realtime.mcp.effects import McpToolInfo

LOOK = {"type": "function", "name": "look"}


def functions(session: McpSession) -> list[str]:
    return [function["name"] for function in session.server.functions]


def test_declaring_a_server_lists_its_tools() -> None:
    session = McpSession()
    frames = session.declare(server())
    assert session.order == [
        "session.updated",
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "ListMcpTools",
    ]
    listing = session.listings[0]
    item = {"type": "mcp_list_tools", "id": listing.item_id, "server_label": "maps", "tools": []}
    assert item_of(frames, "conversation.item.added", "mcp_list_tools") == item
    assert listing.item_id.startswith("mcpl_")
    assert listing.server == McpServer("maps", URL)

    frames = session.list_tools(FIND, BOOK)
    assert types(frames) == ["mcp_list_tools.completed", "conversation.item.done"]
    assert {frame.get("item_id", listing.item_id) for frame in frames} == {listing.item_id}
    assert item_of(frames, "conversation.item.done", "mcp_list_tools")["tools"] == [
        {
            "name": "find",
            "description": "Finds a place.",
            "input_schema": PLACE,
            "annotations": {"readOnlyHint": True},
        },
        {"name": "book", "description": "Books a table.", "input_schema": PLACE},
    ]
    assert functions(session) == ["find", "book"]


def test_a_client_can_look_at_a_listing_while_it_is_under_way() -> None:
    session = McpSession()
    session.declare(server())
    [frame] = session.send("conversation.item.retrieve", item_id=session.listings[0].item_id)
    assert (frame["type"], frame["item"]["tools"]) == ("conversation.item.retrieved", [])


def test_a_listing_that_fails_says_why_and_leaves_the_rest_alone() -> None:
    session = McpSession()
    session.declare(LOOK, server())
    frames = session.give(McpListFailed(session.listings[0].item_id, "HTTP 401"))
    assert types(frames) == ["mcp_list_tools.failed", "conversation.item.done"]
    item = item_of(frames, "conversation.item.done", "mcp_list_tools")
    assert (item["tools"], item["error"]) == ([], "HTTP 401")
    assert functions(session) == ["look"]


def test_only_allowed_tools_are_imported() -> None:
    session = McpSession()
    session.declare(server(allowed_tools=["book"]))
    frames = session.list_tools(FIND, BOOK)
    assert [tool["name"] for tool in item_of(frames, "conversation.item.done", "mcp_list_tools")["tools"]] == ["book"]
    assert functions(session) == ["book"]


def test_a_tool_without_a_description_has_an_empty_one() -> None:
    session = McpSession()
    session.declare(server())
    item = item_of(session.list_tools(McpToolInfo("x")), "conversation.item.done", "mcp_list_tools")
    assert item["tools"] == [{"name": "x", "description": "", "input_schema": {}}]


def test_what_stays_the_same_is_not_listed_again() -> None:
    session = McpSession()
    session.ready()
    session.declare(LOOK, server(require_approval="always"))
    session.send("session.update", session={"type": "realtime", "instructions": "be kind"})
    assert session.effects == []
    session.declare(LOOK)
    assert functions(session) == ["look"]
    session.declare(server())
    assert session.effects == []
    assert functions(session) == ["find", "book"]


def test_what_failed_is_listed_again_when_it_is_declared_again() -> None:
    session = McpSession()
    session.declare(server())
    session.give(McpListFailed(session.listings[0].item_id, "HTTP 503"))
    session.declare(server())
    assert len(session.listings) == 2
    session.list_tools(FIND)
    assert functions(session) == ["find"]


def test_what_failed_is_not_listed_again_because_something_else_changes() -> None:
    session = McpSession()
    session.declare(server())
    session.give(McpListFailed(session.listings[0].item_id, "HTTP 503"))
    session.send("session.update", session={"type": "realtime", "tracing": "auto"})
    assert len(session.listings) == 1


def test_a_new_definition_takes_the_place_of_the_old_one() -> None:
    session = McpSession()
    session.declare(server())
    old = session.listings[0]
    session.forget()
    session.declare(server(server_url="https://a.maps.example/"))
    assert session.order == [
        "session.updated",
        "mcp_list_tools.failed",
        "conversation.item.done",
        "ReleaseMcpServer",
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "ListMcpTools",
    ]
    assert session.released[0].server == old.server
    assert session.give(McpToolsListed(old.item_id, (FIND,))) == [], "what comes too late is nobody's"
    session.list_tools(BOOK)
    assert functions(session) == ["book"]


def test_answers_that_nobody_waits_for_go_nowhere() -> None:
    session = McpSession()
    session.ready()
    assert session.give(McpToolsListed("mcpl_1", ())) == []
    assert session.give(McpListFailed("mcpl_9", "gone")) == []
    assert functions(session) == ["find", "book"]


def test_a_deleted_listing_still_ends() -> None:
    session = McpSession()
    session.declare(server())
    session.send("conversation.item.delete", item_id=session.listings[0].item_id)
    assert types(session.list_tools(FIND)) == ["mcp_list_tools.completed"]
    assert functions(session) == ["find"]


# -- responses and listings -------------------------------------------------------------------------------------------


def test_a_response_waits_for_its_tools() -> None:
    session = McpSession(TEXT_ONLY)
    session.declare(server())
    assert types(session.ask()) == ["response.created"]
    assert session.started == []
    session.list_tools(FIND)
    assert [function["name"] for function in session.started[0].tools] == ["find"]


def test_a_response_goes_on_without_tools_that_cannot_be_listed() -> None:
    session = McpSession(TEXT_ONLY)
    session.declare(server())
    session.ask()
    session.give(McpListFailed(session.listings[0].item_id, "HTTP 503"))
    assert session.started[0].tools == ()


def test_a_response_does_not_wait_for_ever() -> None:
    session = McpSession(TEXT_ONLY, list_wait_s=3.0)
    session.declare(server())
    session.ask()
    session.wait(2.9)
    assert session.started == []
    session.wait(0.2)
    assert session.started[0].tools == ()
    session.list_tools(FIND)
    session.answer(audio_ms=0)
    session.ask()
    assert [function["name"] for function in session.started[1].tools] == ["find"]


def test_a_response_waits_only_for_tools_it_has() -> None:
    session = McpSession(TEXT_ONLY)
    session.declare(server())
    session.ask(tools=[LOOK])
    assert [function["name"] for function in session.started[0].tools] == ["look"]


def test_a_response_can_bring_a_server_of_its_own() -> None:
    session = McpSession(TEXT_ONLY)
    frames = session.ask(tools=[server("other", server_url="https://a.maps.example/")])
    assert types(frames) == ["response.created", "conversation.item.added", "mcp_list_tools.in_progress"]
    session.list_tools(FIND)
    assert [function["name"] for function in session.started[0].tools] == ["find"]
    session.answer(audio_ms=0)
    session.ask()
    assert session.started[1].tools == ()
    session.answer(audio_ms=0)
    session.ask(tools=[{"type": "mcp", "server_label": "other", "allowed_tools": []}])
    assert session.started[2].tools == ()
    assert len(session.listings) == 1


def test_a_response_cannot_bring_a_server_that_is_not_allowed() -> None:
    session = McpSession()
    [error] = session.ask(tools=[server(server_url="https://evil.example/")])
    assert error["error"]["param"] == "response.tools[0].server_url"
    assert session.server.live_response_id is None


def test_a_refused_response_lists_nothing() -> None:
    session = McpSession()
    session.ask()
    session.forget()
    assert types(session.ask(tools=[server()])) == ["error"]
    assert session.effects == []


def test_the_choice_of_a_server_reaches_the_model_in_terms_of_functions() -> None:
    session = McpSession(TEXT_ONLY)
    session.ready(BOOK)
    session.declare({"type": "function", "name": "find"}, server())
    session.ask(tool_choice={"type": "mcp", "server_label": "maps"})
    [start] = session.started
    assert (start.tool_choice, [function["name"] for function in start.tools]) == ("required", ["book"])
