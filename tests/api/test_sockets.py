"""``GET /v1/realtime`` on a real server: the handshake, its refusals, limits and closes."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from tests.api.conftest import Serve
from tests.api.helpers import OFFER, SDP, World, bearer, build_world, key
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from perhop.cli.server import PerhopServer
from perhop.config import LimitSettings, Settings


def address(server: PerhopServer, query: str = "") -> str:
    return f"{server.url.replace('http', 'ws')}/v1/realtime{query}"


async def event(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next event of this type."""
    async with asyncio.timeout(5):
        while True:
            found: dict[str, Any] = json.loads(await socket.recv())
            if found["type"] == kind:
                return found


async def all_ended(world: World) -> None:
    """Returns once the server has seen every client go."""
    async with asyncio.timeout(5):
        while world.services.calls.live():  # noqa: ASYNC110 - the server's own loop, on the other end of a socket
            await asyncio.sleep(0)


async def refusal(uri: str, **how: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as caught:
        await connect(uri, **how)
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"{}").get("error", {})


async def test_the_session_comes_first_and_a_text_is_answered(serve: Serve) -> None:
    server = await serve(build_world())
    async with connect(address(server, "?model=gpt-realtime-mini&agent=echo")) as socket:
        first = json.loads(await socket.recv())
        assert first["type"] == "session.created"
        assert first["session"]["model"] == "gpt-realtime-mini"
        content = [{"type": "input_text", "text": "hello there"}]
        item = {"type": "message", "role": "user", "content": content}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await socket.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}).encode())
        done = await event(socket, "response.done")
    assert done["response"]["output"][0]["content"][0]["text"] == "hello there"


async def test_audio_comes_back_from_the_echo(serve: Serve) -> None:
    server = await serve(build_world())
    pcm = bytes(range(256)) * 4
    async with connect(address(server, "?agent=echo")) as socket:
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}))
        delta = await event(socket, "response.output_audio.delta")
    assert base64.b64decode(delta["delta"]) == pcm


async def test_an_agents_lock_shows_in_the_session(serve: Serve) -> None:
    server = await serve(build_world())
    async with connect(address(server, "?agent=oneroof")) as socket:
        created = await event(socket, "session.created")
        update = {"type": "session.update", "session": {"type": "realtime", "instructions": "Obey."}}
        await socket.send(json.dumps(update))
        updated = await event(socket, "session.updated")
    assert created["session"]["instructions"] == updated["session"]["instructions"] == "You sell homes."


async def test_the_call_is_listed_while_it_lives_and_gone_after(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    async with connect(address(server)) as socket:
        await event(socket, "session.created")
        (call,) = world.services.calls.live()
        assert call.transport == "websocket"
        assert call.snapshot().connected
    await all_ended(world)
    assert call.ended == "caller_hangup"


class TestHandshake:
    """Who gets in, and how that is answered."""

    async def test_a_browsers_subprotocol_is_answered_and_holds_the_key(self, serve: Serve) -> None:
        server = await serve(build_world(Settings(keys=(key("sk-1"),))))
        offered = ["realtime", "openai-insecure-api-key.sk-1", "openai-agents-sdk.0.20.0"]
        async with connect(address(server), subprotocols=offered) as socket:  # type: ignore[arg-type]
            assert socket.subprotocol == "realtime"
            await event(socket, "session.created")

    async def test_no_subprotocol_is_answered_when_none_was_offered(self, serve: Serve) -> None:
        server = await serve(build_world())
        async with connect(address(server)) as socket:
            assert socket.subprotocol is None

    async def test_a_wrong_key_is_refused_at_the_upgrade(self, serve: Serve) -> None:
        world = build_world(Settings(keys=(key("sk-1"), key("sk-2", name="stats", scopes=("stats",)))))
        server = await serve(world)
        assert (await refusal(address(server)))[0] == 401
        status, error = await refusal(address(server), additional_headers=bearer("sk-wrong"))
        assert (status, error["code"]) == (401, "invalid_api_key")
        status, error = await refusal(address(server), additional_headers=bearer("sk-2"))
        assert (status, error["code"]) == (403, "insufficient_scope")
        assert world.services.calls.live() == []

    @pytest.mark.parametrize(
        ("query", "status", "code"),
        [
            ("?agent=nobody", 404, "unknown_agent"),
            ("?call_id=rtc_none", 404, "session_not_found"),
        ],
    )
    async def test_what_is_not_there_is_said_so(self, serve: Serve, query: str, status: int, code: str) -> None:
        server = await serve(build_world())
        found, error = await refusal(address(server, query))
        assert (found, error["code"]) == (status, code)

    async def test_without_keys_a_page_from_elsewhere_is_refused(self, serve: Serve) -> None:
        server = await serve(build_world())
        status, error = await refusal(address(server), origin="https://evil.example")
        assert (status, error["code"]) == (403, "origin_not_allowed")
        async with connect(address(server), origin="http://localhost:3000"):  # type: ignore[arg-type]
            pass

    async def test_a_full_server_refuses(self, serve: Serve) -> None:
        server = await serve(build_world(Settings(limits=LimitSettings(max_calls=1))))
        async with connect(address(server)) as socket:
            await event(socket, "session.created")
            status, error = await refusal(address(server))
        assert (status, error["code"]) == (503, "server_overloaded")

    async def test_a_client_secret_opens_one_socket(self, serve: Serve) -> None:
        world = build_world()
        server = await serve(world)
        async with world.client() as http:
            minted = await http.post("/v1/realtime/client_secrets?agent=oneroof")
        secret = bearer(minted.json()["value"])
        async with connect(address(server), additional_headers=secret) as socket:
            created = await event(socket, "session.created")
        assert created["session"]["instructions"] == "You sell homes."
        status, error = await refusal(address(server), additional_headers=secret)
        assert (status, error["code"]) == (401, "client_secret_spent")

    async def test_a_refused_upgrade_does_not_spend_the_secret(self, serve: Serve) -> None:
        world = build_world(Settings(limits=LimitSettings(max_calls=1)))
        server = await serve(world)
        async with world.client() as http:
            secret = bearer((await http.post("/v1/realtime/client_secrets")).json()["value"])
        async with connect(address(server)) as socket:
            await event(socket, "session.created")
            assert (await refusal(address(server), additional_headers=secret))[0] == 503
        await all_ended(world)
        async with connect(address(server), additional_headers=secret) as socket:
            await event(socket, "session.created")

    @pytest.mark.parametrize(
        "how",
        [
            {"additional_headers": {"OpenAI-Beta": "realtime=v1"}},
            {"subprotocols": ["realtime", "openai-beta.realtime-v1"]},
        ],
    )
    async def test_the_beta_dialect_gets_the_documented_error_and_close(self, serve: Serve, how: Any) -> None:
        world = build_world()
        server = await serve(world)
        async with connect(address(server), **how) as socket:
            error = json.loads(await socket.recv())
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
        assert (error["type"], error["error"]["code"]) == ("error", "beta_api_shape_disabled")
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4000
        assert caught.value.rcvd.reason == "invalid_request_error.beta_api_shape_disabled"
        assert world.services.calls.live() == []

    async def test_nor_is_it_spoken_over_webrtc(self) -> None:
        world = build_world()
        async with world.client() as http:
            headers = {**SDP, "OpenAI-Beta": "realtime=v1"}
            answer = await http.post("/v1/realtime/calls", content=OFFER, headers=headers)
            other = await http.post(
                "/v1/realtime/calls", content=OFFER, headers={**SDP, "OpenAI-Beta": "assistants=v2"}
            )
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "beta_api_shape_disabled")
        assert other.status_code == 201


class TestLimits:
    """What a client can do wrong on an open connection."""

    async def test_a_message_just_over_the_limit_is_an_error_and_one_far_over_it_the_end(self, serve: Serve) -> None:
        server = await serve(build_world(Settings(limits=LimitSettings(max_message_bytes=16 << 20))))
        async with connect(address(server)) as socket:
            large = {"type": "input_audio_buffer.append", "event_id": "big", "audio": "A" * (16 << 20)}
            await socket.send(json.dumps(large | {"event_id": "big"}))
            error = await event(socket, "error")
            assert error["error"]["code"] == "message_too_large"
            with pytest.raises(ConnectionClosed) as caught:
                await socket.send("x" * (18 << 20))
                await socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009

    async def test_text_that_is_not_utf8_ends_its_connection_only(self, serve: Serve) -> None:
        world = build_world()
        server = await serve(world)
        async with connect(address(server)) as other:
            await event(other, "session.created")
            async with connect(address(server)) as socket:
                await event(socket, "session.created")
                await socket.send(b"\xff\xfe", text=True)
                with pytest.raises(ConnectionClosed) as caught:
                    await socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1007
            await other.send('{"type":"input_audio_buffer.clear"}')
            await event(other, "input_audio_buffer.cleared")

    async def test_pings_are_answered(self, serve: Serve) -> None:
        server = await serve(build_world())
        async with connect(address(server)) as socket, asyncio.timeout(5):
            await (await socket.ping())


class TestShutdown:
    """SIGTERM with live calls."""

    async def test_callers_are_told_and_nothing_hangs(self, serve: Serve) -> None:
        world = build_world()
        server = await serve(world)
        async with connect(address(server)) as socket:
            await event(socket, "session.created")
            server.should_exit = True
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    await socket.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "shutdown")
        assert world.services.calls.live() == []
        assert world.services.draining
