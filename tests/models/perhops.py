"""Two Perhops: a gateway, and the one it takes for a remote model, over TLS on a real socket."""

from __future__ import annotations

import asyncio
import fractions
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import SecretStr, TypeAdapter
from tests.api.helpers import build_world, key
from tests.models.brain import ForeseeableBrain

from perhop.cli.server import open_server
from perhop.config import (
    AgentSettings,
    LogSettings,
    ServerSettings,
    Settings,
    StoreSettings,
    UpstreamSettings,
    WebRTCSettings,
)
from perhop.edges.webrtc import WebRTCEdge
from perhop.tools.tool import tool

__all__ = ["KEY", "Page", "gateway", "opening_hours", "second", "self_signed", "served", "upstream_settings"]

KEY = "sk-second"
RATE = 24_000

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


@tool(effect="none")
def opening_hours(day: str) -> str:
    """Tells when we are open.

    Args:
        day: of the week.
    """
    return f"On {day} from nine to five."


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, as PEM files."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "second perhop")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


@asynccontextmanager
async def served(settings: Settings, app: FastAPI | None = None) -> AsyncIterator[str]:
    """A whole Perhop on a free port; its base URL."""
    started = asyncio.Event()
    server = open_server(settings, app=app, on_started=lambda _: started.set(), signals=False)
    serving = asyncio.create_task(server.serve_here())
    waiting = asyncio.create_task(started.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        await server.ready()
        yield server.url
    finally:
        waiting.cancel()
        server.should_exit = True
        await serving


@asynccontextmanager
async def second(
    folder: Path, brain: ForeseeableBrain | None = None, *, webrtc: WebRTCSettings | None = None, **fields: Any
) -> AsyncIterator[UpstreamSettings]:
    """A Perhop behind TLS and keys; what a gateway's settings say about it.

    Args:
        brain: what its built-in model thinks with; the real one when None.
        webrtc: a free port of this machine's loopback unless given.
    """
    cert, private = self_signed(folder)
    settings = Settings(
        server=ServerSettings(port=0, tls_cert=cert, tls_key=private, drain_s=0, data=folder / "second"),
        webrtc=webrtc or WebRTCSettings(host="127.0.0.1", port=0),
        store=StoreSettings(),
        keys=(key(KEY, scopes=("calls", "tokens", "admin")),),
        log=LogSettings(level="error"),
        **fields,
    )
    if brain is None:
        async with served(settings) as url:
            yield upstream_settings(url, cert)
        return
    world = build_world(settings, agents=(), local=brain.model)
    edge = await WebRTCEdge.open(settings.webrtc)
    world.services.webrtc = edge
    try:
        async with served(settings, world.app) as url:
            yield upstream_settings(url, cert)
    finally:
        await edge.close()


def upstream_settings(url: str, ca_file: Path | None = None) -> UpstreamSettings:
    """A second Perhop in a gateway's settings."""
    return UpstreamSettings(url=f"{url}/v1", key=SecretStr(KEY), ca_file=ca_file, transcription_model="built-in")


@asynccontextmanager
async def gateway(folder: Path, model: UpstreamSettings) -> AsyncIterator[AsyncOpenAI]:
    """A Perhop whose calls all go to that model; an official client of it. Its agent ``desk`` has a tool."""
    settings = Settings(
        server=ServerSettings(port=0, drain_s=0, data=folder / "gateway", default_model="second"),
        webrtc=WebRTCSettings(host="127.0.0.1", port=0),
        models={"second": model},
        agents=(
            AgentSettings(
                name="desk",
                model="second",
                instructions="You are the front desk.",
                tools=("tests.models.perhops:opening_hours",),
            ),
        ),
        log=LogSettings(level="error"),
    )
    async with served(settings) as url, AsyncOpenAI(api_key="any", base_url=f"{url}/v1", max_retries=0) as client:
        yield client


class _Microphone(MediaStreamTrack):
    """24 kHz PCM in real time; silence when there is nothing to say."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pcm = bytearray()
        self._samples = 0
        self._began: float | None = None

    def say(self, pcm: bytes) -> None:
        self._pcm += pcm

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
        await asyncio.sleep(max(0.0, self._began + self._samples / RATE - loop.time()))
        piece = bytes(self._pcm[:960])
        del self._pcm[:960]
        frame = av.AudioFrame(format="s16", layout="mono", samples=480)
        frame.planes[0].update(piece.ljust(960, b"\0"))
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, fractions.Fraction(1, RATE)
        self._samples += 480
        return frame


class Page:
    """A caller over WebRTC with a stock client, as a browser is."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._microphone = _Microphone()
        self.connection.addTrack(self._microphone)
        self.channel = self.connection.createDataChannel("oai-events")
        self.events: list[Any] = []
        self.loudest = 0
        self._changed = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self.channel.on("message", self._take)
        self.channel.on("close", lambda: self._changed.set())
        self.connection.on("track", self._listen)

    async def call(self, client: AsyncOpenAI, *, agent: str | None = None) -> str:
        """Calls; the id of the call."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        answer = await client.realtime.calls.with_raw_response.create(
            sdp=self.connection.localDescription.sdp, extra_query={"agent": agent} if agent else {}
        )
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.parse().text, "answer"))
        return str(answer.headers["location"].rsplit("/", 1)[1])

    async def hang_up(self) -> None:
        """Ends everything of this page."""
        if self._listening is not None:
            self._listening.cancel()
        await self.connection.close()

    def speak(self, pcm: bytes) -> None:
        """Says this (24 kHz PCM) into the microphone."""
        self._microphone.say(pcm)

    def of(self, type_: str) -> list[Any]:
        """Events of this type so far."""
        return [event for event in self.events if event.type == type_]

    async def heard(self, type_: str, count: int = 1, *, seconds: float = 20.0) -> Any:
        """Waits for the nth event of this type."""
        await self.until(lambda: len(self.of(type_)) >= count, seconds=seconds)
        return self.of(type_)[count - 1]

    async def until(self, condition: Any, *, seconds: float = 20.0) -> None:
        """Waits for something to become true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _take(self, text: str) -> None:
        self.events.append(_EVENTS.validate_json(text))
        self._changed.set()

    def _listen(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.get_running_loop().create_task(self._hear(track))

    async def _hear(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            samples = frame.to_ndarray()
            self.loudest = max(self.loudest, int(abs(samples.astype("int32")).max()))
            self._changed.set()
