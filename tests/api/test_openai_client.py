"""The official Python client, with only its base URL changed."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, NotFoundError
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.api.conftest import Serve
from tests.api.helpers import ANSWER, OFFER, build_world, key
from websockets import InvalidStatus

from perhop.cli.server import PerhopServer
from perhop.config import Settings

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def client(server: PerhopServer, api_key: str = "sk-any") -> AsyncOpenAI:
    return AsyncOpenAI(api_key=api_key, base_url=f"{server.url}/v1", max_retries=0)


async def test_it_mints_client_secrets(serve: Serve) -> None:
    server = await serve(build_world())
    async with client(server) as openai:
        minted = await openai.realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session={"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."},
        )
    assert minted.value.startswith("ek_")
    assert minted.session.type == "realtime"
    assert minted.session.instructions == "Be brief."


async def test_it_starts_calls_with_and_without_a_session(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    async with client(server) as openai:
        bare = await openai.realtime.calls.with_raw_response.create(sdp=OFFER)
        full = await openai.realtime.calls.with_raw_response.create(
            sdp=OFFER, session={"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
        )
        for raw in (bare, full):
            assert raw.http_response.status_code == 201
            assert raw.parse().text == ANSWER
        call_id = full.headers["location"].rsplit("/", 1)[1]
        await openai.realtime.calls.hangup(call_id)
        with pytest.raises(NotFoundError, match="no live call"):
            await openai.realtime.calls.hangup(call_id)
    assert len(world.services.calls.live()) == 1


async def test_it_talks_over_websocket_and_every_event_is_valid(serve: Serve) -> None:
    server = await serve(build_world())
    seen = []
    async with (
        client(server) as openai,
        openai.realtime.connect(model="gpt-realtime", extra_query={"agent": "echo"}) as connection,
    ):
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        content: Any = [{"type": "input_text", "text": "hi"}]
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await connection.response.create()
        while True:
            event = _EVENTS.validate_json(await connection.recv_bytes())
            seen.append(event.type)
            if event.type == "response.done":
                break
    assert seen[0] == "session.created"
    assert "session.updated" in seen
    assert "response.output_text.delta" in seen


async def test_its_audio_reaches_the_model(serve: Serve) -> None:
    server = await serve(build_world())
    pcm = bytes(9600)
    async with (
        client(server) as openai,
        openai.realtime.connect(model="gpt-realtime", extra_query={"agent": "echo"}) as connection,
    ):
        await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())
        async for event in connection:
            if event.type == "response.output_audio.delta":
                assert base64.b64decode(event.delta) == pcm
                break


async def test_its_errors_are_its_own(serve: Serve) -> None:
    server = await serve(build_world(Settings(keys=(key("sk-right"),))))
    async with client(server, "sk-wrong") as openai:
        with pytest.raises(AuthenticationError) as caught:
            await openai.realtime.client_secrets.create()
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(InvalidStatus):
            async with openai.realtime.connect(model="gpt-realtime"):
                pass
    async with client(server, "sk-right") as openai:
        await openai.realtime.client_secrets.create()
