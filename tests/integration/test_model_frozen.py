"""The model's process freezes under a call: the caller is told to wait in the built-in voice, and then goes on."""

from __future__ import annotations

import array
import asyncio
import base64
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.integration.gateway import Gateway, gateway
from websockets.asyncio.client import ClientConnection, connect

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

PHRASE = "Please hold the line."


async def until_done(socket: ClientConnection) -> list[dict[str, Any]]:
    """Everything up to the next end of a response."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while not events or events[-1]["type"] != "response.done":
            events.append(json.loads(await socket.recv()))
            assert events[-1]["type"] != "error", events[-1]
    return events


async def say(socket: ClientConnection, text: str) -> list[dict[str, Any]]:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await socket.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
    return await until_done(socket)


async def test_the_caller_hears_a_phrase_and_then_the_model_again(tmp_path: Path, upstream: Gateway) -> None:
    settings = f"""
[models.far]
url = "{upstream.url}/v1"
ping_s = 0.5
hold_phrase = "{PHRASE}"
[[agents]]
name = "far"
model = "far"
"""
    with gateway(tmp_path / "server", settings) as server:
        async with connect(f"{server.ws}?agent=far") as socket:
            assert (await say(socket, "before"))[-1]["response"]["status"] == "completed"
            upstream.signal(signal.SIGSTOP)
            try:
                held = await until_done(socket)
            finally:
                upstream.signal(signal.SIGCONT)
            response = held[-1]["response"]
            assert response["metadata"] == {"perhop_purpose": "hold"}
            assert response["output"][0]["content"][0]["transcript"] == PHRASE
            pcm = b"".join(base64.b64decode(e["delta"]) for e in held if e["type"] == "response.output_audio.delta")
            samples = array.array("h", pcm)
            assert len(samples) > 24_000 * 0.5
            assert max(samples) > 3_000, "it is a voice"
            answer = (await say(socket, "after"))[-1]["response"]
            assert answer["output"][0]["content"][0]["text"] == "after"
