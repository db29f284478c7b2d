"""Every way a call can end, on a real server: the caller, the API, the webhook, the metric and the log say the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from bench.webrtc_caller import LightCaller
from tests.integration.gateway import Gateway, eventually, gateway
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


class Ended:
    """What a WebSocket caller saw: codes of error events, then code and reason of the close."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.close: tuple[int, str] | None = None


async def to_the_end(socket: ClientConnection) -> Ended:
    ended = Ended()
    try:
        async with asyncio.timeout(20):
            async for message in socket:
                event = json.loads(message)
                if event["type"] == "error":
                    ended.errors.append(event["error"]["code"])
    except ConnectionClosed:
        pass
    if socket.protocol.close_rcvd is not None:
        ended.close = (socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason)
    return ended


async def call_of(server: Gateway, known: set[str] | None = None) -> str:
    """The one call that lives there and was not known before."""

    def new() -> list[str]:
        return [call["id"] for call in server.live() if call["id"] not in (known or set())]

    found: list[str] = await eventually(new)
    assert len(found) == 1
    return found[0]


async def created(socket: ClientConnection) -> None:
    assert json.loads(await socket.recv())["type"] == "session.created"


def client(server: Gateway) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, timeout=10)


class TestByTheCaller:
    async def test_a_websocket_caller_hangs_up(self, server: Gateway) -> None:
        async with connect(f"{server.ws}?agent=echo") as socket:
            await created(socket)
            call = await call_of(server)
        assert await server.ended(call) == "caller_hangup"

    async def test_a_webrtc_caller_hangs_up(self, server: Gateway) -> None:
        async with client(server) as http, LightCaller() as caller:
            await caller.call(http)
            caller.hang_up()
            assert await server.ended(caller.call_id) == "caller_hangup"

    async def test_a_websocket_caller_is_lost(self, server: Gateway) -> None:
        async with connect(f"{server.ws}?agent=echo") as socket:
            await created(socket)
            call = await call_of(server)
            socket.transport.abort()
        assert await server.ended(call) == "caller_lost"

    async def test_nobody_comes_after_an_offer(self, server: Gateway) -> None:
        async with client(server) as http, LightCaller() as caller:
            answer = await http.post(
                "/v1/realtime/calls?agent=echo",
                content=caller.peer.offer,
                headers={"Content-Type": "application/sdp"},
            )
            call = answer.headers["location"].rsplit("/", 1)[1]
            assert await server.ended(call) == "caller_never_connected"

    async def test_a_caller_breaks_the_protocol(self, server: Gateway) -> None:
        async with connect(f"{server.ws}?agent=echo") as socket:
            await created(socket)
            call = await call_of(server)
            socket.transport.write(b"\xff\xff\xff\xff")  # no frame of RFC 6455
            ended = await to_the_end(socket)
        assert ended.close is not None
        assert ended.close[0] == 1002
        assert await server.ended(call) == "caller_abuse"


class TestByTheServer:
    async def test_a_websocket_call_is_hung_up_by_the_api(self, server: Gateway) -> None:
        async with connect(f"{server.ws}?agent=echo") as socket, client(server) as http:
            await created(socket)
            call = await call_of(server)
            (await http.post(f"/v1/realtime/calls/{call}/hangup")).raise_for_status()
            ended = await to_the_end(socket)
        assert (ended.errors, ended.close) == ([], (1000, "api_hangup"))
        assert await server.ended(call) == "api_hangup"

    async def test_a_webrtc_call_is_hung_up_by_the_api(self, server: Gateway) -> None:
        async with client(server) as http, LightCaller() as caller:
            await caller.call(http)
            await caller.talk(3)
            (await http.post(f"/v1/realtime/calls/{caller.call_id}/hangup")).raise_for_status()
            assert await eventually(caller.goodbye) == "api_hangup"
            assert await server.ended(caller.call_id) == "api_hangup"

    async def test_a_model_cannot_be_reached(self, server: Gateway) -> None:
        known = {call["id"] for call in server.live()}
        async with connect(f"{server.ws}?agent=dead") as socket:
            call = await call_of(server, known)
            ended = await to_the_end(socket)
        assert (ended.errors, ended.close) == (["model_failed"], (1011, "model_failed"))
        assert await server.ended(call) == "model_failed"

    async def test_a_call_lasts_as_long_as_it_may(self, tmp_path: Path) -> None:
        with gateway(tmp_path, "[limits]\nmax_call_s = 1\n") as short:
            async with connect(f"{short.ws}?agent=echo") as socket, client(short) as http, LightCaller() as caller:
                call = await call_of(short)
                await caller.call(http)
                ended = await to_the_end(socket)
                assert (ended.errors, ended.close) == (["session_expired"], (1001, "session_expired"))
                assert await short.ended(call) == "session_expired"
                assert await eventually(caller.goodbye) == "session_expired"
                assert await short.ended(caller.call_id) == "session_expired"


async def test_a_model_ends_its_session_and_there_is_no_other(tmp_path: Path) -> None:
    async def model(socket: ServerConnection) -> None:
        await socket.close(1000, "done")

    async with serve(model, "127.0.0.1", 0) as upstream:
        port = next(iter(upstream.sockets)).getsockname()[1]
        settings = f"""
[server]
default_model = "rude"
[models.rude]
url = "http://127.0.0.1:{port}/v1"
[sessions]
give_up_s = 1
"""
        with gateway(tmp_path, settings) as server:
            async with connect(server.ws) as socket:
                call = await call_of(server)
                ended = await to_the_end(socket)
            assert (ended.errors, ended.close) == (["model_closed"], (1011, "model_closed"))
            assert await server.ended(call) == "model_closed"


class TestShutdown:
    """SIGTERM: no new calls, the live ones finish or are told, exit code 0."""

    async def test_live_calls_finish_and_new_ones_are_sent_elsewhere(self, tmp_path: Path) -> None:
        with gateway(tmp_path, "[server]\ndrain_s = 30\n") as server:
            async with client(server) as http, LightCaller() as late, LightCaller() as caller:
                async with connect(f"{server.ws}?agent=echo") as socket:
                    await created(socket)
                    call = await call_of(server)
                    await caller.call(http)
                    server.signal()
                    await eventually(lambda: server.log("draining"))
                    await eventually(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
                    offer = await http.post(
                        "/v1/realtime/calls?agent=echo",
                        content=late.peer.offer,
                        headers={"Content-Type": "application/sdp"},
                    )
                    assert refusal(offer) == (503, "server_shutdown", True)
                    with pytest.raises(InvalidStatus) as refused:
                        await connect(f"{server.ws}?agent=echo")
                    upgrade = refused.value.response
                    assert upgrade.status_code == 503
                    assert "Retry-After" in upgrade.headers
                    # The live ones go on: text and audio come back, a controller may join.
                    await say(socket, "still here")
                    await caller.talk(10)
                    await caller.heard()
                    async with connect(f"{server.ws}?call_id={call}") as controller:
                        await created(controller)
                caller.hang_up()
                code = await asyncio.to_thread(server.process.wait, 20)
            assert code == 0
            assert await server.ended(call) == "caller_hangup"
            assert await server.ended(caller.call_id) == "caller_hangup"

    async def test_after_drain_s_callers_are_told(self, tmp_path: Path) -> None:
        with gateway(tmp_path, "[server]\ndrain_s = 0.3\n") as server:
            async with client(server) as http, LightCaller() as caller:
                async with connect(f"{server.ws}?agent=echo") as socket:
                    await created(socket)
                    call = await call_of(server)
                    await caller.call(http)
                    await caller.talk(3)
                    server.signal()
                    ended = await to_the_end(socket)
                assert (ended.errors, ended.close) == (["server_shutdown"], (1001, "shutdown"))
                assert await eventually(caller.goodbye) == "shutdown"
                assert await asyncio.to_thread(server.process.wait, 20) == 0
                assert await server.ended(call) == "shutdown"
                assert await server.ended(caller.call_id) == "shutdown"

    async def test_a_second_signal_waits_no_longer(self, tmp_path: Path) -> None:
        with gateway(tmp_path, "[server]\ndrain_s = 3600\n") as server:
            async with connect(f"{server.ws}?agent=echo") as socket:
                await created(socket)
                call = await call_of(server)
                server.signal()
                await eventually(lambda: server.log("draining"))
                server.signal()
                ended = await to_the_end(socket)
            assert ended.close == (1001, "shutdown")
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            assert await server.ended(call) == "shutdown"


def refusal(response: httpx.Response) -> tuple[int, str, bool]:
    return response.status_code, response.json()["error"]["code"], "Retry-After" in response.headers


async def say(socket: ClientConnection, text: str) -> None:
    """Says this and waits for the echo."""
    item: dict[str, Any] = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create"}))
    async with asyncio.timeout(5):
        while json.loads(await socket.recv())["type"] != "response.done":
            pass
