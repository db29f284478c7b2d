"""``GET /v1/realtime?call_id=…`` on a real server: controllers of live calls, with the official client where it can."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.api.conftest import Serve
from tests.api.helpers import OFFER, SDP, World, bearer, build_world, key
from tests.api.test_sockets import address, all_ended, event, refusal
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from perhop.call.taps import MAX_TAPS
from perhop.cli.server import PerhopServer
from perhop.config import Settings

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def official(server: PerhopServer, api_key: str = "sk-any") -> AsyncOpenAI:
    return AsyncOpenAI(api_key=api_key, base_url=f"{server.url}/v1", max_retries=0)


async def webrtc_call(world: World, **headers: str) -> str:
    """Starts a call as a browser does; its id."""
    async with world.client() as http:
        answer = await http.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **headers})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rsplit("/", 1)[1]


async def test_the_official_client_takes_part_in_a_webrtc_call(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    seen = []
    async with official(server) as openai:
        raw = await openai.realtime.calls.with_raw_response.create(
            sdp=OFFER, session={"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
        )
        call_id = raw.headers["location"].rsplit("/", 1)[1]
        async with openai.realtime.connect(call_id=call_id) as sideband:
            first = await sideband.recv()
            assert first.type == "session.created"
            assert first.session.type == "realtime"
            assert first.session.instructions == "Be brief."
            await sideband.session.update(session={"type": "realtime", "output_modalities": ["text"]})
            content: Any = [{"type": "input_text", "text": "hello from the side"}]
            await sideband.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            await sideband.response.create()
            while not seen or seen[-1].type != "response.done":
                seen.append(_EVENTS.validate_json(await sideband.recv_bytes()))
            await openai.realtime.calls.hangup(call_id)
            async for _ in sideband:
                pass
    [leg] = world.edge.legs
    assert leg.closed == "api_hangup"
    assert [sent.type for sent in leg.sent[1:]] == [event.type for event in seen]
    assert seen[-1].response.output[0].content[0].text == "hello from the side"


async def test_the_end_of_the_call_closes_it_with_1000_and_the_reason(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    call_id = await webrtc_call(world)
    async with connect(address(server, f"?call_id={call_id}")) as sideband:
        await event(sideband, "session.created")
        async with httpx.AsyncClient() as http:
            assert (await http.post(f"{server.url}/v1/realtime/calls/{call_id}/hangup")).status_code == 200
        with pytest.raises(ConnectionClosed) as caught:
            await sideband.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1000, "api_hangup")
    status, error = await refusal(address(server, f"?call_id={call_id}"))
    assert (status, error["code"]) == (404, "session_not_found")


async def test_a_websocket_call_is_controlled_in_the_same_way(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    async with connect(address(server)) as caller:
        created = await event(caller, "session.created")
        [call] = world.services.calls.live()
        async with connect(address(server, f"?call_id={call.id}&model=ignored")) as sideband:
            joined = await event(sideband, "session.created")
            assert joined["session"] == created["session"]
            update = {"type": "session.update", "session": {"type": "realtime", "instructions": "Sing."}}
            await sideband.send(json.dumps(update))
            for socket in (caller, sideband):
                assert (await event(socket, "session.updated"))["session"]["instructions"] == "Sing."
            await sideband.send('{"type":"response.cancel","event_id":"mine"}')
            assert (await event(sideband, "error"))["error"]["event_id"] == "mine"
        while call.snapshot().taps:  # noqa: ASYNC110 - the server's own loop
            await asyncio.sleep(0)
        await caller.send('{"type":"input_audio_buffer.clear","event_id":"e1"}')
        found = json.loads(await caller.recv())
        assert found["type"] == "input_audio_buffer.cleared", "nothing of the controller's error, and the call goes on"


async def test_the_models_voice_is_sent_on_demand(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    call_id = await webrtc_call(world)
    pcm = bytes(range(240))
    async with (
        connect(address(server, f"?call_id={call_id}&audio=true")) as hearing,
        connect(address(server, f"?call_id={call_id}")) as deaf,
    ):
        await event(deaf, "session.created")
        append = {"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}
        await deaf.send(json.dumps(append))
        assert base64.b64decode((await event(hearing, "response.output_audio.delta"))["delta"]) == pcm
        await deaf.send('{"type":"input_audio_buffer.clear"}')
        assert json.loads(await deaf.recv())["type"] == "input_audio_buffer.cleared"


async def test_a_browser_offers_its_key_as_a_subprotocol(serve: Serve) -> None:
    world = build_world(Settings(keys=(key("sk-1"),)))
    server = await serve(world)
    call_id = await webrtc_call(world, **bearer("sk-1"))
    offered: Any = ["realtime", "openai-insecure-api-key.sk-1"]
    async with connect(address(server, f"?call_id={call_id}"), subprotocols=offered) as socket:
        assert socket.subprotocol == "realtime"


async def test_the_server_going_away_ends_it_with_1001(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    call_id = await webrtc_call(world)
    async with connect(address(server, f"?call_id={call_id}")) as sideband:
        await event(sideband, "session.created")
        server.should_exit = True
        assert (await event(sideband, "error"))["error"]["code"] == "server_shutdown"
        with pytest.raises(ConnectionClosed) as caught:
            await sideband.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "shutdown")


class TestAccess:
    """A key reaches the calls of its tenant, a client secret the call it opened."""

    KEYS = (
        key("sk-red", name="red", tenant="red"),
        key("sk-blue", name="blue", tenant="blue"),
        key("sk-stats", name="stats", tenant="red", scopes=("stats",)),
        key("sk-admin", name="admin", tenant="blue", scopes=("admin",)),
        key("sk-operator", name="operator", tenant="ops", scopes=("operator",)),
    )

    async def test_other_tenants_do_not_learn_that_a_call_exists(self, serve: Serve) -> None:
        world = build_world(Settings(keys=self.KEYS))
        server = await serve(world)
        call_id = await webrtc_call(world, **bearer("sk-red"))
        theirs = address(server, f"?call_id={call_id}")
        nobodys = address(server, "?call_id=rtc_none")
        assert (await refusal(theirs))[0] == 401
        assert (await refusal(theirs, additional_headers=bearer("sk-wrong")))[0] == 401
        assert (await refusal(theirs, additional_headers=bearer("sk-stats")))[0] == 403
        for uri in (theirs, nobodys):
            for other in ("sk-blue", "sk-admin"):
                status, error = await refusal(uri, additional_headers=bearer(other))
                assert (status, error["code"], error["param"]) == (404, "session_not_found", "call_id")
        for value in ("sk-red", "sk-operator"):
            async with connect(theirs, additional_headers=bearer(value)) as sideband:
                await event(sideband, "session.created")
        assert len(world.services.calls.live()) == 1

    async def test_a_client_secret_controls_its_own_call_and_no_other(self, serve: Serve) -> None:
        world = build_world(Settings(keys=self.KEYS))
        server = await serve(world)
        async with world.client() as http:
            minted = [await http.post("/v1/realtime/client_secrets", headers=bearer("sk-red")) for _ in range(2)]
        mine, unused = (bearer(answer.json()["value"]) for answer in minted)
        own = await webrtc_call(world, **mine)
        other = await webrtc_call(world, **bearer("sk-red"))
        async with connect(address(server, f"?call_id={own}"), additional_headers=mine) as sideband:
            await event(sideband, "session.created")
        for call_id, secret in ((other, mine), (own, unused), (other, unused), (own, bearer("ek_nonsense"))):
            status, error = await refusal(address(server, f"?call_id={call_id}"), additional_headers=secret)
            assert (status, error["code"]) == (404, "session_not_found")

    async def test_wrong_parameters_and_one_too_many_are_refused(self, serve: Serve) -> None:
        world = build_world()
        server = await serve(world)
        call_id = await webrtc_call(world)
        status, error = await refusal(address(server, f"?call_id={call_id}&audio=maybe"))
        assert (status, error["param"]) == (400, "audio")
        call = world.services.calls.get(call_id)
        assert call is not None
        assert call.snapshot().taps == 0
        sidebands = [await connect(address(server, f"?call_id={call_id}")) for _ in range(MAX_TAPS)]
        status, error = await refusal(address(server, f"?call_id={call_id}"))
        assert (status, error["code"]) == (429, "too_many_controllers")
        await asyncio.gather(*(sideband.close() for sideband in sidebands))

    async def test_the_beta_dialect_is_not_spoken_here_either(self, serve: Serve) -> None:
        world = build_world()
        server = await serve(world)
        call_id = await webrtc_call(world)
        headers = {"OpenAI-Beta": "realtime=v1"}
        async with connect(address(server, f"?call_id={call_id}"), additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["error"]["code"] == "beta_api_shape_disabled"
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4000
        call = world.services.calls.get(call_id)
        assert call is not None
        assert call.snapshot().taps == 0


async def test_nothing_is_left_of_many_controllers_and_calls(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    for _ in range(20):
        async with connect(address(server)) as caller:
            await event(caller, "session.created")
            [call] = world.services.calls.live()
            async with connect(address(server, f"?call_id={call.id}")) as sideband:
                await event(sideband, "session.created")
        await all_ended(world)
        assert call.snapshot().taps == 0
