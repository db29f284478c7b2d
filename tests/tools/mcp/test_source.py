"""MCP servers that agents declare: their tools are tools like any other."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.tools.mcp.servers import HandshakeServer, connector, mcp_server, serving

from perhop.config.tools import McpToolSettings
from perhop.realtime.mcp.declared import McpServer
from perhop.tools.base import ToolContext
from perhop.tools.effects.ledger import EffectState, MemoryLedger
from perhop.tools.mcp.connector import McpConnector, McpLimits
from perhop.tools.mcp.provider import McpError
from perhop.tools.mcp.source import McpSource, McpTool, keep_listed
from perhop.tools.registry import ToolRegistry
from perhop.tools.result import ToolResult
from perhop.tools.retry import Backoff
from perhop.tools.runner import ToolRunner
from perhop.tools.services import ToolServices

TOO_LARGE, UNKNOWN, REFUSED = ("result_too_large", "done"), ("unknown_outcome", "unknown"), ("tool_failed", "refused")
"""What the model is told, and what is recorded."""

PROGRAM = Path(__file__).parent / "stdio_server.py"


@pytest.fixture
async def mcp() -> AsyncIterator[McpConnector]:
    async with connector() as made:
        yield made


def settings(**fields: Any) -> McpToolSettings:
    return McpToolSettings.model_validate({"kind": "mcp", **fields})


def program(*arguments: str, **fields: Any) -> McpToolSettings:
    return settings(command=[sys.executable, str(PROGRAM), *arguments], **fields)


async def run(session: Any, source: McpSource, name: str, arguments: str = "{}") -> ToolResult:
    runner = ToolRunner(services=ToolServices(mcp=session), backoff=Backoff(first_s=0.001))
    context = ToolContext(call_id="rtc_1", agent="a", tenant="t", function_call_id=f"call_{name}")
    return await runner.run(source.tools[name], arguments, context)


async def test_the_tools_of_a_server_become_tools_under_its_name(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session = mcp.open()
        source = McpSource("maps", settings(url=happened.url, headers={"X-Key": "s3cret"}, timeout_s=3))
        assert not source.tools
        await source.refresh(session)
        assert {"maps_find", "maps_greet", "maps_fail"} <= set(source.tools)
        find, greet = source.tools["maps_find"], source.tools["maps_greet"]
        assert (find.effect, greet.effect) == ("none", "once"), "unless it says that it only reads"
        assert (find.kind, find.description, find.timeout_s) == ("mcp", "Finds a place.", 3)
        assert json.loads((await run(session, source, "maps_find", '{"place":"Rome"}')).output)["country"] == "Italy"
        assert await run(session, source, "maps_greet", '{"name":"Ann"}') == ToolResult('"Hello, Ann!"')
        assert happened.headers("x-key") == {"s3cret"}
        assert "s3cret" not in repr(source)


async def test_what_a_tool_says_of_its_failure_is_told(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session, source = mcp.open(), McpSource("maps", settings(url=happened.url))
        await source.refresh(session)
        result = await run(session, source, "maps_fail", '{"reason":"No such street."}')
        assert result.code == "tool_failed"
        assert "No such street." in result.output


BOOKED = {"content": [{"type": "text", "text": "Booked."}]}


@pytest.mark.parametrize(
    ("answer", "code", "state"),
    [
        ({**BOOKED, "structuredContent": {"number": 1}}, None, "done"),
        ({"content": [{"type": "text", "text": "x" * 1_001}], "structuredContent": {"number": 1}}, *TOO_LARGE),
        ({**BOOKED, "structuredContent": {"number": "one"}}, *UNKNOWN),
        (BOOKED, *UNKNOWN),
        ({"content": "Booked."}, *UNKNOWN),
        (5, *UNKNOWN),
        (b"<html>Booked.", *UNKNOWN),
        ({**BOOKED, "isError": True}, *REFUSED),
        (None, *REFUSED),
    ],
    ids=[
        "taken",
        "too large",
        "unlike its schema",
        "without it",
        "no result",
        "no object",
        "page",
        "failed",
        "refused",
    ],
)
async def test_what_ran_is_not_recorded_as_refused_when_its_answer_is_not_taken(
    answer: Any, code: str | None, state: str
) -> None:
    output = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    tool = {"name": "book", "inputSchema": {"type": "object"}, "outputSchema": output}
    server = HandshakeServer({"tools/list": lambda _: {"tools": [tool]}})
    if isinstance(answer, bytes):
        server.written["tools/call"] = answer
    elif answer is not None:
        server.results["tools/call"] = lambda _: answer
    async with serving(server) as base, connector(McpLimits(max_result_bytes=1_000)) as mcp:
        assert await booked(mcp, base) == (code, state)
    assert server.asked("tools/call") == 1


async def test_what_ran_is_not_recorded_as_refused_when_the_listing_after_it_fails(mcp: McpConnector) -> None:
    server = HandshakeServer({"tools/list": lambda _: {"tools": []}})

    def call(_: object) -> object:
        del server.results["tools/list"]
        return BOOKED

    server.results["tools/call"] = call
    async with serving(server) as base:
        assert await booked(mcp, base) == UNKNOWN
    assert server.asked("tools/list") == 2


async def booked(mcp: McpConnector, base: str) -> tuple[str | None, str]:
    """The code of the result, and what is recorded of the effect."""
    ended: list[str] = []

    class Noting(MemoryLedger):
        def end(self, key: str, state: EffectState, code: str | None = None) -> None:
            ended.append(state)

    tool = McpTool(
        name="book",
        description="Books.",
        parameters={"type": "object"},
        server=McpServer("desk", f"{base}/mcp"),
        remote_name="book",
    )
    context = ToolContext(call_id="rtc_1", agent="a", tenant="t", function_call_id="call_1")
    runner = ToolRunner(services=ToolServices(mcp=mcp.open()), effects=Noting())
    result = await runner.run(tool, "{}", context)
    await runner.close()
    [state] = ended
    return result.code, state


async def test_a_server_that_is_gone_is_unavailable_and_its_tools_stay(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session, source = mcp.open(), McpSource("maps", settings(url=happened.url))
        await source.refresh(session)
    with pytest.raises(McpError):
        await source.refresh(session)
    assert (await run(session, source, "maps_find", '{"place":"Rome"}')).code == "unavailable"
    assert (await run(session, source, "maps_greet", '{"name":"Ann"}')).code == "unknown_outcome"


async def test_settings_choose_name_and_judge(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        given = settings(
            url=happened.url, prefix="", include=["find", "greet"], effects={"greet": "none"}, max_concurrent=1
        )
        source = McpSource("maps", given)
        await source.refresh(mcp.open())
        assert set(source.tools) == {"find", "greet"}
        assert source.tools["greet"].effect == "none"
        assert source.tools["greet"].max_concurrent == 1


async def test_a_tool_that_cannot_be_one_is_left_out_and_the_others_are_there(mcp: McpConnector) -> None:
    def tools(_: object) -> dict[str, Any]:
        schemas = {
            "good": {"type": "object"},
            "bad pattern": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a)\\1"}}},
            "leads out": {"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/x"}}},
            "x" * 80: {"type": "object"},
        }
        return {"tools": [{"name": name, "inputSchema": schema} for name, schema in schemas.items()]}

    async with serving(HandshakeServer({"tools/list": tools})) as base:
        source = McpSource("s", settings(url=f"{base}/mcp"))
        await source.refresh(mcp.open())
        assert set(source.tools) == {"s_good"}


async def test_a_tool_described_as_before_stays_the_same(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        session, source = mcp.open(), McpSource("maps", settings(url=happened.url))
        await source.refresh(session)
        before = dict(source.tools)
        await source.refresh(session)
        assert dict(source.tools) == before


async def test_a_server_that_comes_late_is_found(mcp: McpConnector) -> None:
    async with mcp_server() as happened:
        registry = ToolRegistry(declared={"maps": settings(url=happened.url)})
        tools = registry.load_all(["maps", "builtin:hang_up"])
        assert set(tools) == {"hang_up"}
        assert len(tools) == 1
        listed = asyncio.Event()
        session = mcp.open()

        class Listening:
            async def list_tools(self, server: Any) -> Any:
                found = await session.list_tools(server)
                asyncio.get_running_loop().call_soon(listed.set)
                return found

            async def call_tool(self, server: Any, name: str, arguments: Any) -> str:
                raise AssertionError

        keeping = asyncio.create_task(keep_listed(registry.sources, Listening()))
        await listed.wait()
        await asyncio.sleep(0)
        assert "maps_find" in tools
        assert registry.find("maps_find") is tools["maps_find"]
        assert next(iter(tools)) == "hang_up"
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_a_program_is_started_and_spoken_to(mcp: McpConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERHOP_TEST_CANARY", "must not be seen")
    session, source = mcp.open(), McpSource("prog", program("--fast", env={"SECRET": "s3cret"}))
    await source.refresh(session)
    assert set(source.tools) == {"prog_where", "prog_leave"}
    seen = json.loads((await run(session, source, "prog_where")).output)
    assert seen == {"secret": "s3cret", "other": None, "args": ["--fast"]}
    assert "s3cret" not in repr(source)


async def test_a_program_that_ended_is_started_again(mcp: McpConnector) -> None:
    session, source = mcp.open(), McpSource("prog", program(timeout_s=60))
    await source.refresh(session)
    assert (await run(session, source, "prog_leave")).code == "unknown_outcome"
    assert (await run(session, source, "prog_where")).ok


async def test_a_program_that_is_not_there_is_an_error_like_any_other(mcp: McpConnector) -> None:
    with pytest.raises(McpError, match="could not be reached"):
        await McpSource("prog", settings(command=["/no/such/program"])).refresh(mcp.open())
