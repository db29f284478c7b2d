"""A whole API around real calls, with an edge that answers without a network and models that echo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI

from perhop.api.app import create_api
from perhop.api.auth import hash_key
from perhop.api.client_secrets import ClientSecretStore
from perhop.api.services import Services
from perhop.call.agents import Agent, AgentRegistry
from perhop.call.call import Call
from perhop.call.legs import CallerSink, EndReason, HopStats, ModelLeg, Position, Transport
from perhop.call.manager import CallManager, ModelKind
from perhop.call.observer import CallObserver, Observers
from perhop.call.observers.metrics import MetricsObserver
from perhop.config import KeySettings, Scope, Settings
from perhop.errors import LimitExceededError
from perhop.media.sdp import SdpError
from perhop.models.echo import EchoModel
from perhop.realtime.audio import AudioChunk
from perhop.realtime.events import ServerEvent
from perhop.telemetry.metrics import Metrics
from perhop.tools.runner import ToolRunner

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
ANSWER = "v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
BROKEN_OFFER = "nonsense"
LOCAL = "http://127.0.0.1:8080"


class AnsweredLeg:
    """A caller leg that only remembers."""

    transport: Transport = "webrtc"
    clocked = True
    answer_sdp = ANSWER

    def __init__(self) -> None:
        self.sent: list[ServerEvent] = []
        self.closed: EndReason | None = None
        self.jitter_buffer_ms: float | None = None

    def attach(self, sink: CallerSink) -> None:
        self.sink = sink

    def send(self, event: ServerEvent) -> None:
        self.sent.append(event)

    def play(self, chunk: AudioChunk) -> None:
        pass

    def end_audio(self, response_id: str) -> None:
        pass

    def clear(self) -> str | None:
        return None

    def stopped(self, item_id: str | None = None, played_ms: int = 0) -> None:
        pass

    def position(self, item_id: str) -> Position:
        return Position(0, 0)

    def report(self, *, jitter_buffer_ms: float | None) -> None:
        self.jitter_buffer_ms = jitter_buffer_ms

    def stats(self) -> HopStats:
        return HopStats()

    def close(self, reason: EndReason) -> None:
        self.closed = reason


@dataclass
class AnsweringEdge:
    """Answers every offer but the broken one."""

    legs: list[AnsweredLeg] = field(default_factory=list)
    dcids: list[int | None] = field(default_factory=list)
    full: bool = False

    def answer(self, offer_sdp: str, *, dcid: int | None = None) -> AnsweredLeg:
        if self.full:
            raise LimitExceededError("all peers are taken")
        if offer_sdp == BROKEN_OFFER:
            raise SdpError("expected v=", line=1)
        self.legs.append(AnsweredLeg())
        self.dcids.append(dcid)
        return self.legs[-1]


class Clock:
    """Time that tests move."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class _Forgetting(CallObserver):
    """Forgets the secrets of calls that are over."""

    def __init__(self, client_secrets: ClientSecretStore) -> None:
        self._client_secrets = client_secrets

    def call_ended(self, call: Call) -> None:
        self._client_secrets.call_ended(call.id)


@dataclass
class World:
    """An application and what it is made of."""

    app: FastAPI
    services: Services
    edge: AnsweringEdge
    clock: Clock
    missing: list[str]

    def client(self, *, base_url: str = LOCAL, peer: str = "127.0.0.1", **kwargs: Any) -> httpx.AsyncClient:
        """An HTTP client that reaches the application without a socket."""
        transport = httpx.ASGITransport(self.app, client=(peer, 50_000), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=base_url, **kwargs)


AGENTS = (
    Agent(
        name="oneroof",
        title="One Roof",
        description="Homes to rent and buy.",
        fixed={"instructions": "You sell homes.", "audio": {"output": {"voice": "cedar"}}},
        samples=("two bedrooms in Oakland",),
        model="echo",
    ),
    Agent(name="echo", model="echo", fixed={"audio": {"input": {"turn_detection": None}}}),
)


def build_world(
    settings: Settings | None = None,
    *,
    agents: Sequence[Agent] = AGENTS,
    local: Callable[[], ModelLeg] = EchoModel,
) -> World:
    """Everything but the network.

    Args:
        local: makes the model of calls that name none.
    """
    settings = settings or Settings()
    clock = Clock()
    metrics = Metrics()
    client_secrets = ClientSecretStore(
        single_use=settings.tokens.single_use, max_live=settings.tokens.max_live, clock=clock
    )
    calls = CallManager(
        {"local": ModelKind(local), "echo": ModelKind(EchoModel)},
        ToolRunner(),
        max_calls=settings.limits.max_calls,
        resume_window_s=settings.limits.resume_window_s,
        observer=Observers(_Forgetting(client_secrets), MetricsObserver(metrics)),
    )
    edge = AnsweringEdge()
    missing: list[str] = []
    services = Services(
        settings=settings,
        calls=calls,
        agents=AgentRegistry(agents),
        webrtc=edge,
        client_secrets=client_secrets,
        metrics=metrics,
        missing=lambda: missing,
        clock=clock,
    )
    app = create_api(settings, metrics, lifespan=lambda _: nullcontext())
    app.state.services = services
    return World(app, services, edge, clock, missing)


def key(
    value: str,
    *,
    name: str = "backend",
    tenant: str = "default",
    scopes: Sequence[Scope] = ("calls", "tokens"),
    agent: str | None = None,
) -> KeySettings:
    """A configured key of this value."""
    return KeySettings(name=name, tenant=tenant, scopes=tuple(scopes), hash=hash_key(value), agent=agent)


def bearer(value: str) -> dict[str, str]:
    """The header that presents a key or secret."""
    return {"Authorization": f"Bearer {value}"}


SDP = {"Content-Type": "application/sdp"}
