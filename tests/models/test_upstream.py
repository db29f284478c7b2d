"""The test upstream itself: a strict Realtime server whose misbehaviour is on demand."""

from __future__ import annotations

import asyncio
import sys

import orjson
import pybase64
import pytest
from tests.models.upstream import Upstream
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from perhop.models.steps import in_turn, say, tone

AUTHORISED = {"Authorization": "Bearer sk-upstream"}


async def test_a_stock_websocket_client_has_a_conversation_with_it() -> None:
    async with Upstream.scripted(in_turn([say("Fine.", ms=200)])) as upstream:
        async with connect(f"{upstream.url}/realtime?model=m", additional_headers=AUTHORISED) as socket:
            types = [orjson.loads(await socket.recv())["type"]]
            audio = tone(500) + bytes(600 * 48)
            append = {"type": "input_audio_buffer.append", "audio": pybase64.b64encode_as_string(audio)}
            await socket.send(orjson.dumps(append).decode())
            heard = b""
            while types[-1] != "response.done":
                event = orjson.loads(await socket.recv())
                types.append(event["type"])
                if event["type"] == "response.output_audio.delta":
                    heard += pybase64.b64decode(event["delta"])
        assert types[:4] == [
            "session.created",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        ]
        assert len(heard) == 200 * 48
        assert upstream.last.appends == [len(audio)]
        assert len(upstream.last.committed) == 1
        await upstream.until(lambda: not upstream.live())


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_it_refuses_as_often_as_it_is_told(status: int) -> None:
    async with Upstream.scripted(in_turn()) as upstream:
        upstream.refuse.append(status)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{upstream.url}/realtime", additional_headers=AUTHORISED)
        assert refused.value.response.status_code == status
        async with connect(f"{upstream.url}/realtime", additional_headers=AUTHORISED) as socket:
            await socket.recv()


async def test_a_killed_socket_ends_without_a_close_frame() -> None:
    async with (
        Upstream.scripted(in_turn()) as upstream,
        connect(f"{upstream.url}/realtime", additional_headers=AUTHORISED) as socket,
    ):
        await socket.recv()
        upstream.kill()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is None


async def test_it_runs_in_a_process_of_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.models.upstream", "--kind", "echo"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 20))["url"]
        async with connect(f"{url}/realtime", additional_headers=AUTHORISED) as socket:
            assert orjson.loads(await socket.recv())["type"] == "session.created"
    finally:
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0
