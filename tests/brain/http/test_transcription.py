from __future__ import annotations

import io
import json
import wave

import httpx
import pytest
from tests.brain.http.server import FakeServer

from perhop.brain.http import HttpEndpoint, HttpRecogniser
from perhop.brain.providers import BrainError, Expectation, Recognition

pytestmark = pytest.mark.asyncio(loop_scope="session")

PCM = bytes(range(256)) * 40


def recogniser(server: FakeServer, client: httpx.AsyncClient) -> HttpRecogniser:
    return HttpRecogniser(HttpEndpoint(client, server.url), model="whisper-x")


async def transcribe(server: FakeServer, client: httpx.AsyncClient, pcm: bytes, **expected: str) -> Recognition:
    utterance = recogniser(server, client).open(Expectation(**expected), lambda _: None)  # type: ignore[arg-type]
    for start in range(0, len(pcm), 960):
        utterance.feed(pcm[start : start + 960])
    return await utterance.finish()


async def test_the_utterance_is_sent_as_a_wav_file(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [b'{"te', b'xt": " Hello there. ", "usage": {}}']
    assert await transcribe(server, client, PCM, language="en-GB", prompt="homes") == Recognition("Hello there.")
    assert server.requests == [
        {"model": "whisper-x", "language": "en", "response_format": "json", "prompt": "homes"},
    ]
    with wave.open(io.BytesIO(server.files[0])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.readframes(1 << 20) == PCM


async def test_hardly_any_audio_is_no_words_and_no_request(server: FakeServer, client: httpx.AsyncClient) -> None:
    assert await transcribe(server, client, bytes(2000)) == Recognition("")
    assert server.requests == []


async def test_more_than_two_minutes_are_not_sent(server: FakeServer, client: httpx.AsyncClient) -> None:
    server.pieces = [b'{"text": "long"}']
    utterance = recogniser(server, client).open(Expectation(), lambda _: None)
    for _ in range(130):
        utterance.feed(bytes(48_000))
    await utterance.finish()
    assert len(server.files[0]) == 44 + 120 * 48_000
    assert utterance.dropped_bytes == 10 * 48_000  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"words": "a secret"}', b"a secret", b'{"text": "' + b"x" * (2 << 20) + b'"}']
)
async def test_an_answer_without_text_is_an_error(server: FakeServer, client: httpx.AsyncClient, body: bytes) -> None:
    server.pieces = [body]
    with pytest.raises(BrainError) as raised:
        await transcribe(server, client, PCM)
    assert raised.value.code == "upstream_invalid"
    assert "secret" not in f"{raised.value} {raised.value.__cause__}"


async def test_a_cancelled_utterance_is_not_sent(server: FakeServer, client: httpx.AsyncClient) -> None:
    utterance = recogniser(server, client).open(Expectation(), lambda _: None)
    utterance.feed(PCM)
    utterance.cancel()
    assert server.requests == []


async def test_a_request_that_failed_before_it_was_answered_is_sent_again_whole(
    server: FakeServer, client: httpx.AsyncClient
) -> None:
    server.statuses = [502]
    server.pieces = [json.dumps({"text": "again"}).encode()]
    assert (await transcribe(server, client, PCM)).text == "again"
    assert server.files[0] == server.files[1]
