from __future__ import annotations

import asyncio
import json as json_
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from starlette.types import Receive, Scope, Send
from tests.tools.mcp.servers import HandshakeServer, Happened, connector, mcp_server, serving

from perhop.realtime.mcp.declared import McpServer
from perhop.tools.guard import Reach
from perhop.tools.mcp.connector import McpConnector, McpLimits
from perhop.tools.mcp.provider import McpError


@pytest.fixture
async def mcp() -> AsyncIterator[McpConnector]:
    async with connector() as made:
        yield made


@pytest.mark.parametrize("json", [False, True], ids=["event streams", "JSON"])
@pytest.mark.parametrize("stateless", [False, True], ids=["sessions", "stateless"])
async def test_tools_are_listed_and_called(json: bool, stateless: bool, mcp: McpConnector) -> None:
    async with mcp_server(json=json, stateless=stateless) as happened:
        session = mcp.open()
        tools = await session.list_tools(happened.server())
        find = tools[0]
        assert (find.name, find.description, find.read_only) == ("find", "Finds a place.", True)
        assert find.input_schema["properties"]["place"] == {"title": "Place", "type": "string"}
        assert [tool.name for tool in tools if tool.read_only] == ["find"]
        found = await session.call_tool(happened.server(), "find", {"place": "Rome"})
        assert json_.loads(found) == {"name": "Rome", "country": "Italy"}
        session.close()


async def test_every_request_names_the_version_that_was_agreed_on(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session = mcp.open()
        await session.list_tools(happened.server())
        await session.call_tool(happened.server(), "greet", {"name": "Ann"})
        session.close()
        await mcp.close()
        assert len(happened.headers("mcp-protocol-version")) == 1


async def test_older_servers_are_spoken_to_in_their_own_version(mcp: McpConnector) -> None:
    old = HandshakeServer(
        {
            "tools/list": lambda _: {"tools": [{"name": "old", "inputSchema": {"type": "object"}}]},
            "tools/call": lambda _: {"content": [{"type": "text", "text": "done"}]},
        }
    )
    async with serving(old) as base:
        server, session = McpServer("old", f"{base}/mcp"), mcp.open()
        assert [tool.name for tool in await session.list_tools(server)] == ["old"]
        assert await session.call_tool(server, "old", {}) == "done"
        session.close()
        await mcp.close()
    asked = [method for method, _ in old.seen]
    assert asked.index("initialize") < asked.index("notifications/initialized") < asked.index("tools/list")
    assert asked[-1] == "DELETE"
    assert {session_id for method, session_id in old.seen if method in ("tools/list", "tools/call", "DELETE")} == {"s1"}


async def test_credentials_go_with_every_request(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        server = happened.server(authorization="s3cret", headers=(("x-team", "blue"),))
        session = mcp.open()
        await session.list_tools(server)
        session.close()
        await mcp.close()
    assert len(happened.requests) > 1
    for _, headers in happened.requests:
        assert (headers["authorization"], headers["x-team"]) == ("Bearer s3cret", "blue")


async def test_accounts_do_not_share_connections(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        one, other = mcp.open(), mcp.open()
        await one.list_tools(happened.server(authorization="a"))
        await one.list_tools(happened.server(authorization="b"))
        await other.list_tools(happened.server(authorization="a"))
        assert happened.headers("authorization") == {"Bearer a", "Bearer b"}
        one.close()
        other.close()


async def test_a_listing_is_read_page_by_page(mcp: McpConnector) -> None:
    pages = {None: ("ab", "2"), "2": ("c", "3"), "3": ("d", None)}

    def page(params: dict[str, Any]) -> object:
        names, following = pages[params.get("cursor")]
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
        return {"tools": tools, "nextCursor": following} if following else {"tools": tools}

    async with serving(HandshakeServer({"tools/list": page})) as base:
        server = McpServer("pages", f"{base}/mcp")
        assert [tool.name for tool in await mcp.open().list_tools(server)] == ["a", "b", "c", "d"]
        async with connector(McpLimits(max_pages=2)) as narrow:
            assert [tool.name for tool in await narrow.open().list_tools(server)] == ["a", "b", "c"]
        async with connector(McpLimits(max_tools=3)) as narrow:
            assert len(await narrow.open().list_tools(server)) == 3


async def test_tools_that_are_too_large_are_left_out() -> None:
    def wordy(_: Happened) -> MCPServer:
        server = MCPServer("wordy", log_level="ERROR")
        server.tool(name="wordy", description="x" * 2_000)(lambda: "1")
        server.tool(name="brief")(lambda: "1")
        return server

    async with mcp_server(wordy) as happened, connector(McpLimits(max_tool_bytes=1_000)) as narrow:
        assert [tool.name for tool in await narrow.open().list_tools(happened.server())] == ["brief"]


# -- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("greet", {"name": "Ann"}, "Hello, Ann!"),
        ("several", {}, '{"result":["one","two"]}'),
        ("blocks", {}, "one\ntwo"),
        ("picture", {}, "[image]"),
    ],
)
async def test_a_result_is_one_text(name: str, arguments: dict[str, str], result: str, mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        assert await mcp.open().call_tool(happened.server(), name, arguments) == result


async def test_a_tool_that_fails_says_so_itself(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        with pytest.raises(McpError, match="No such place") as failed:
            await mcp.open().call_tool(happened.server(), "fail", {"reason": "No such place"})
    assert (failed.value.kind, failed.value.code) == ("tool_execution_error", 0)


async def test_a_result_that_is_too_long_is_not_passed_on() -> None:
    async with mcp_server() as happened, connector(McpLimits(max_result_bytes=100)) as narrow:
        session = narrow.open()
        assert len(await session.call_tool(happened.server(), "long", {"size": 100})) == 100
        with pytest.raises(McpError, match="101 bytes, the limit is 100") as failed:
            await session.call_tool(happened.server(), "long", {"size": 101})
    assert failed.value.kind == "tool_execution_error"


async def test_an_answer_that_is_too_long_is_not_read() -> None:
    async with mcp_server(json=True) as happened, connector(McpLimits(max_answer_bytes=20_000)) as narrow:
        session = narrow.open()
        with pytest.raises(McpError) as failed:
            await session.call_tool(happened.server(), "long", {"size": 30_000})
        assert (failed.value.kind, failed.value.code) == ("http_error", 502)
        assert await session.call_tool(happened.server(), "greet", {"name": "Ann"}) == "Hello, Ann!"


async def test_a_tool_that_does_not_exist_is_an_error(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        with pytest.raises(McpError, match="gone"):
            await mcp.open().call_tool(happened.server(), "gone", {})


# -- the way there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_a_server_that_refuses_is_an_http_error_with_its_status(status: int, mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        happened.answer = status
        with pytest.raises(McpError, match=rf"'maps' answered with HTTP status {status}") as failed:
            await mcp.open().list_tools(happened.server())
    assert (failed.value.kind, failed.value.code) == ("http_error", status)


async def test_nobody_there_is_an_http_error(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        server = happened.server()
    with pytest.raises(McpError, match="could not be reached") as failed:
        await mcp.open().list_tools(server)
    assert (failed.value.kind, failed.value.code) == ("http_error", 502)


async def test_the_guard_stands_before_every_server() -> None:
    async with mcp_server() as happened, connector(reach=Reach()) as closed:
        with pytest.raises(McpError, match=r"outgoing\.hosts") as failed:
            await closed.open().list_tools(happened.server())
        assert (failed.value.kind, failed.value.code) == ("http_error", 403)
        assert happened.requests == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"jsonrpc": "2.0", "id": 1, "result": 5}', b"<html>"])
async def test_what_is_no_mcp_is_a_protocol_error(body: bytes, mcp: McpConnector) -> None:
    async def nonsense(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async with serving(nonsense) as base:
        with pytest.raises(McpError) as failed:
            await mcp.open().list_tools(McpServer("odd", f"{base}/mcp"))
    assert failed.value.kind == "protocol_error"
    assert "<html>" not in str(failed.value)


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            while (await receive())["type"] != "http.disconnect":
                pass

    async with serving(silent) as base, connector(McpLimits(connect_s=0.1)) as narrow:
        with pytest.raises(McpError, match="did not answer in time") as failed:
            await narrow.open().list_tools(McpServer("silent", f"{base}/mcp"))
    assert failed.value.code == 504


async def test_a_tool_that_takes_too_long_is_cancelled_and_told_so() -> None:
    async with mcp_server() as happened, connector(McpLimits(request_s=0.1)) as narrow:
        with pytest.raises(McpError, match=r"did not answer within 0\.1 s") as failed:
            await narrow.open().call_tool(happened.server(), "wait", {})
        assert failed.value.code == 504
        await asyncio.wait_for(happened.cancelled.wait(), 5)


async def test_a_call_that_is_cancelled_is_cancelled_at_the_server(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        call = asyncio.create_task(mcp.open().call_tool(happened.server(), "wait", {}))
        await asyncio.wait_for(happened.started.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(happened.cancelled.wait(), 5)


async def test_calls_run_side_by_side(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session = mcp.open()
        waiting = asyncio.create_task(session.call_tool(happened.server(), "wait", {}))
        await asyncio.wait_for(happened.started.wait(), 5)
        assert await session.call_tool(happened.server(), "greet", {"name": "Ann"}) == "Hello, Ann!"
        assert not waiting.done()
        waiting.cancel()


# -- connections ------------------------------------------------------------------------------------------------------


async def test_a_failed_connection_is_tried_anew(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session = mcp.open()
        happened.answer = 503
        with pytest.raises(McpError):
            await session.list_tools(happened.server())
        happened.answer = None
        assert await session.list_tools(happened.server())


async def test_a_session_the_server_has_forgotten_is_opened_again(mcp: McpConnector) -> None:
    called = {"content": [{"type": "text", "text": "done"}]}
    tools = {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}
    forgetful = HandshakeServer({"tools/list": lambda _: tools, "tools/call": lambda _: called}, forgets_after=1)
    async with serving(forgetful) as base:
        server, session = McpServer("forgetful", f"{base}/mcp"), mcp.open()
        assert await session.call_tool(server, "t", {}) == "done"
        assert await session.call_tool(server, "t", {}) == "done"
    assert forgetful.asked("initialize") == 2
    assert [session_id for method, session_id in forgetful.seen if method == "tools/call"] == ["s1", "s1", "s2"]


async def test_only_the_request_that_was_told_the_session_is_gone_is_made_again() -> None:
    """While a tool is under way another request learns that the session is forgotten: the tool may have done it."""
    begun, listed_anew, paid = asyncio.Event(), asyncio.Event(), [0]
    pay = {"tools": [{"name": "pay", "inputSchema": {"type": "object"}}]}
    done = {"content": [{"type": "text", "text": "paid"}]}
    server = HandshakeServer({"tools/list": lambda _: pay, "tools/call": lambda _: done})

    async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive() if scope["type"] == "http" else {}
        method = json_.loads(message["body"])["method"] if message.get("body") else ""
        if method == "tools/call":
            paid[0] += 1
            begun.set()
            await listed_anew.wait()
        if method == "tools/list" and begun.is_set() and dict(scope["headers"])[b"mcp-session-id"] == b"s1":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return

        async def received() -> Any:
            return message

        await server(scope, received, send)

    async with connector() as mcp, serving(forgetful) as base:
        declared, session = McpServer("pay", f"{base}/mcp"), mcp.open()
        await session.list_tools(declared)
        paying = asyncio.create_task(session.call_tool(declared, "pay", {}))
        await asyncio.wait_for(begun.wait(), 5)
        assert len(await session.list_tools(declared)) == 1
        listed_anew.set()
        assert await asyncio.wait_for(paying, 5) == "paid", "its own connection stays until it is answered"
    assert paid == [1]


class ForgetsAfterACall(HandshakeServer):
    """Answers one call, and the first listing after it no more."""

    def _answer(self, method: str, message: dict[str, Any], session: str) -> tuple[int, bytes]:
        if method == "tools/list" and session == "s1" and self.asked("tools/call"):
            return 404, b""
        return super()._answer(method, message, session)


@pytest.mark.parametrize("listed", ["t", "other"])
async def test_a_session_that_is_forgotten_after_a_call_does_not_repeat_it(listed: str, mcp: McpConnector) -> None:
    """The SDK lists the tools to check a result; what that is answered is no answer to the call."""
    tools = {"tools": [{"name": listed, "inputSchema": {"type": "object"}}]}
    done = {"content": [{"type": "text", "text": "done"}]}
    server = ForgetsAfterACall({"tools/list": lambda _: tools, "tools/call": lambda _: done})
    async with serving(server) as base:
        declared, session = McpServer("pay", f"{base}/mcp"), mcp.open()
        if listed == "t":
            assert await session.call_tool(declared, "t", {}) == "done"
        else:
            with pytest.raises(McpError, match="404"):
                await session.call_tool(declared, "t", {})
    assert server.asked("tools/call") == 1
    assert server.asked("initialize") == 1


async def test_a_released_server_is_left_once_its_calls_are_through(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session = mcp.open()
        call = asyncio.create_task(session.call_tool(happened.server(), "wait", {}))
        await asyncio.wait_for(happened.started.wait(), 5)
        session.release(happened.server())
        session.release(happened.server("other"))
        await asyncio.sleep(0)
        assert not call.done()
        call.cancel()
        await mcp.close()


async def test_nothing_is_asked_after_the_session_is_over(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session = mcp.open()
        session.close()
        with pytest.raises(McpError, match="over"):
            await session.list_tools(happened.server())
        assert happened.requests == []


async def test_a_call_that_still_runs_when_the_session_closes_ends(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session = mcp.open()
        call = asyncio.create_task(session.call_tool(happened.server(), "wait", {}))
        await asyncio.wait_for(happened.started.wait(), 5)
        session.close()
        with pytest.raises(McpError, match="closed"):
            await call
