"""Telephone audio from end to end: the official client speaks and hears G.711, the model only knows PCM."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.api.conftest import Serve
from tests.api.helpers import build_world
from tests.api.test_transcription import Line
from tests.models.brain import ForeseeableBrain, speech

from perhop.media.transcode import clip_from_wire, clip_to_wire

VOICE_MS = 505
MANUAL = {"turn_detection": None}


def session(heard: str, said: str, **more: Any) -> Any:
    sound = {"input": {"format": {"type": heard}, **more}, "output": {"format": {"type": said}}}
    return {"type": "realtime", "audio": sound}


class Talk(Line):
    """A line that also keeps the model's audio."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.audio = b""

    async def until(self, kind: str) -> Any:
        while True:
            event = await self.next(kind)
            if event.type == "response.output_audio.delta":
                self.audio += base64.b64decode(event.delta)
            if event.type == kind:
                return event


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
async def test_what_comes_back_is_what_was_sent(serve: Serve, kind: Any) -> None:
    server = await serve(build_world())
    sent = clip_to_wire(kind, speech(400, silence_ms=0))
    async with (
        AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1") as openai,
        openai.realtime.connect(extra_query={"agent": "echo"}) as connection,
    ):
        talk = Talk(connection)
        await connection.session.update(session=session(kind, kind))
        await talk.until("session.updated")
        for start in range(0, len(sent), 160):
            await talk.say(sent[start : start + 160])
        while len(talk.audio) < len(sent) - 14:
            await talk.until("response.output_audio.delta")
    assert len(talk.audio) == len(sent) - 14, "what is in the filter comes with the end of the item"


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
async def test_a_spoken_turn_is_exact_to_the_millisecond(serve: Serve, kind: Any) -> None:
    brain = ForeseeableBrain(voice_ms=VOICE_MS)
    server = await serve(build_world(local=brain.model))
    async with (
        AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1") as openai,
        openai.realtime.connect(model="gpt-realtime") as connection,
    ):
        talk = Talk(connection)
        await connection.session.update(session=session(kind, kind))
        await talk.say(clip_to_wire(kind, speech(600)))
        done = (await talk.until("response.done")).response
        assert done.status == "completed"
        assert done.audio.output.format.type == kind
        assert len(talk.audio) // 8 == VOICE_MS - 1, "a tone of whole periods: 504 ms"
        item_id = done.output[0].id
        await connection.conversation.item.retrieve(item_id=item_id)
        retrieved = (await talk.until("conversation.item.retrieved")).item
        assert base64.b64decode(retrieved.content[0].audio) == talk.audio
        for beyond, kind_of_answer in ((1, "error"), (0, "conversation.item.truncated")):
            played = len(talk.audio) // 8 + beyond
            await connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=played)
            await talk.until(kind_of_answer)


async def test_a_response_may_have_a_format_of_its_own(serve: Serve) -> None:
    brain = ForeseeableBrain(voice_ms=VOICE_MS)
    server = await serve(build_world(local=brain.model))
    async with (
        AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1") as openai,
        openai.realtime.connect(model="gpt-realtime") as connection,
    ):
        talk = Talk(connection)
        sizes = []
        for kind in ("audio/pcmu", "audio/pcm"):
            talk.audio = b""
            await connection.response.create(response={"audio": {"output": {"format": {"type": kind}}}})  # type: ignore[typeddict-item]
            await talk.until("response.done")
            sizes.append(len(talk.audio))
    assert sizes == [504 * 8, 504 * 48]


async def test_a_clip_in_an_item_is_heard_as_it_is(serve: Serve) -> None:
    brain = ForeseeableBrain()
    server = await serve(build_world(local=brain.model))
    clip = clip_to_wire("audio/pcmu", speech(300))
    part = {"type": "input_audio", "audio": base64.b64encode(clip).decode()}
    async with (
        AsyncOpenAI(api_key="sk-any", base_url=f"{server.url}/v1") as openai,
        openai.realtime.connect(model="gpt-realtime") as connection,
    ):
        talk = Talk(connection)
        await connection.session.update(session=session("audio/pcmu", "audio/pcm", **MANUAL))
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": [part]})  # type: ignore[list-item]
        item_id = (await talk.until("conversation.item.done")).item.id
        await connection.conversation.item.retrieve(item_id=item_id)
        retrieved = (await talk.until("conversation.item.retrieved")).item
    assert [utterance.audio for utterance in brain.heard] == [clip_from_wire("audio/pcmu", clip)]
    back = base64.b64decode(retrieved.content[0].audio)
    assert len(back) == len(clip)
