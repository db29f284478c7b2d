"""The composition root: the only place that knows every part, and how they are put together."""

from __future__ import annotations

import asyncio
import gc
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import FastAPI

from perhop import __version__
from perhop.api.addresses import is_loopback_host
from perhop.api.app import create_api
from perhop.api.client_secrets import ClientSecretStore
from perhop.api.services import Services
from perhop.brain.assembly import Brain, build
from perhop.call.announcer import Announcer
from perhop.call.budget import Budgets, agent_account
from perhop.call.call import Call
from perhop.call.line import LinePolicy
from perhop.call.manager import CallManager, ModelKind
from perhop.call.observer import CallObserver, Observers
from perhop.call.observers.bus import BusObserver
from perhop.call.observers.hops import HopObserver
from perhop.call.observers.metrics import MetricsObserver
from perhop.call.observers.store import StoreObserver
from perhop.call.observers.webhooks import WebhookObserver
from perhop.call.prices import PriceTable
from perhop.config import (
    AgentSettings,
    ConfigError,
    LimitSettings,
    McpSettings,
    Settings,
    TelemetrySettings,
    WebRTCSettings,
)
from perhop.edges.webrtc import WebRTCEdge
from perhop.errors import PerhopError
from perhop.models.direct import DirectModel
from perhop.models.echo import EchoModel
from perhop.models.local import LocalModel
from perhop.models.upstreams import upstream_kind
from perhop.realtime.mcp.declared import McpRules
from perhop.realtime.rates import RateLimits
from perhop.realtime.server import ServerLimits
from perhop.registry.opening import open_registry
from perhop.running_tools import start_tools
from perhop.schemas import prepare
from perhop.store import Database
from perhop.store.calls import spent_since
from perhop.store.recorder import Recorder
from perhop.telemetry.loop_lag import LoopLag
from perhop.telemetry.metrics import Metrics
from perhop.tools.bus import open_bus
from perhop.tools.bus.events import CallEvents
from perhop.tools.bus.outbox import EventOutbox
from perhop.tools.guard import Guard, OutgoingLimits, Reach
from perhop.tools.mcp.provider import McpProvider
from perhop.tools.registry import ToolRegistry
from perhop.webhooks import Post, SigningKey, WebhookEndpoint, WebhookSender
from perhop.workers.home import Home
from perhop.workers.sdk.metrics import WorkerMetrics

if TYPE_CHECKING:
    from perhop.telemetry.traces import Traces
    from perhop.tools.mcp.connector import McpConnector

__all__ = ["create_app"]

_WEBHOOK_LIMITS = OutgoingLimits(total_s=15.0, max_bytes=1 << 20, max_redirects=0)
"""What a server may take to answer a webhook; what it says beyond the status interests nobody."""

_ECHO = AgentSettings(
    name="echo",
    title="Echo",
    description="Returns your own voice, and answers text with the same text; for measuring.",
    model="echo",
    # Nobody listens for turns: audio comes back as it is, and text when it is asked for.
    session={"audio": {"input": {"turn_detection": None}}},
)


def create_app(settings: Settings) -> FastAPI:
    """The whole of Perhop as an ASGI application; what runs, starts and ends with its lifespan.

    Raises:
        ConfigError: without API keys it would be reachable from other machines.
        PerhopError: an agent names a tool that cannot be loaded.
    """
    _refuse_exposure(settings)
    _check_agents(settings)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                app.state.services = await _start(settings, metrics, stack)
            except PerhopError as error:
                # ASGI turns it into text; whoever serves the app can show the error itself.
                app.state.startup_error = error
                raise
            # What is loaded now stays. Left out of collections, it cannot make a full one stall every call for 30 ms.
            gc.collect()
            gc.freeze()
            yield

    return create_api(settings, metrics, lifespan=lifespan)


async def _start(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Services:
    """Starts the parts in the order they need each other; ``stack`` ends them in the opposite one."""
    brain = build(settings.brain)
    stack.push_async_callback(brain.close)
    await brain.start()
    guard = Guard(Reach.of(hosts=settings.outgoing.hosts, networks=settings.outgoing.networks))
    stack.push_async_callback(guard.aclose)
    # Ends after the calls have: that they are over is told too.
    webhooks = WebhookSender(_webhook_endpoints(settings), _poster(guard), observe=metrics.webhook)
    stack.push_async_callback(webhooks.close)
    mcp = _mcp_provider(settings.mcp, guard)
    if mcp is not None:
        stack.push_async_callback(mcp.close)
    db = await Database.open(settings.store, data=settings.server.data)
    stack.push_async_callback(db.close)
    await prepare(db)
    registry = await open_registry(
        settings,
        db,
        extra=[_ECHO] if settings.echo else [],
        check=lambda agent: calls.effective_session(agent, {}),
    )
    stack.push_async_callback(registry.close)
    recorder = await Recorder.open(
        db, name=_instance_name(settings), queue=settings.store.queue, keep_days=settings.store.keep_calls_days
    )
    stack.push_async_callback(recorder.close)
    metrics.watch_recorder(lambda: recorder.figures)
    hops = HopObserver()
    observers: list[CallObserver] = [
        MetricsObserver(metrics),
        hops,
        WebhookObserver(webhooks),
        StoreObserver(recorder),
    ]
    traces = _traces(settings.telemetry)
    if traces is not None:
        from perhop.call.observers.traces import TraceObserver

        stack.push_async_callback(traces.close)
        observers.append(TraceObserver(traces.tracer))
    bus = await open_bus(settings.bus)
    stack.push_async_callback(bus.close)
    events = CallEvents(bus, EventOutbox(db, limit=settings.bus.outbox))
    stack.push_async_callback(events.close)
    events.start()
    observers.append(BusObserver(events.emit))
    home = await Home.open(
        settings,
        guard,
        bus=bus,
        database=db,
        offered=registry.offered,
        metrics=WorkerMetrics(metrics.registry),
    )
    stack.push_async_callback(home.close)
    registry.before_change(home.prepare)
    runner = await start_tools(
        registry,
        db=db,
        guard=guard,
        bus=bus,
        stack=stack,
        on_change=registry.on_change,
        unknown=metrics.effect_unknown,
    )
    webrtc = await WebRTCEdge.open(_webrtc_settings(settings))
    stack.push_async_callback(webrtc.close)
    client_secrets = ClientSecretStore(single_use=settings.tokens.single_use, max_live=settings.tokens.max_live)
    announcer = Announcer(lambda text, voice: brain.voice.speak(text, voice=voice, speed=1.0))
    stack.push_async_callback(announcer.close)
    calls = CallManager(
        {
            "local": ModelKind(lambda: _local_model(brain, settings.limits, mcp), extensions=True),
            "echo": ModelKind(EchoModel, name="echo"),
            **{
                name: upstream_kind(name, upstream, base_dir=settings.base_dir)
                for name, upstream in settings.models.items()
            },
        },
        runner,
        default_model=settings.server.default_model,
        max_calls=settings.limits.max_calls,
        max_call_s=settings.limits.max_call_s,
        resume_window_s=settings.limits.resume_window_s,
        policy=LinePolicy(**settings.sessions.model_dump()),
        observer=Observers(_SecretsOfCalls(client_secrets), *observers),
        budgets=await _budgets(settings, db),
        prices=PriceTable(settings.prices),
        warning=settings.warning,
        announcer=announcer,
        find_agent=lambda tenant, name: registry.get(name, tenant=tenant),
    )
    direct = _direct_models(settings)
    for model in direct.values():
        # Ends after the calls have: they are ended at the model too.
        stack.push_async_callback(model.aclose)
    stack.callback(calls.close)
    metrics.watch_calls(lambda: _count_by_transport(calls))
    metrics.watch(
        "perhop_calls_waiting",
        "Live calls whose caller was lost and may come back.",
        lambda: sum(call.waiting for call in calls.live()),
    )
    metrics.watch("perhop_webrtc_peers_live", "WebRTC callers answered and not gone.", lambda: len(webrtc.legs))
    metrics.watch("perhop_bus_connected", "Whether the bus can be reached.", lambda: bus.connected)
    metrics.watch("perhop_bus_events_waiting", "Events of calls that wait.", lambda: events.waiting)
    metrics.watch("perhop_bus_events_dropped", "Events of calls given up.", lambda: events.figures.dropped)
    metrics.watch("perhop_tasks", "Tasks of the event loop.", lambda: len(asyncio.all_tasks()))
    hops.watch(calls.live, metrics.registry)
    lag = LoopLag(metrics.registry)
    lag.start()
    stack.callback(lag.close)
    return Services(
        settings=settings,
        calls=calls,
        agents=registry,
        registry=registry,
        webrtc=webrtc,
        client_secrets=client_secrets,
        direct=direct,
        metrics=metrics,
        db=db,
        missing=lambda: () if brain.ready else ("speech engines",),
    )


def _direct_models(settings: Settings) -> dict[str, DirectModel]:
    """Any of them may be that of an agent whose callers talk to it directly."""
    return {name: DirectModel(name, upstream, base_dir=settings.base_dir) for name, upstream in settings.models.items()}


def _instance_name(settings: Settings) -> str:
    """Of this process, the same when it is started again: by that it knows the calls it left open in a crash."""
    port = settings.server.port
    return f"{socket.gethostname()}:{port}" if port else f"{socket.gethostname()}:{secrets.token_hex(4)}"


async def _budgets(settings: Settings, db: Database) -> Budgets:
    """What calls may use, less what those of today used before this start."""
    budgets = Budgets(
        settings.budget,
        keys={key.name: key.budget for key in settings.keys if key.budget is not None},
        warn_at=settings.warning.at,
        clock=time.monotonic,
        wall=time.time,
    )
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for spent in await spent_since(db, midnight):
        agent = agent_account(spent.tenant, spent.agent) if spent.agent is not None else None
        budgets.already_used(key=spent.key, agent=agent, tokens=spent.tokens, cost=spent.cost)
    return budgets


def _traces(settings: TelemetrySettings) -> Traces | None:
    """Where spans go, if anywhere; only then its packages are needed."""
    if settings.otlp_url is None:
        return None
    try:
        from perhop.telemetry.traces import Traces
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("perhop"):
            raise
        raise ConfigError("telemetry.otlp_url needs OpenTelemetry: pip install 'perhop[telemetry]'") from None
    return Traces(settings, version=__version__)


def _mcp_provider(settings: McpSettings, guard: Guard) -> McpConnector | None:
    """The way to MCP servers, unless clients may name none; only then its package is needed."""
    if not settings.allowed_hosts:
        return None
    try:
        from perhop.tools.mcp.connector import McpConnector, McpLimits
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("perhop"):
            raise
        raise ConfigError("mcp.allowed_hosts needs the package mcp: pip install 'perhop[mcp]'") from None
    rules = McpRules(hosts=frozenset(settings.allowed_hosts), follow_up=settings.follow_up)
    return McpConnector(guard, rules, limits=McpLimits(request_s=settings.timeout_s))


def _local_model(brain: Brain, limits: LimitSettings, mcp: McpProvider | None) -> LocalModel:
    rates = RateLimits(limits.responses_per_minute, limits.tokens_per_minute)
    return LocalModel(
        detector=brain.detector,
        recogniser=brain.recogniser,
        minds=brain.minds,
        voice=brain.voice,
        limits=ServerLimits(rates=rates),
        mcp=mcp,
    )


def _check_agents(settings: Settings) -> None:
    """Loads what the agents of the file name, so that a wrong reference is an error at start and not in a call."""
    tools = ToolRegistry(folder=settings.base_dir, declared=settings.tools)
    for agent in settings.agents:
        tools.load_all(agent.tools)


def _refuse_exposure(settings: Settings) -> None:
    host = settings.server.host
    if not settings.keys and not is_loopback_host(f"[{host}]" if ":" in host else host):
        raise ConfigError(
            f"server.host is {host!r}, but no API keys are configured, and then everybody who reaches Perhop may use "
            "it. Make a key with 'perhop keys new NAME' and put it into perhop.toml, or serve this machine only "
            "(--host 127.0.0.1)."
        )


def _webrtc_settings(settings: Settings) -> WebRTCSettings:
    """Media takes the UDP port of the same number as HTTP unless told otherwise: one number to open in a firewall.

    The media port may listen on every interface even when HTTP is for this machine only: it answers nobody who did
    not come with the credentials of an offer answered over HTTP, and some browsers never pair a network candidate
    with a loopback one.
    """
    if "port" in settings.webrtc.model_fields_set:
        return settings.webrtc
    return settings.webrtc.model_copy(update={"port": settings.server.port})


def _webhook_endpoints(settings: Settings) -> list[WebhookEndpoint]:
    return [
        WebhookEndpoint(
            url=str(webhook.url),
            key=SigningKey(webhook.secret.get_secret_value()),
            events=frozenset(webhook.events),
            tenant=webhook.tenant,
        )
        for webhook in settings.webhooks
    ]


def _poster(guard: Guard) -> Post:
    async def post(url: str, *, content: bytes, headers: Mapping[str, str]) -> int:
        response = await guard.request("POST", url, content=content, headers=headers, limits=_WEBHOOK_LIMITS)
        return response.status_code

    return post


class _SecretsOfCalls(CallObserver):
    """A client secret may manage the call it opened for as long as that lives."""

    def __init__(self, client_secrets: ClientSecretStore) -> None:
        self._client_secrets = client_secrets

    def call_ended(self, call: Call) -> None:
        self._client_secrets.call_ended(call.id)


def _count_by_transport(calls: CallManager) -> dict[str, int]:
    counts: dict[str, int] = {"webrtc": 0, "websocket": 0}
    for call in calls.live():
        counts[call.transport] = counts.get(call.transport, 0) + 1
    return counts
