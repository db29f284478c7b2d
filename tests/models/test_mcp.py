"""The built-in model with real MCP servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.models.brain import ForeseeableBrain
from tests.tools.mcp.servers import LOOPBACK, Happened, mcp_server

from perhop.brain.providers import FunctionCall, Said
from perhop.call.legs import EndReason
from perhop.models.local import LocalModel
from perhop.realtime.audio import AudioChunk
from perhop.realtime.effects import StartResponse
from perhop.realtime.events import ServerEvent, parse_client_event
from perhop.realtime.items import FunctionCallOutputItem
from perhop.realtime.mcp.declared import FollowUp, McpRules
from perhop.realtime.session import SessionConfig
from perhop.tools.guard import Guard, Reach
from perhop.tools.mcp.connector import McpConnector

OFFICIAL = TypeAdapter(RealtimeServerEvent)


class Client:
    """A caller of the model who remembers every frame, and waits for those it needs."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.frames: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def send(self, type_: str, **fields: Any) -> None:
        self.model.send(parse_client_event(orjson.dumps({"type": type_, **fields})))

    async def until(self, *wanted: str) -> list[dict[str, Any]]:
        """Waits until frames of these types have come, in this order; returns them and forgets what came so far."""
        async with asyncio.timeout(10):
            while (found := self._found(wanted)) is None:
                self._news.clear()
                await self._news.wait()
        self.frames.clear()
        return found

    def _found(self, wanted: tuple[str, ...]) -> list[dict[str, Any]] | None:
        frames, found = iter(self.frames), []
        for type_ in wanted:
            frame = next((frame for frame in frames if frame["type"] == type_), None)
            if frame is None:
                return None
            found.append(frame)
        return found

    def on_model_event(self, event: ServerEvent) -> None:
        frame = orjson.loads(event.to_json())
        OFFICIAL.validate_python(frame)
        self.frames.append(frame)
        self._news.set()

    def on_model_audio(self, chunk: AudioChunk) -> None: ...

    def on_model_closed(self, reason: EndReason, detail: str, *, fatal: bool = True) -> None: ...


def calls(name: str, arguments: dict[str, str]) -> Callable[[StartResponse], list[Said | FunctionCall]]:
    """A mind that calls a tool first and then says what it returned."""

    def reply(request: StartResponse) -> list[Said | FunctionCall]:
        last = request.context[-1] if request.context else None
        if isinstance(last, FunctionCallOutputItem):
            return [Said(last.output)]
        assert name in [tool["name"] for tool in request.tools]
        return [FunctionCall(name, json.dumps(arguments))]

    return reply


@asynccontextmanager
async def connected(
    brain: ForeseeableBrain | Callable[[StartResponse], list[Said | FunctionCall]],
    *,
    follow_up: FollowUp = "client",
    hosts: frozenset[str] = frozenset({"*"}),
) -> AsyncIterator[Client]:
    guard = Guard(Reach.of(networks=[LOOPBACK]))
    connector = McpConnector(guard, McpRules(hosts=hosts, follow_up=follow_up))
    if not isinstance(brain, ForeseeableBrain):
        brain = ForeseeableBrain(reply=brain)
    client = Client(brain.model(mcp=connector))
    text = {"type": "realtime", "output_modalities": ["text"]}
    client.model.start(client, SessionConfig.default().merged(text))
    try:
        yield client
    finally:
        client.model.close()
        await connector.close()
        await guard.aclose()


def declare(client: Client, happened: Happened, **fields: Any) -> None:
    tool = {"type": "mcp", "server_label": "maps", "server_url": happened.url, "require_approval": "never", **fields}
    client.send("session.update", session={"type": "realtime", "tools": [tool]})


async def test_a_tool_of_a_real_server_is_listed_called_and_answered() -> None:
    async with mcp_server() as happened, connected(calls("find", {"place": "Rome"})) as client:
        declare(client, happened)
        _, done = await client.until("mcp_list_tools.completed", "conversation.item.done")
        assert "find" in [tool["name"] for tool in done["item"]["tools"]]
        client.send("response.create")
        *_, done, response = await client.until(
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
            "response.output_item.done",
            "response.done",
        )
        assert json.loads(done["item"]["output"]) == {"name": "Rome", "country": "Italy"}
        assert response["response"]["status"] == "completed"
        client.send("response.create")
        text, _ = await client.until("response.output_text.done", "response.done")
        assert "Italy" in text["text"]


async def test_everything_can_be_sent_at_once() -> None:
    async with mcp_server() as happened, connected(calls("greet", {"name": "Ann"})) as client:
        declare(client, happened)
        client.send("response.create")
        _, response = await client.until("response.mcp_call.completed", "response.done")
        assert response["response"]["output"][0]["output"] == "Hello, Ann!"


async def test_the_model_can_go_on_by_itself() -> None:
    async with (
        mcp_server() as happened,
        connected(calls("greet", {"name": "Ann"}), follow_up="server") as client,
    ):
        declare(client, happened)
        client.send("response.create")
        text, response = await client.until("response.output_text.done", "response.done")
        assert text["text"] == "Hello, Ann!"
        assert [item["type"] for item in response["response"]["output"]] == ["mcp_call", "message"]


class EndlessVoice(ForeseeableBrain):
    """Never says a sentence to its end."""

    began: asyncio.Event
    stopped: asyncio.Event

    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncGenerator[bytes, None]:
        self.began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.stopped.set()
        yield b""


async def test_a_response_that_goes_on_can_be_cancelled() -> None:
    brain = EndlessVoice(reply=calls("greet", {"name": "Ann"}))
    brain.began, brain.stopped = asyncio.Event(), asyncio.Event()
    async with mcp_server() as happened, connected(brain, follow_up="server") as client:
        declare(client, happened)
        client.send("response.create", response={"output_modalities": ["audio"]})
        await asyncio.wait_for(brain.began.wait(), 10)
        client.send("response.cancel")
        [response] = await client.until("response.done")
        assert response["response"]["status"] == "cancelled"
        await asyncio.wait_for(brain.stopped.wait(), 10)


async def test_a_call_runs_once_it_is_approved() -> None:
    async with mcp_server() as happened, connected(calls("greet", {"name": "Ann"})) as client:
        declare(client, happened, require_approval="always")
        client.send("response.create")
        *_, asked = await client.until("response.created", "conversation.item.done", "response.output_item.done")
        assert asked["item"]["type"] == "mcp_approval_request"
        answer = {"type": "mcp_approval_response", "approval_request_id": asked["item"]["id"], "approve": True}
        client.send("conversation.item.create", item=answer)
        _, done = await client.until("response.mcp_call.completed", "response.output_item.done")
        assert done["item"]["output"] == "Hello, Ann!"


async def test_a_tool_that_fails_is_told_to_client_and_model() -> None:
    async with mcp_server() as happened, connected(calls("fail", {"reason": "No such place."})) as client:
        declare(client, happened)
        client.send("response.create")
        _, done, _ = await client.until("response.mcp_call.failed", "response.output_item.done", "response.done")
        assert done["item"]["error"]["type"] == "tool_execution_error"
        client.send("response.create")
        [text] = await client.until("response.output_text.done")
        assert "No such place." in text["text"]


async def test_a_server_that_is_not_there_is_told_to_the_client() -> None:
    async with connected(lambda _: [Said("Hi.")]) as client:
        async with mcp_server() as happened:
            pass
        declare(client, happened)
        _, done = await client.until("mcp_list_tools.failed", "conversation.item.done")
        assert "could not be reached" in done["item"]["error"]
        client.send("response.create")
        await client.until("response.done")


async def test_hosts_are_refused_before_anything_is_asked() -> None:
    async with mcp_server() as happened, connected(lambda _: [Said("Hi.")], hosts=frozenset()) as client:
        declare(client, happened)
        [error] = await client.until("error")
        assert "mcp.allowed_hosts" in error["error"]["message"]
        assert happened.requests == []


async def test_the_end_of_a_session_cancels_what_runs() -> None:
    async with mcp_server() as happened, connected(calls("wait", {})) as client:
        declare(client, happened)
        client.send("response.create")
        await asyncio.wait_for(happened.started.wait(), 10)
        client.model.close()
        await asyncio.wait_for(happened.cancelled.wait(), 10)


async def test_without_mcp_a_model_refuses_every_server() -> None:
    client = Client(ForeseeableBrain().model())
    client.model.start(client, SessionConfig.default())
    client.send(
        "session.update",
        session={
            "type": "realtime",
            "tools": [{"type": "mcp", "server_label": "maps", "server_url": "https://maps.example/"}],
        },
    )
    [error] = await client.until("error")
    assert error["error"]["param"] == "session.tools[0].server_url"
    client.model.close()


async def test_calls_of_different_sessions_do_not_meet() -> None:
    async with (
        mcp_server() as happened,
        connected(calls("greet", {"name": "Ann"})) as one,
        connected(calls("greet", {"name": "Bob"})) as other,
    ):
        for client in (one, other):
            declare(client, happened)
            client.send("response.create")
        outputs = [(await client.until("response.done"))[0]["response"]["output"] for client in (one, other)]
    assert [items[0]["output"] for items in outputs] == ["Hello, Ann!", "Hello, Bob!"]
