"""``perhop talk`` against a real server whose agents echo."""

from __future__ import annotations

import io
import json
import math
import struct
import wave
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from tests.api.conftest import Serve, serve
from tests.api.helpers import build_world, key
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve

from perhop.cli.server import PerhopServer
from perhop.cli.talking.session import ConnectError, Outcome, talk
from perhop.cli.talking.view import View
from perhop.cli.talking.wav import AudioFileError, read_audio, write_wav
from perhop.config import Settings

__all__ = ["serve"]


async def ask(server: PerhopServer, question: bytes | str, **how: object) -> tuple[Outcome, str]:
    out = io.StringIO()
    view = View(Console(file=out, width=200), Console(file=io.StringIO()))
    options: dict[str, object] = {"key": None, "agent": "echo", "fast": True, "timeout_s": 5.0, **how}
    with view:
        outcome = await talk(question, settings=Settings(), url=server.url, view=view, **options)  # type: ignore[arg-type]
    return outcome, out.getvalue()


async def test_a_typed_question_is_answered(serve: Serve) -> None:
    outcome, shown = await ask(await serve(build_world()), "hello there")
    assert outcome.problem is None
    assert shown.splitlines() == ["you    hello there", "agent  hello there"]


async def test_a_spoken_question_comes_back_from_the_echo(serve: Serve) -> None:
    question = bytes(range(256)) * 375  # 2 s
    outcome, _ = await ask(await serve(build_world()), question)
    assert outcome.audio == question


async def test_a_refusal_is_told_in_the_servers_words(serve: Serve) -> None:
    server = await serve(build_world(Settings(keys=(key("sk-1"),))))
    with pytest.raises(ConnectError, match=r"No API key was given.* \(HTTP 401\)"):
        await ask(server, "hi")
    with pytest.raises(ConnectError, match=r"There is no agent 'nobody'; known agents: oneroof, echo. \(HTTP 404\)"):
        await ask(server, "hi", key="sk-1", agent="nobody")
    outcome, _ = await ask(server, "hi", key="sk-1")
    assert outcome.problem is None


async def test_a_recording_in_which_nobody_speaks_is_a_problem(serve: Serve) -> None:
    outcome, _ = await ask(await serve(build_world()), bytes(4800), agent=None, timeout_s=0.3)
    assert outcome.problem == "the server heard no speech in the recording"


async def test_a_server_that_goes_away_is_a_problem(serve: Serve) -> None:
    world = build_world()
    server = await serve(world)
    started = world.services.calls.start

    def start_and_hang_up(*args: object, **kwargs: object) -> object:
        call = started(*args, **kwargs)  # type: ignore[arg-type]
        from perhop.call.legs import EndReason

        call.hang_up(EndReason.MODEL_FAILED)
        return call

    world.services.calls.start = start_and_hang_up  # type: ignore[method-assign,assignment]
    outcome, _ = await ask(server, "hi")
    assert outcome.problem == "The model failed, and the call cannot go on."


async def test_an_answer_that_comes_before_the_recording_is_over_ends_the_conversation_with_it() -> None:
    vad = {"type": "server_vad", "create_response": True}
    answer = [
        {"type": "input_audio_buffer.speech_started"},
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.done", "response": {"id": "r1", "status": "completed", "output": [{"type": "message"}]}},
    ]

    async def hasty(socket: ServerConnection) -> None:
        session = {"audio": {"input": {"turn_detection": vad}}}
        await socket.send(json.dumps({"type": "session.created", "session": session}))
        await socket.recv()
        for event in answer:
            await socket.send(json.dumps(event))
        async for _ in socket:
            pass

    async with websockets_serve(hasty, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        outcome = await talk(
            bytes(48_000),
            settings=Settings(),
            url=f"ws://127.0.0.1:{port}",
            key=None,
            agent=None,
            fast=False,
            timeout_s=3.0,
            view=View(Console(file=io.StringIO()), Console(file=io.StringIO())),
        )
    assert outcome.problem is None


class TestWav:
    """Recordings of any kind, answers of one."""

    @pytest.mark.parametrize(
        ("rate", "channels", "width"), [(8000, 1, 2), (44_100, 2, 2), (48_000, 1, 2), (16_000, 1, 1)]
    )
    def test_any_rate_becomes_24_khz_mono(self, tmp_path: Path, rate: int, channels: int, width: int) -> None:
        with wave.open(str(tmp_path / "in.wav"), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(rate)
            tone = [math.sin(2 * math.pi * 440 * n / rate) for n in range(rate // 2)]
            if width == 2:
                data = b"".join(struct.pack("<h", int(20_000 * value)) * channels for value in tone)
            else:
                data = bytes(int(128 + 100 * value) for value in tone)
            file.writeframes(data)
        pcm = read_audio(tmp_path / "in.wav")
        assert abs(len(pcm) / 48 - 500) < 5
        samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
        crossings = sum(1 for a, b in pairwise(samples) if a < 0 <= b)
        assert abs(crossings - 220) <= 3

    def test_what_is_written_can_be_read(self, tmp_path: Path) -> None:
        pcm = bytes(range(256)) * 100
        write_wav(tmp_path / "out.wav", pcm)
        with wave.open(str(tmp_path / "out.wav"), "rb") as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert read_audio(tmp_path / "out.wav") == pcm

    def test_what_is_no_audio_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "x.wav").write_bytes(b"RIFF")
        with pytest.raises(AudioFileError, match="not an audio file"):
            read_audio(tmp_path / "x.wav")
        with pytest.raises(AudioFileError, match="cannot be read"):
            read_audio(tmp_path / "none.wav")
