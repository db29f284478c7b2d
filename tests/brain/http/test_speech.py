from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.brain.http.server import FakeServer

from perhop.brain.http import HttpEndpoint, HttpSynthesiser
from perhop.brain.providers import BrainError

pytestmark = pytest.mark.asyncio(loop_scope="session")


def synthesiser(server: FakeServer, client: httpx.AsyncClient) -> HttpSynthesiser:
    return HttpSynthesiser(HttpEndpoint(client, server.url), model="tts-x")


async def test_pcm_is_passed_on_in_whole_samples(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [b"a", b"bc", b"defg", b"h", b"i"]
    pieces = [pcm async for pcm in synthesiser(server, client).speak("Hello.", voice="coral", speed=1.25)]
    assert all(len(piece) % 2 == 0 for piece in pieces)
    assert b"".join(pieces) == b"abcdefgh"
    assert server.requests == [
        {"model": "tts-x", "input": "Hello.", "voice": "coral", "speed": 1.25, "response_format": "pcm"}
    ]


async def test_audio_is_there_before_the_answer_is_complete_and_closing_ends_it(
    server: FakeServer, client: httpx.AsyncClient
) -> None:
    server.pieces = [b"first!"]
    server.gate = asyncio.Event()
    pieces = synthesiser(server, client).speak("Hello.", voice="coral", speed=1.0)
    assert await anext(pieces) == b"first!"
    await pieces.aclose()
    async with asyncio.timeout(5):
        await server.ended.wait()


async def test_nothing_to_say_is_no_request(server: FakeServer, client: httpx.AsyncClient) -> None:
    assert [pcm async for pcm in synthesiser(server, client).speak("  ", voice="coral", speed=1.0)] == []
    assert server.requests == []


async def test_a_refusal_is_an_error(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.statuses = [400]
    with pytest.raises(BrainError) as raised:
        [pcm async for pcm in synthesiser(server, client).speak("Hello.", voice="coral", speed=1.0)]
    assert raised.value.code == "upstream_error"
