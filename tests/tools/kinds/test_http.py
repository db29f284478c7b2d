"""HTTP tools ask real servers, through the guard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr
from tests.tools.guard.servers import Answer, HttpServer, Seen, guard, http_server, says

from perhop.tools.base import ToolContext
from perhop.tools.effects.ledger import MemoryLedger
from perhop.tools.guard import Guard
from perhop.tools.kinds.http import HttpTool
from perhop.tools.result import ToolResult
from perhop.tools.retry import Backoff
from perhop.tools.runner import ToolRunner
from perhop.tools.services import ToolServices

QUICK = Backoff(first_s=0.001, most_s=0.002, patience_s=0.5)
JSON = ["Content-Type: application/json"]


@pytest.fixture
async def way_out() -> AsyncIterator[Guard]:
    made = guard()
    yield made
    await made.aclose()


def context(number: int = 1) -> ToolContext:
    return ToolContext(call_id="rtc_1", agent="desk", tenant="acme", function_call_id=f"call_{number}")


def http_tool(server: HttpServer, **changes: Any) -> HttpTool:
    given: dict[str, Any] = {
        "name": "book",
        "description": "Books.",
        "method": "POST",
        "url": server.url(path="/rooms/{room}"),
        "parameters": {
            "type": "object",
            "properties": {"room": {"type": "string"}, "nights": {"type": "integer", "minimum": 1}},
            "required": ["room"],
        },
        "headers": {"Authorization": SecretStr("Bearer s3cret")},
    }
    return HttpTool(**{**given, **changes})


async def run(tool: HttpTool, way_out: Guard, arguments: dict[str, Any] | None = None, number: int = 1) -> ToolResult:
    runner = ToolRunner(services=ToolServices(guard=way_out), backoff=QUICK)
    return await runner.run(tool, json.dumps({"room": "a b"} if arguments is None else arguments), context(number))


def in_turn(answers: Sequence[Answer]) -> Answer:
    left = list(answers)

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(seen, writer)

    return answer


async def hangs_up(_: Seen, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_the_server_is_asked_and_its_json_is_the_result(way_out: Guard) -> None:
    async with http_server(says(b'{"ref":7}', headers=JSON)) as server:
        result = await run(http_tool(server), way_out, {"room": "a b", "nights": 2})
    assert result == ToolResult('{"ref":7}')
    [seen] = server.seen
    assert (seen.method, seen.target, json.loads(seen.body)) == ("POST", "/rooms/a%20b", {"nights": 2})
    assert seen.headers["authorization"] == "Bearer s3cret"
    assert seen.headers["idempotency-key"] == context().idempotency_key


async def test_a_tool_without_effect_sends_no_key(way_out: Guard) -> None:
    async with http_server(says(b"[]", headers=JSON)) as server:
        await run(http_tool(server, effect="none"), way_out)
    assert "idempotency-key" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("body", "headers", "output"),
    [
        (b"", [], '{"ok":true}'),
        (b"plain words", ["Content-Type: text/plain"], '{"text":"plain words"}'),
        (b"{broken", JSON, '{"text":"{broken"}'),
        (b"3", JSON, "3"),
    ],
)
async def test_other_answers_are_results_too(way_out: Guard, body: bytes, headers: list[str], output: str) -> None:
    async with http_server(says(body, headers=headers)) as server:
        assert await run(http_tool(server), way_out) == ToolResult(output)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        ("404 Not Found", b'{"detail":"No such room."}', "book refused (HTTP 404): No such room."),
        ("409 Conflict", b'{"error":{"message":"Taken."}}', "book refused (HTTP 409): Taken."),
        ("422 Wrong", b'{"secret":"x"}', "book refused (HTTP 422)."),
        ("403 Forbidden", b'{"detail":"key s3cret"}', "book is not permitted (HTTP 403)."),
    ],
)
async def test_a_refusal_is_told_in_the_servers_words(way_out: Guard, status: str, body: bytes, message: str) -> None:
    async with http_server(says(body, status=status, headers=JSON)) as server:
        result = await run(http_tool(server, idempotent=True), way_out)
    assert json.loads(result.output)["error"] == {"code": "tool_failed", "message": message}
    assert len(server.seen) == 1, "it is final"


async def test_what_may_be_repeated_is_tried_again_with_the_same_key(way_out: Guard) -> None:
    answers = in_turn([says(status="503 Later"), hangs_up, says(b'{"ref":7}', headers=JSON)])
    async with http_server(answers) as server:
        result = await run(http_tool(server, idempotent=True), way_out)
    assert result.ok
    assert [seen.headers["idempotency-key"] for seen in server.seen] == [context().idempotency_key] * 3


@pytest.mark.parametrize("failing", [says(status="503 Later"), says(status="500 Oops"), hangs_up])
async def test_an_effect_that_may_have_happened_is_not_tried_again(way_out: Guard, failing: Answer) -> None:
    async with http_server(failing) as server:
        result = await run(http_tool(server), way_out)
    assert result.code == "unknown_outcome"
    assert "do not repeat it" in result.output
    assert len(server.seen) == 1


async def test_an_effect_that_certainly_did_not_happen_is_tried_again(way_out: Guard) -> None:
    answers = in_turn([says(status="429 Slow down", headers=["Retry-After: 0"]), says(b'{"ref":7}', headers=JSON)])
    async with http_server(answers) as server:
        assert (await run(http_tool(server), way_out)).ok
    assert len(server.seen) == 2


@pytest.mark.parametrize("location", ["http://two.example:1/orders/7", "http://127.0.0.1/orders/7", "/orders/7"])
@pytest.mark.parametrize("behind", ["429 Slow down", "404 Gone", "503 Later"])
async def test_what_fails_behind_a_redirect_says_nothing_of_the_effect(
    way_out: Guard, location: str, behind: str
) -> None:
    moved = says(status="303 See Other", headers=[f"Location: {location}"])
    ledger = MemoryLedger()
    async with http_server(in_turn([moved, says(status=behind)])) as server:
        runner = ToolRunner(services=ToolServices(guard=way_out), effects=ledger, backoff=QUICK)
        result = await runner.run(http_tool(server), '{"room": "a"}', context())
    assert [seen.method for seen in server.seen].count("POST") == 1
    assert result.code == "unknown_outcome"


async def test_a_request_that_was_sent_on_as_it_is_is_answered_where_it_went(way_out: Guard) -> None:
    moved = says(status="307 Elsewhere", headers=["Location: /other"])
    async with http_server(in_turn([moved, says(b'{"detail":"full"}', status="409 Conflict", headers=JSON)])) as server:
        result = await run(http_tool(server), way_out)
    assert result.code == "tool_failed"


async def test_nobody_waits_a_minute_because_a_server_asks_for_it(way_out: Guard) -> None:
    async with http_server(says(status="429 Slow down", headers=["Retry-After: 60"])) as server:
        result = await run(http_tool(server), way_out)
    assert result.code == "unavailable"
    assert len(server.seen) == 1


async def test_a_server_that_is_not_there_has_had_no_effect(way_out: Guard) -> None:
    async with http_server(says()) as server:
        pass
    result = await run(http_tool(server), way_out)
    assert result.code == "unavailable"
    assert "one.example could not be reached" in result.output


async def test_a_private_address_is_not_reached_and_the_model_learns_no_path(way_out: Guard) -> None:
    async with http_server(says()) as server:
        tool = http_tool(server, url=f"http://127.0.0.1:{server.port}/rooms/{{room}}")
        result = await run(tool, way_out)
    assert result.code == "unavailable"
    assert not server.seen
    assert "/rooms" not in result.output


async def test_without_a_way_out_nothing_is_sent() -> None:
    async with http_server(says()) as server:
        result = await ToolRunner(backoff=QUICK).run(http_tool(server), '{"room":"a"}', context())
    assert result.code == "unavailable"
    assert not server.seen


async def test_an_answer_too_large_for_a_model_is_told_as_such(way_out: Guard) -> None:
    async with http_server(says(b'"' + b"x" * 70_000 + b'"', headers=JSON)) as server:
        assert (await run(http_tool(server), way_out)).code == "result_too_large"


@pytest.mark.parametrize(
    "room",
    ["../admin", "..", "a/../../b", "x\r\nHost: evil", "", "\x00", "..\\..\\x"],
)
async def test_an_argument_that_would_leave_its_place_is_refused_and_nothing_is_sent(way_out: Guard, room: str) -> None:
    async with http_server(says()) as server:
        result = await run(http_tool(server), way_out, {"room": room})
    assert result.code == "invalid_arguments"
    assert json.loads(result.output)["error"]["fields"]["room"]
    assert not server.seen


@pytest.mark.parametrize("room", ["a?b=c", "a#b", "a;b", "%2e%2e%2f", "@evil", "{room}", "' OR 1=1 --", "ü"])
async def test_any_other_argument_arrives_as_it_is(way_out: Guard, room: str) -> None:
    from urllib.parse import unquote

    async with http_server(says(b"{}", headers=JSON)) as server:
        assert (await run(http_tool(server), way_out, {"room": room})).ok
    assert server.seen[0].target.count("/") == 2
    assert unquote(server.seen[0].target.removeprefix("/rooms/")) == room
