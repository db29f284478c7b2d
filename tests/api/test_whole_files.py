"""Clients that append whole recordings at once: what they hold is found by audio time, however fast it comes."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from tests.api.conftest import Serve
from tests.api.helpers import build_world
from tests.api.test_sockets import address, event
from tests.models.brain import ForeseeableBrain, speech
from websockets.asyncio.client import ClientConnection, connect

from perhop.config import LimitSettings, Settings

EVERY_MS = 10_000
MINUTES = 6
TURNS = MINUTES * 60_000 // EVERY_MS
PAD_MS = 300
"""``prefix_padding_ms`` of the default turn detection."""

WINDOW_MS = 32


def recording() -> bytes:
    """Six minutes in which somebody speaks for a second, every ten seconds."""
    quiet = bytes((EVERY_MS - 2_000) * 48)
    return (bytes(1_000 * 48) + speech(1_000, silence_ms=0) + quiet) * TURNS


async def append(socket: ClientConnection, audio: bytes) -> None:
    await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()}))


async def collect(socket: ClientConnection, kind: str, count: int) -> list[dict[str, Any]]:
    """So many events of one type; no error comes between them."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            received = json.loads(await socket.recv())
            assert received["type"] != "error", received
            if received["type"] == kind:
                found.append(received)
    return found


@pytest.mark.parametrize("seconds", [60, 300], ids=["by the minute", "in two messages"])
async def test_every_turn_of_six_minutes_is_found_where_it_is(serve: Serve, seconds: int) -> None:
    brain = ForeseeableBrain()
    server = await serve(build_world(local=brain.model))
    audio = recording()
    async with connect(address(server, "?intent=transcription"), max_size=None, max_queue=None) as socket:
        step = seconds * 48_000
        for start in range(0, len(audio), step):
            await append(socket, audio[start : start + step])
        started = await collect(socket, "input_audio_buffer.speech_started", TURNS)
    for turn, found in enumerate(started):
        spoken_at = turn * EVERY_MS + 1_000
        assert spoken_at - PAD_MS - 2 * WINDOW_MS <= found["audio_start_ms"] <= spoken_at


async def test_each_turn_is_written_down_once(serve: Serve) -> None:
    brain = ForeseeableBrain()
    server = await serve(build_world(local=brain.model))
    async with connect(address(server, "?intent=transcription"), max_size=None, max_queue=None) as socket:
        audio = recording()
        await append(socket, audio[: len(audio) // 2])
        await append(socket, audio[len(audio) // 2 :])
        done = await collect(socket, "conversation.item.input_audio_transcription.completed", TURNS)
    assert len({found["item_id"] for found in done}) == TURNS
    for found in done:
        heard_ms = int(found["transcript"].removesuffix(" ms"))
        assert 1_000 <= heard_ms <= 1_000 + PAD_MS + 500 + 4 * WINDOW_MS


async def test_others_are_served_meanwhile(serve: Serve) -> None:
    server = await serve(build_world(local=ForeseeableBrain().model))
    async with (
        connect(address(server, "?intent=transcription"), max_size=None, max_queue=None) as busy,
        connect(address(server)) as other,
    ):
        await event(other, "session.created")
        await append(busy, recording()[: 300 * 48_000])
        await event(busy, "input_audio_buffer.speech_started")
        await other.send('{"type":"input_audio_buffer.clear"}')
        finding = asyncio.create_task(collect(busy, "input_audio_buffer.speech_started", 29))
        await event(other, "input_audio_buffer.cleared")
        assert not finding.done()
        await finding


async def test_by_hand_six_minutes_are_one_item(serve: Serve) -> None:
    brain = ForeseeableBrain()
    server = await serve(build_world(local=brain.model))
    off = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    async with connect(address(server, "?intent=transcription"), max_size=None, max_queue=None) as socket:
        await socket.send(json.dumps({"type": "session.update", "session": off}))
        audio = recording()
        await append(socket, audio[: len(audio) // 2])
        await append(socket, audio[len(audio) // 2 :])
        await socket.send('{"type":"input_audio_buffer.commit"}')
        [done] = await collect(socket, "conversation.item.input_audio_transcription.completed", 1)
    assert done["transcript"] == f"{MINUTES * 60_000} ms"


async def test_what_runs_too_far_ahead_is_an_error_and_has_no_effect(serve: Serve) -> None:
    limits = LimitSettings(audio_backlog_s=10)
    server = await serve(build_world(Settings(limits=limits), local=ForeseeableBrain().model))
    async with connect(address(server, "?intent=transcription")) as socket:
        await append(socket, bytes(9 * 48_000))
        too_much = {"type": "input_audio_buffer.append", "event_id": "much", "audio": "A" * 64_000 * 10}
        await socket.send(json.dumps(too_much))
        error = (await event(socket, "error"))["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_backlog_exceeded", "much")
        await socket.send('{"type":"input_audio_buffer.clear"}')
        await event(socket, "input_audio_buffer.cleared")
