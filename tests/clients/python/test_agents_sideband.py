"""``openai-agents`` as the controller of a call that somebody else is in: ``OpenAIRealtimeSIPModel`` by ``call_id``."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Literal

import pytest
from agents import function_tool
from agents.realtime import RealtimeAgent
from tests.browser.server import Server
from tests.clients.python.line import openai_client, until
from tests.clients.python.phone import RATE, on_the_phone
from tests.clients.python.talk import newest_call, question, talk

WEATHER = "What is the weather in Berkeley"


@function_tool
def find_weather(city: Literal["Oakland", "Berkeley"]) -> str:
    """Finds the weather in a city."""
    return f"It is sunny in {city}."


@pytest.fixture
def guide() -> RealtimeAgent[Any]:
    return RealtimeAgent(name="Guide", instructions="You are Ada.", tools=[find_weather])


async def test_it_answers_for_a_caller_on_the_phone(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with openai_client(server) as openai, on_the_phone() as phone:
        call_id = await phone.call(openai)
        await phone.until("session.created")
        async with talk(server, guide, call_id=call_id) as control:
            phone.microphone.say(question(WEATHER, rate=RATE))
            ran = await control.event("tool_end")
            assert ran.output == "It is sunny in Berkeley."
            assert await control.answer() == "It is sunny in Berkeley."
            await phone.until("output_audio_buffer.started")
            await phone.heard.wait()
            assert control.frames("response.output_audio.delta") == [], "the caller's, unless asked for"
            await phone.until("output_audio_buffer.stopped")
        # The controller is gone; the call is not.
        phone.send(type="session.update", session={"type": "realtime", "max_output_tokens": 500})
        assert (await phone.until("session.updated"))["session"]["max_output_tokens"] == 500
        await openai.realtime.calls.hangup(call_id)
        await phone.closed.wait()


async def test_it_answers_for_a_caller_over_websocket(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with openai_client(server) as openai, openai.realtime.connect(model="gpt-realtime") as caller:
        await until(caller, "session.created")
        async with talk(server, guide, call_id=newest_call(server)) as control:
            assert (await until(caller, "session.updated")).session.instructions == "You are Ada."
            await caller.input_audio_buffer.append(audio=base64.b64encode(question(WEATHER)).decode())
            assert (await control.event("tool_end")).output == "It is sunny in Berkeley."
            assert await control.answer() == "It is sunny in Berkeley."
            assert (await until(caller, "response.output_audio.delta")).delta
            assert (
                await until(caller, "response.output_audio_transcript.done")
            ).transcript == "It is sunny in Berkeley."
            await control.session.send_message("What is the weather in Oakland")
            assert await control.answer() == "It is sunny in Oakland."
            await until(caller, "response.output_audio_transcript.done")
            await until(caller, "rate_limits.updated")


async def test_the_end_of_the_call_is_the_end_of_its_session(server: Server, guide: RealtimeAgent[Any]) -> None:
    async with openai_client(server) as openai, on_the_phone() as phone:
        call_id = await phone.call(openai)
        await phone.until("session.created")
        async with talk(server, guide, call_id=call_id) as control:
            await openai.realtime.calls.hangup(call_id)
            async with asyncio.timeout(20):
                await control.over.wait()
