"""A gateway in front of another Perhop, over TLS, from end to end: stock clients, real sockets, a real mind."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.brain import speech as voice
from tests.models.brain import ForeseeableBrain, speech
from tests.models.perhops import Page, gateway, second

from perhop.brain.providers import FunctionCall, Said
from perhop.realtime.effects import StartResponse
from perhop.realtime.items import FunctionCallOutputItem

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def at_the_desk(client: AsyncOpenAI) -> Any:
    """A call to the agent, over WebSocket."""
    return client.realtime.connect(model="gpt-realtime", extra_query={"agent": "desk"})


async def until(socket: Any, type_: str) -> list[Any]:
    """Everything up to the first event of this type."""
    events: list[Any] = []
    async with asyncio.timeout(30):
        while not events or events[-1].type != type_:
            events.append(await socket.recv())
            assert events[-1].type != "error", events[-1]
    return events


def words_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_audio_transcript.delta")


async def say(socket: Any, text: str) -> None:
    content: Any = [{"type": "input_text", "text": text}]
    await socket.conversation.item.create(item={"type": "message", "role": "user", "content": content})
    await socket.response.create()


async def test_a_text_turn_and_a_spoken_one_with_the_real_mind(tmp_path: Path) -> None:
    async with second(tmp_path) as model, gateway(tmp_path, model) as client, at_the_desk(client) as socket:
        created = (await until(socket, "session.created"))[-1]
        assert created.session.instructions == "You are the front desk."
        assert [offered.name for offered in created.session.tools] == ["opening_hours"]
        await say(socket, "hello")
        events = await until(socket, "response.done")
        assert events[-1].response.status == "completed"
        assert words_of(events)
        audio = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert len(audio) > 10_000

        pcm = voice.say("hello") + bytes(72_000)
        for at in range(0, len(pcm), 4_800):
            await socket.input_audio_buffer.append(audio=base64.b64encode(pcm[at : at + 4_800]).decode())
        events = await until(socket, "response.done")
        assert events[-1].response.status == "completed"
        types = [event.type for event in events]
        order = ["input_audio_buffer.speech_started", "input_audio_buffer.committed", "response.created"]
        assert [type_ for type_ in types if type_ in order] == order


def answers(request: StartResponse) -> list[Said | FunctionCall]:
    """Calls the tool once, then says what it said."""
    outputs = [item for item in request.context if isinstance(item, FunctionCallOutputItem)]
    if not outputs and request.tools:
        return [FunctionCall(request.tools[0]["name"], '{"day": "Monday"}')]
    return [Said(str(outputs[-1].output) if outputs else "I could talk about this for hours.")]


async def test_the_gateway_runs_its_agents_tools(tmp_path: Path) -> None:
    brain = ForeseeableBrain(reply=answers)
    async with second(tmp_path, brain) as model, gateway(tmp_path, model) as client, at_the_desk(client) as socket:
        await say(socket, "when are you open?")
        asked = await until(socket, "response.done")
        assert asked[-1].response.output[0].type == "function_call"
        told = await until(socket, "response.done")
        assert words_of(told) == '"On Monday from nine to five."'


async def test_a_caller_over_webrtc_talks_hears_and_interrupts(tmp_path: Path) -> None:
    brain = ForeseeableBrain(reply=answers, voice_ms=8_000)
    async with second(tmp_path, brain) as model, gateway(tmp_path, model) as client:
        page = Page()
        try:
            await page.call(client)
            created = await page.heard("session.created")
            assert created.session.audio.input.turn_detection.type == "server_vad"
            page.speak(speech(600, silence_ms=800))
            await page.heard("output_audio_buffer.started")
            await page.until(lambda: page.loudest > 3_000)
            page.speak(speech(600, silence_ms=800))
            await page.heard("output_audio_buffer.cleared")
            truncated = await page.heard("conversation.item.truncated")
            assert 0 < truncated.audio_end_ms < 6_000
            assert (await page.heard("response.created", 2)).response.id
            assert not page.of("error")
            assert not page.of("response.output_audio.delta")
        finally:
            await page.hang_up()


async def test_a_caller_over_websocket_interrupts(tmp_path: Path) -> None:
    brain = ForeseeableBrain(reply=lambda _: [Said("I could go on for hours.")], voice_ms=8_000)
    async with second(tmp_path, brain) as model, gateway(tmp_path, model) as client, at_the_desk(client) as socket:
        await until(socket, "session.created")
        await interrupted(socket)


async def interrupted(socket: Any) -> None:
    """A response is asked for, and truncated while it would still be played."""
    await say(socket, "tell me all")
    events = await until(socket, "response.done")
    item_id = events[-1].response.output[0].id
    pcm = speech(600, silence_ms=0)
    await socket.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())
    await until(socket, "input_audio_buffer.speech_started")
    await socket.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=1_500)
    truncated = (await until(socket, "conversation.item.truncated"))[-1]
    assert (truncated.item_id, truncated.audio_end_ms) == (item_id, 1_500)


async def test_a_gateway_that_does_not_know_the_certificate_refuses_to_talk(tmp_path: Path) -> None:
    async with second(tmp_path, ForeseeableBrain()) as model:
        stranger = model.model_copy(update={"ca_file": None})
        async with gateway(tmp_path, stranger) as client:
            await ends_at_once(client)


async def ends_at_once(client: AsyncOpenAI) -> None:
    """No session comes about."""
    async with client.realtime.connect(model="gpt-realtime") as socket:
        types = []
        with pytest.raises(Exception, match="1011"):
            while True:
                types.append((await asyncio.wait_for(socket.recv(), 20)).type)
        assert "session.created" not in types
