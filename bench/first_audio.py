"""How soon a caller who has stopped speaking hears the answer, and how often one who only paused is cut short.

A real server (``perhop serve`` with its built-in brain) is called over WebRTC by a peer that speaks with a synthetic
voice. Per turn, the time from the last sound of the caller's speech to the first audio packet of the answer is taken:
end-of-turn silence, recognition, dialogue, synthesis, encoding and pacing included. In the same run, with the same
settings, sentences with pauses of 150 to 600 ms inside are spoken; one that the server takes for more than one turn was
cut short.

    python bench/first_audio.py                 # 20 turns, 40 sentences with pauses
    python bench/first_audio.py --turns 60 --paused 120
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # started as a script, Python looks beside it only

from bench.webrtc_client import OPUS, LightPeer

from perhop.brain.espeak import EspeakSynthesiser
from perhop.media.opus import OpusEncoder
from perhop.media.rtp import pack_packet

RESULTS = ROOT / "bench" / "results" / "first_audio.md"
RATE = 24_000
FRAME_S = 0.020
FRAME_BYTES = 960
LOUD = 400
"""Sample value above which a voice is heard; what lies beyond the last such sample is not speech."""

QUIET_S = 0.7
"""Without a packet for so long, the agent has finished."""

PATIENCE_S = 15.0
AT_ONCE = 4
"""Callers that speak sentences with pauses; their answers are not timed."""

TARGET_MS = 380
TARGET_CUT = 5.0

VOICES = ("echo", "sage", "marin")
"""Of the callers; the agent has its own."""

CONVERSATIONS = (
    (
        "I'd like to see a two bedroom in Oakland on Friday",
        "book a viewing of the first one on Friday",
        "at ten in the morning",
        "yes",
        "thank you",
    ),
    (
        "show me a one bedroom in Berkeley on Monday",
        "book the first one on Monday",
        "at eleven in the morning",
        "no",
        "start over",
    ),
    (
        "I'm looking for a three bedroom in Richmond on Saturday",
        "what about Oakland",
        "book the second one on Saturday",
        "at two in the afternoon",
        "yes",
    ),
    (
        "find me a two bedroom in San Francisco on Thursday",
        "can you repeat that",
        "what can you do",
        "show me a two bedroom in Alameda on Thursday",
        "goodbye",
    ),
)
PAUSED = (
    "I'd like to see | a two bedroom | in Oakland | on Friday",
    "I'd like to see a two bedroom | in Oakland on Friday",
    "I'd like to see a two bedroom in | Oakland on Friday",
    "show me | a one bedroom in Berkeley | on Monday",
    "find me a | three bedroom | in Richmond on Saturday",
    "I'm looking for | a two bedroom in San Francisco on | Thursday",
    "I'd like a two | bedroom in Alameda on Sunday",
    "do you have | a one bedroom in Oakland | on Tuesday",
)


class Speaker:
    """The callers' voices; not the agent's process."""

    def __init__(self, synthesiser: EspeakSynthesiser) -> None:
        self._synthesiser = synthesiser

    async def say(self, text: str, voice: str) -> bytes:
        """Speech without the silence around it, 24 kHz mono s16le."""
        pcm = b"".join([chunk async for chunk in self._synthesiser.speak(text, voice=voice, speed=1.0)])
        loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > LOUD)
        return pcm[2 * loud[0] : 2 * loud[-1] + 2]

    async def say_with_pauses(self, text: str, voice: str, rng: random.Random) -> bytes:
        """A sentence spoken piece by piece, with a pause of 150–600 ms at every bar."""
        pieces = [await self.say(piece.strip(), voice) for piece in text.split("|")]
        audio = pieces[0]
        for piece in pieces[1:]:
            audio += bytes(2 * int(RATE * rng.uniform(0.150, 0.600))) + piece
        return audio


@contextlib.contextmanager
def server() -> Iterator[str]:
    """``perhop serve`` on a free port; yields its address once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:
        process = subprocess.Popen(
            [sys.executable, "-m", "perhop", "serve", "--port", str(port), "--data", data, "--host", "127.0.0.1"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}/readyz").is_success:
                        break
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError("the server did not become ready; start it by hand to see why: perhop serve")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(20)


class Caller:
    """One WebRTC caller: talks in real time, silence when it has nothing to say, and notes when it hears something."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self._peer = LightPeer(port=self._socket.getsockname()[1], data=True)
        self._encoder = OpusEncoder(RATE, application="voip", bitrate=32_000, complexity=5)
        self._pending = b""
        self._spoken_at = 0.0
        self._heard_at: list[float] = []
        self._call_id = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def calling(cls, client: httpx.AsyncClient, agent: str) -> AsyncIterator[Caller]:
        """A caller in a connected call that has heard the greeting."""
        caller = cls(client)
        secret = (await client.get("/api/realtime/token", params={"agent": agent})).raise_for_status().json()
        answer = await client.post(
            "/v1/realtime/calls",
            content=caller._peer.offer,
            headers={"Authorization": f"Bearer {secret['client_secret']}", "Content-Type": "application/sdp"},
        )
        answer.raise_for_status()
        caller._call_id = answer.headers["location"].rsplit("/", 1)[1]
        caller._peer.accept(answer.text)
        caller._socket.connect(caller._peer.target)
        talking = asyncio.create_task(caller._run())
        asyncio.get_running_loop().add_reader(caller._socket, caller._read)
        try:
            await caller.until_quiet(at_least=1.5)
            yield caller
        finally:
            asyncio.get_running_loop().remove_reader(caller._socket)
            talking.cancel()
            await client.post(f"/v1/realtime/calls/{caller._call_id}/hangup")
            caller._socket.close()
            caller._encoder.close()

    async def speak(self, audio: bytes) -> float:
        """Says this; returns when its last sound was sent."""
        self._heard_at.clear()
        self._pending += audio
        while self._pending:
            await asyncio.sleep(FRAME_S / 4)
        return self._spoken_at

    @property
    def heard_something(self) -> bool:
        """Whether the agent was heard since this caller began to speak."""
        return bool(self._heard_at)

    async def first_heard(self, after: float) -> float | None:
        """When the first packet after this moment came."""
        deadline = after + PATIENCE_S
        while time.monotonic() < deadline:
            later = [at for at in self._heard_at if at > after]
            if later:
                return later[0]
            await asyncio.sleep(FRAME_S / 4)
        return None

    async def until_quiet(self, *, at_least: float = 0.0) -> None:
        """Waits until the agent has finished."""
        began = time.monotonic()
        while True:
            last = self._heard_at[-1] if self._heard_at else began
            now = time.monotonic()
            if now - last > QUIET_S and now - began > at_least:
                return
            await asyncio.sleep(FRAME_S)

    async def turns(self) -> int:
        """How many turns the server has counted."""
        snapshot = (await self._client.get(f"/api/calls/{self._call_id}")).raise_for_status().json()
        return int(snapshot["turns"])

    async def _run(self) -> None:
        sequence, began = 0, time.monotonic()
        while True:
            sequence += 1
            await asyncio.sleep(max(0.0, began + sequence * FRAME_S - time.monotonic()))
            now = time.monotonic()
            self._peer.tick(now)
            self._flush()
            if not self._peer.connected:
                continue
            frame, self._pending = self._pending[:FRAME_BYTES], self._pending[FRAME_BYTES:]
            payload = self._encoder.encode(frame.ljust(FRAME_BYTES, b"\0"))
            packet = pack_packet(OPUS, sequence & 0xFFFF, timestamp=sequence * 960, ssrc=1, payload=payload)
            self._socket.send(self._peer.protect(packet))
            if frame:
                # The frame's last sample is spoken now; the packet could not leave earlier.
                self._spoken_at = now - (FRAME_BYTES - len(frame)) / (2 * RATE)

    def _read(self) -> None:
        now = time.monotonic()
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                datagram, source = self._socket.recvfrom(4096)
                self._peer.receive(datagram, source, now)
        self._flush()
        if self._peer.received:
            self._heard_at += [now] * len(self._peer.received)
            self._peer.received.clear()

    def _flush(self) -> None:
        for datagram in self._peer.outgoing():
            self._socket.send(datagram)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: what was said, and how long the answer took, ms; None when none came."""

    text: str
    latency_ms: float | None
    early: bool


async def converse(client: httpx.AsyncClient, said: Sequence[tuple[str, bytes]], progress: Progress) -> list[Turn]:
    """One call, turn by turn."""
    turns: list[Turn] = []
    async with Caller.calling(client, "oneroof") as caller:
        for text, audio in said:
            ended = await caller.speak(audio)
            early = caller.heard_something
            heard = await caller.first_heard(ended)
            turns.append(Turn(text, None if heard is None else (heard - ended) * 1000, early))
            progress.advance(progress.tasks[0].id)
            await caller.until_quiet()
    return turns


async def pause(client: httpx.AsyncClient, audio: bytes, progress: Progress, room: asyncio.Semaphore) -> bool:
    """One call with one sentence full of pauses; whether it was cut short."""
    async with room, Caller.calling(client, "oneroof") as caller:
        ended = await caller.speak(audio)
        await caller.first_heard(ended)
        turns = await caller.turns()
    progress.advance(progress.tasks[1].id)
    return turns > 1


async def run(
    url: str, turns: int, paused: int, seed: int, console: Console
) -> tuple[list[Turn], list[tuple[str, bool]]]:
    """Both parts; timed turns one caller at a time, so that callers do not disturb each other."""
    rng = random.Random(seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    answered: list[Turn] = []
    synthesiser = EspeakSynthesiser()
    await synthesiser.start()
    speaker = Speaker(synthesiser)
    # A connection for each request: between two of them lies a whole conversation, and the server does not wait.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        with Progress(*columns, console=console) as progress:
            progress.add_task("turns", total=turns)
            progress.add_task("sentences with pauses", total=paused)
            number = 0
            while len(answered) < turns:
                voice = VOICES[number % len(VOICES)]
                texts = CONVERSATIONS[number % len(CONVERSATIONS)][: turns - len(answered)]
                said = [(text, await speaker.say(text, voice)) for text in texts]
                answered += await converse(client, said, progress)
                number += 1
            sentences = [(PAUSED[n % len(PAUSED)], VOICES[n % len(VOICES)]) for n in range(paused)]
            audio = [await speaker.say_with_pauses(text, voice, rng) for text, voice in sentences]
            room = asyncio.Semaphore(AT_ONCE)
            were_cut = await asyncio.gather(*(pause(client, each, progress, room) for each in audio))
    await synthesiser.close()
    return answered, [(text, was_cut) for (text, _), was_cut in zip(sentences, were_cut, strict=True)]


def report(answered: Sequence[Turn], cut: Sequence[tuple[str, bool]], seed: int) -> str:
    """The result as Markdown."""
    latencies = sorted(turn.latency_ms for turn in answered if turn.latency_ms is not None)
    p95 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.95))]
    share = 100 * sum(was_cut for _, was_cut in cut) / max(1, len(cut))
    lines = [
        "# First audio",
        "",
        "End of the caller's speech → first audio packet of the answer, built-in brain, over WebRTC; and sentences",
        "with pauses of 150–600 ms inside, same server, same settings.",
        "",
        "| what | measured | target |",
        "|---|---|---|",
        f"| turns answered | {len(latencies)} of {len(answered)} | all |",
        f"| first audio, median | {statistics.median(latencies):.0f} ms | ≤ {TARGET_MS} ms |",
        f"| first audio, p95 | {p95:.0f} ms | |",
        f"| sentences cut short | {share:.1f} % of {len(cut)} | ≤ {TARGET_CUT:.0f} % |",
        "",
        f"Seed {seed}.",
        "",
        "| said | first audio |",
        "|---|---|",
    ]
    for turn in answered:
        latency = "no answer" if turn.latency_ms is None else f"{turn.latency_ms:.0f} ms"
        lines.append(f"| {turn.text} | {latency}{' (answered before the end)' if turn.early else ''} |")
    return "\n".join(lines) + "\n"


def main(
    turns: Annotated[int, typer.Option(help="Turns whose answer is timed.")] = 20,
    paused: Annotated[int, typer.Option(help="Sentences with pauses inside.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the pauses' lengths.")] = 1,
    url: Annotated[str, typer.Option(help="A server that runs already; otherwise one is started.")] = "",
    write: Annotated[bool, typer.Option(help="Keep the result under bench/results/.")] = True,
) -> None:
    """Measure how soon a caller hears the answer, and how often one is cut short."""
    console = Console()
    with contextlib.nullcontext(url) if url else server() as address:
        answered, cut = asyncio.run(run(address, turns, paused, seed, console))
    text = report(answered, cut, seed)
    table = Table(*re.findall(r"[^|\s][^|]*", "what | measured | target"))
    for line in text.splitlines()[7:11]:
        table.add_row(*(cell.strip() for cell in line.strip("|").split("|")))
    console.print(table)
    for sentence, was_cut in cut:
        if was_cut:
            console.print(f"cut short: {sentence}")
    if write:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    typer.run(main)
