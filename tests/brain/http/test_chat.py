from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.brain.http.server import FakeServer, sse

from perhop.brain.http import HttpEndpoint, HttpMindProvider, open_client
from perhop.brain.providers import BrainError, FunctionCall, Said
from perhop.realtime.effects import StartResponse
from perhop.realtime.items import ContentPart, MessageItem

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-canary-key"
HELLO = MessageItem(role="user", content=[ContentPart(type="input_text", text="hello")])


def delta(finish: str | None = None, **fields: object) -> dict[str, object]:
    return {"id": "c", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call_delta(index: int, **function: str) -> dict[str, object]:
    return delta(tool_calls=[{"index": index, "function": function}])


REPLY = sse(
    delta(role="assistant", content=""),
    delta(content="One "),
    delta(content="moment — ça va."),
    call_delta(0, name="look", arguments=""),
    call_delta(0, arguments='{"city": "Oak'),
    call_delta(1, name="wave"),
    call_delta(0, arguments='land"}'),
    delta(finish="tool_calls"),
    {"choices": [], "usage": {"total_tokens": 3}},
)
WANTED = [
    Said("One "),
    Said("moment — ça va."),
    FunctionCall("look", '{"city": "Oakland"}'),
    FunctionCall("wave", "{}"),
]


def request(**changes: Any) -> StartResponse:
    fields: dict[str, Any] = {
        "response_id": "resp_1",
        "context": (HELLO,),
        "instructions": "Be kind.",
        "modality": "audio",
        "voice": "marin",
        "speed": 1.0,
        "tools": (),
        "tool_choice": "auto",
        "max_output_tokens": None,
    }
    return StartResponse(**{**fields, **changes})


def provider(server: FakeServer, client: httpx.AsyncClient, **changes: Any) -> HttpMindProvider:
    return HttpMindProvider(HttpEndpoint(client, server.url, key=SecretStr(KEY), **changes), model="m-1")


async def reply(minds: HttpMindProvider, asked: StartResponse | None = None) -> list[Said | FunctionCall]:
    return [piece async for piece in minds.open().respond(asked or request())]


@pytest.mark.parametrize("size", [1, 2, 7, 100, len(REPLY)])
async def test_text_and_calls_come_out_whole_however_the_stream_is_split(
    server: FakeServer, client: httpx.AsyncClient, size: int
) -> None:
    server.pieces = [REPLY[start : start + size] for start in range(0, len(REPLY), size)]
    assert await reply(provider(server, client)) == WANTED


async def test_the_request_has_the_shape_of_the_api(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [sse(delta(content="hi", finish="stop"))]
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "x-samples": ["look"]}}
    asked = request(
        tools=(tool,),
        tool_choice={"type": "function", "name": "look"},
        max_output_tokens=50,
        parallel_tool_calls=False,
    )
    assert await reply(provider(server, client), asked) == [Said("hi")]
    assert server.requests == [
        {
            "model": "m-1",
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}],
            "stream": True,
            "tools": [
                {"type": "function", "function": {"name": "look", "description": "", "parameters": {"type": "object"}}}
            ],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "parallel_tool_calls": False,
            "max_tokens": 50,
        }
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


async def test_text_is_there_before_the_reply_is_complete(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [REPLY[: REPLY.index(b"moment") + 40]]
    server.gate = asyncio.Event()
    pieces = provider(server, client).open().respond(request())
    assert await anext(pieces) == Said("One ")
    await pieces.aclose()


async def test_closing_the_reply_ends_the_request(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [REPLY[: REPLY.index(b"moment") + 40]]
    server.gate = asyncio.Event()
    pieces = provider(server, client, max_requests=1).open().respond(request())
    await anext(pieces)
    await pieces.aclose()
    async with asyncio.timeout(5):
        await server.ended.wait()
    server.gate = None
    server.pieces = [REPLY]
    assert await reply(provider(server, client, max_requests=1)) == WANTED


@pytest.mark.parametrize(
    "body",
    [
        b"data: {not json}\n\n",
        b"data: [1, 2]\n\n",
        b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
        b'data: {"error": {"message": "a secret"}}\n\n',
        b"data: " + b"x" * (2 << 20),
        b"",
        b"<html>a secret</html>",
        sse(delta(content="half")).replace(b"data: [DONE]\n\n", b""),
        sse(*(call_delta(index, name="x") for index in range(100))),
    ],
)
async def test_an_answer_that_is_none_is_an_error_that_repeats_nothing_of_it(
    server: FakeServer, client: httpx.AsyncClient, body: bytes
) -> None:
    server.pieces = [body]
    with pytest.raises(BrainError) as raised:
        await reply(provider(server, client))
    assert raised.value.code == "upstream_invalid"
    assert "127.0.0.1" in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_a_finished_reply_needs_no_done_line(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [sse(delta(content="all"), delta(finish="stop")).replace(b"data: [DONE]\n\n", b"")]
    assert await reply(provider(server, client)) == [Said("all")]


async def test_a_broken_connection_in_a_reply_is_an_error_and_not_tried_again(
    server: FakeServer, client: httpx.AsyncClient
) -> None:
    server.pieces = [REPLY[:300]]
    server.broken = True
    with pytest.raises(BrainError) as raised:
        await reply(provider(server, client))
    assert raised.value.code == "upstream_unreachable"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_failure_is_tried_again(server: FakeServer, client: httpx.AsyncClient, status: int) -> None:
    server.statuses = [status]
    server.pieces = [REPLY]
    assert await reply(provider(server, client)) == WANTED
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "code"), [(401, "upstream_unauthorized"), (404, "upstream_error")])
async def test_a_lasting_failure_is_not(server: FakeServer, client: httpx.AsyncClient, status: int, code: str) -> None:
    server.statuses = [status]
    with pytest.raises(BrainError) as raised:
        await reply(provider(server, client))
    assert raised.value.code == code
    assert str(status) in str(raised.value)
    assert len(server.requests) == 1


async def test_three_failures_are_enough(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.statuses = [500] * 9
    with pytest.raises(BrainError) as raised:
        await reply(provider(server, client))
    assert raised.value.code == "upstream_error"
    assert len(server.requests) == 3


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(server: FakeServer) -> None:
    server.gate = asyncio.Event()
    server.pieces = [b": hello\n\n"]
    async with open_client(timeout_s=0.2) as client:
        with pytest.raises(BrainError) as raised:
            await reply(provider(server, client))
    assert raised.value.code == "upstream_timeout"


async def test_a_server_that_is_not_there_is_named(client: httpx.AsyncClient) -> None:
    minds = HttpMindProvider(HttpEndpoint(client, "http://127.0.0.1:1/v1"), model="m")
    with pytest.raises(BrainError, match=r"127\.0\.0\.1") as raised:
        await reply(minds)
    assert raised.value.code == "upstream_unreachable"


async def test_one_request_too_many_is_refused(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [REPLY[: REPLY.index(b"moment") + 40]]
    server.gate = asyncio.Event()
    minds = provider(server, client, max_requests=1)
    pieces = minds.open().respond(request())
    await anext(pieces)
    with pytest.raises(BrainError) as raised:
        await reply(minds)
    assert raised.value.code == "engine_overloaded"
    await pieces.aclose()


async def test_the_key_is_in_no_repr_error_or_log(
    server: FakeServer, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.statuses = [503, 401]
    endpoint = HttpEndpoint(client, server.url, key=SecretStr(KEY))
    with pytest.raises(BrainError) as raised:
        await reply(HttpMindProvider(endpoint, model="m"))
    told = [repr(vars(endpoint)), repr(raised.value), str(raised.value.__cause__), caplog.text, *capsys.readouterr()]
    assert not [text for text in told if KEY in text]


async def test_a_turn_is_judged_by_its_last_word(server: FakeServer, client: httpx.AsyncClient) -> None:
    mind = provider(server, client).open()
    for partial, verdict in (
        ("i want to see a flat in", "incomplete"),
        ("well, um", "incomplete"),
        ("in oakland,", "incomplete"),
        ("in oakland", "unknown"),
        ("", "unknown"),
        ("Where is it?", "complete"),
    ):
        assert mind.judge([], partial) == verdict
    assert mind.expect([HELLO]).grammar is None
