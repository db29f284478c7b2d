"""Transcription sessions from end to end: the official client, a real server, the built-in model."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.api.conftest import Serve
from tests.api.helpers import AGENTS, bearer, build_world, key
from tests.models.brain import ForeseeableBrain, speech
from websockets import InvalidStatus

from perhop.brain.providers import BrainError
from perhop.config import Settings
from perhop.media.transcode import clip_to_wire

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
INTENT = {"intent": "transcription"}


class Line:
    """One connection; everything received is valid and remembered."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.types: list[str] = []

    async def next(self, wanted: str) -> Any:
        """The next event; an error only when that is wanted."""
        async with asyncio.timeout(10):
            event = _EVENTS.validate_json(await self.connection.recv_bytes())
        self.types.append(event.type)
        assert event.type == wanted or event.type != "error", event
        return event

    async def until(self, kind: str) -> Any:
        while (event := await self.next(kind)).type != kind:
            pass
        return event

    async def say(self, audio: bytes) -> None:
        await self.connection.input_audio_buffer.append(audio=base64.b64encode(audio).decode())


async def test_what_is_said_is_written_down(serve: Serve) -> None:
    brain = ForeseeableBrain(words=lambda audio: "hello there")
    server = await serve(build_world(local=brain.model))
    async with (
        AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1") as openai,
        openai.realtime.connect(extra_query=INTENT) as connection,
    ):
        line = Line(connection)
        created = await line.until("session.created")
        assert created.session.type == "transcription"
        await connection.session.update(
            session={
                "type": "transcription",
                "audio": {"input": {"transcription": {"model": "whisper-1", "language": "de", "prompt": "Homes."}}},
                "include": ["item.input_audio_transcription.logprobs"],
            }
        )
        await line.until("session.updated")
        await line.say(speech(600))
        delta = await line.until("conversation.item.input_audio_transcription.delta")
        done = await line.until("conversation.item.input_audio_transcription.completed")
        assert delta.delta == done.transcript == "hello there"
        assert done.usage.type == "duration"
        assert 0.6 < done.usage.seconds < 1.2
        await connection.response.create(event_id="e1")
        error = await line.until("error")
        assert (error.error.code, error.error.event_id) == ("invalid_event", "e1")
        await connection.session.update(event_id="e2", session={"type": "realtime"})
        error = await line.until("error")
        assert (error.error.param, error.error.event_id) == ("session.type", "e2")
    assert not [kind for kind in line.types if kind.startswith("response.")]
    assert (brain.heard[0].expectation.language, brain.heard[0].expectation.prompt) == ("de", "Homes.")
    assert brain.heard[0].expectation.grammar is None


async def test_a_whole_file_of_telephone_audio_becomes_its_turns(serve: Serve) -> None:
    brain = ForeseeableBrain()
    server = await serve(build_world(local=brain.model))
    async with (
        AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1") as openai,
        openai.realtime.connect(extra_query=INTENT) as connection,
    ):
        line = Line(connection)
        await connection.session.update(
            session={"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        )
        await line.say(clip_to_wire("audio/pcmu", speech(600) * 5))
        heard = [await line.until("conversation.item.input_audio_transcription.completed") for _ in range(5)]
        await connection.conversation.item.retrieve(item_id=heard[0].item_id)
        retrieved = await line.until("conversation.item.retrieved")
    assert all(0.8 < event.usage.seconds < 1.2 for event in heard)
    assert line.types.count("input_audio_buffer.speech_started") == 5
    audio = base64.b64decode(retrieved.item.content[0].audio)
    assert len(audio) == 8_000 * heard[0].usage.seconds, "in the client's own format"


async def test_what_cannot_be_recognised_is_a_failed_transcription(serve: Serve) -> None:
    brain = ForeseeableBrain(words=lambda audio: BrainError("engine_overloaded", "too much at once"))
    server = await serve(build_world(local=brain.model))
    async with (
        AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1") as openai,
        openai.realtime.connect(extra_query=INTENT) as connection,
    ):
        line = Line(connection)
        await line.say(speech(600))
        failed = await line.until("conversation.item.input_audio_transcription.failed")
    assert failed.error.code == "engine_overloaded"


async def test_a_client_secret_minted_for_transcription_opens_one(serve: Serve) -> None:
    world = build_world(Settings(keys=(key("sk-1", agent="oneroof"),)), agents=AGENTS)
    server = await serve(world)
    async with AsyncOpenAI(api_key="sk-1", base_url=f"{server.url}/v1") as openai:
        minted = await openai.realtime.client_secrets.create(
            session={"type": "transcription", "audio": {"input": {"transcription": {"model": "any", "language": "en"}}}}
        )
        assert minted.session.type == "transcription"
        async with (
            AsyncOpenAI(api_key=minted.value, base_url=f"{server.url}/v1") as page,
            page.realtime.connect(model="gpt-realtime") as connection,
        ):
            created = await Line(connection).until("session.created")
    assert created.session.type == "transcription"
    assert created.session.audio.input.transcription.language == "en"


class TestRefusals:
    """Sessions of one type do not become the other."""

    async def mint(self, client: httpx.AsyncClient, session: dict[str, Any], **more: Any) -> httpx.Response:
        return await client.post(
            "/v1/realtime/client_secrets", headers=bearer("sk-1"), json={"session": session, **more}
        )

    async def test_an_agent_talks_and_does_not_only_listen(self) -> None:
        async with build_world(Settings(keys=(key("sk-1"),))).client() as client:
            answer = await self.mint(client, {"type": "transcription"}, agent="oneroof")
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == "session.type"

    async def test_fields_of_the_other_type_are_refused(self) -> None:
        async with build_world(Settings(keys=(key("sk-1"),))).client() as client:
            answer = await self.mint(client, {"type": "transcription", "instructions": "x"})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "session.instructions")

    async def test_a_secret_opens_the_type_of_session_it_was_minted_for(self, serve: Serve) -> None:
        world = build_world(Settings(keys=(key("sk-1"),)))
        server = await serve(world)
        async with world.client() as client:
            value = (await self.mint(client, {"type": "realtime"})).json()["value"]
        async with AsyncOpenAI(api_key=value, base_url=f"{server.url}/v1", max_retries=0) as page:
            with pytest.raises(InvalidStatus) as caught:
                async with page.realtime.connect(extra_query=INTENT):
                    pass
        assert caught.value.response.status_code == 400
        assert b"minted for a realtime session" in (caught.value.response.body or b"")
