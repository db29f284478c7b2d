"""``openai``, with only its base URL changed, towards the built-in model: typed, spoken, with tools, by phone.

What it says about errors, keys, ringing calls, translation and webhooks is tested with the parts that answer:
``tests/api`` and ``tests/webhooks``.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from openai import OpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.browser.server import Server
from tests.clients.python.line import openai_client, until
from tests.clients.python.phone import RATE, on_the_phone
from tests.clients.python.talk import question

EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
FIND_WEATHER: Any = {
    "type": "function",
    "name": "find_weather",
    "description": "Finds the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oakland", "Berkeley"]}},
        "required": ["city"],
    },
}
SUNNY = "It is sunny in Berkeley."


def typed(text: str) -> Any:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def encoded(pcm: bytes) -> str:
    return base64.b64encode(pcm).decode()


async def answer_the_call(connection: Any, city: str) -> None:
    """Runs the client's tool, as a client does: its output, then the wish for an answer."""
    call = await until(connection, "response.function_call_arguments.done")
    assert (call.name, json.loads(call.arguments)) == ("find_weather", {"city": city})
    await until(connection, "response.done")
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": f"It is sunny in {city}."}
    await connection.conversation.item.create(item=output)
    await connection.response.create()


async def test_a_text_turn(server: Server) -> None:
    async with openai_client(server) as openai, openai.realtime.connect(model="gpt-realtime") as connection:
        await until(connection, "session.created")
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert (await until(connection, "session.updated")).session.output_modalities == ["text"]
        await connection.conversation.item.create(item=typed("hello"))
        await connection.response.create(response={"metadata": {"turn": "first"}})
        said = await until(connection, "response.output_text.done")
        done = await until(connection, "response.done")
    assert said.text.startswith("Hello!")
    assert (done.response.status, done.response.metadata) == ("completed", {"turn": "first"})
    assert done.response.usage.output_tokens > 0


async def test_an_audio_turn_with_a_tool_of_the_client(server: Server) -> None:
    async with openai_client(server) as openai, openai.realtime.connect(model="gpt-realtime") as connection:
        transcription: Any = {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}
        await connection.session.update(session={"type": "realtime", "tools": [FIND_WEATHER], "audio": transcription})
        await until(connection, "session.updated")
        await connection.input_audio_buffer.append(audio=encoded(question("What is the weather in Berkeley")))
        started = await until(connection, "input_audio_buffer.speech_started")
        committed = await until(connection, "input_audio_buffer.committed")
        assert started.item_id == committed.item_id
        await answer_the_call(connection, "Berkeley")
        first = await until(connection, "response.output_audio.delta")
        assert len(base64.b64decode(first.delta)) > 0
        assert (await until(connection, "response.output_audio_transcript.done")).transcript == SUNNY
        done = await until(connection, "response.done")
        await connection.conversation.item.retrieve(item_id=committed.item_id)
        heard = (await until(connection, "conversation.item.retrieved")).item.content[0]
    assert done.response.usage.output_token_details.audio_tokens > 0
    assert "Berkeley" in heard.transcript


async def test_who_talks_over_an_answer_cuts_it_off_where_the_client_says(server: Server) -> None:
    async with openai_client(server) as openai, openai.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "tools": [FIND_WEATHER]})
        await connection.conversation.item.create(item=typed("hello"))
        await connection.response.create()
        spoken = await until(connection, "response.output_audio.done")
        await until(connection, "response.done")
        await connection.input_audio_buffer.append(audio=encoded(question("What is the weather in Berkeley")))
        await until(connection, "input_audio_buffer.speech_started")
        await connection.conversation.item.truncate(item_id=spoken.item_id, content_index=0, audio_end_ms=300)
        truncated = await until(connection, "conversation.item.truncated")
        assert (truncated.item_id, truncated.audio_end_ms) == (spoken.item_id, 300)
        await answer_the_call(connection, "Berkeley")
        assert (await until(connection, "response.output_audio_transcript.done")).transcript == SUNNY
        await until(connection, "rate_limits.updated")


async def test_speech_is_written_down(server: Server) -> None:
    asked = {"intent": "transcription"}
    async with openai_client(server) as openai, openai.realtime.connect(extra_query=asked) as connection:
        assert (await until(connection, "session.created")).session.type == "transcription"
        await connection.input_audio_buffer.append(audio=encoded(question("one two three four five six seven")))
        done = await until(connection, "conversation.item.input_audio_transcription.completed")
    # Nothing tells the recogniser what to expect here: a word may be another that sounds like it.
    digits = {"one", "two", "three", "four", "five", "six", "seven"}
    assert len(digits & set(done.transcript.split())) >= 5, done.transcript
    assert done.usage.type == "duration"


def test_the_synchronous_client(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    with OpenAI(api_key="sk-anything") as openai, openai.realtime.connect(model="gpt-realtime") as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        connection.conversation.item.create(item=typed("hello"))
        connection.response.create()
        kinds = []
        for event in connection:
            kinds.append(event.type)
            if event.type in {"error", "response.done"}:
                break
    assert kinds[0] == "session.created"
    assert kinds[-1] == "response.done"


async def test_a_phone_call_with_a_minted_secret_and_a_server_that_runs_its_tools(server: Server) -> None:
    async with openai_client(server) as openai:
        minted = await openai.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Be brief."})
        async with openai_client(server, minted.value) as page, on_the_phone() as phone:
            call_id = await phone.call(page)
            created = await phone.until("session.created")
            assert created["session"]["instructions"] == "Be brief."
            async with openai.realtime.connect(call_id=call_id) as sideband:
                assert (await until(sideband, "session.created")).session.instructions == "Be brief."
                await sideband.session.update(session={"type": "realtime", "tools": [FIND_WEATHER]})
                await phone.until("session.updated")
                phone.microphone.say(question("What is the weather in Berkeley", rate=RATE))
                await answer_the_call(sideband, "Berkeley")
                await phone.until("output_audio_buffer.started")
                await phone.heard.wait()
                assert (await phone.until("response.output_audio_transcript.done"))["transcript"] == SUNNY
                await openai.realtime.calls.hangup(call_id)
                async for _ in sideband:
                    pass
            await phone.closed.wait()
