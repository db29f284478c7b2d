"""What can be set, as types: one model a table of ``perhop.toml``. Times are in seconds (``_s``), sizes in bytes."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    HttpUrl,
    SecretStr,
    StringConstraints,
    model_validator,
)

from perhop.config.budget import BudgetSettings, PriceSettings, WarningSettings
from perhop.config.bus import BusSettings
from perhop.config.models import BUILT_IN_MODELS, UpstreamSettings
from perhop.config.registry import RegistrySettings, SecretSettings
from perhop.config.sessions import SessionSettings
from perhop.config.signing import SigningSecret
from perhop.config.store import StoreSettings
from perhop.config.table import Name, Table
from perhop.config.telemetry import TelemetrySettings
from perhop.config.tools import Phrase, ToolName, ToolReference, ToolSettings
from perhop.config.worker import WorkerSettings
from perhop.config.workers import WorkersSettings

__all__ = [
    "AgentSettings",
    "BrainSettings",
    "IceServer",
    "KeySettings",
    "LimitSettings",
    "LogSettings",
    "McpSettings",
    "OutgoingSettings",
    "Scope",
    "ServerSettings",
    "Settings",
    "TokenSettings",
    "WebRTCSettings",
    "WebhookEventName",
    "WebhookSettings",
]

Port = Annotated[int, Field(ge=0, le=65535)]
LanguageTag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}$")]
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]

WebhookEventName = Literal["realtime.call.incoming", "perhop.call.started", "perhop.call.ended"]
"""What webhooks tell: a telephone rings and waits to be accepted; a call began; a call is over."""

McpHost = Annotated[
    str,
    StringConstraints(
        pattern=r"(?i)^(\*|(\*\.)?[a-z0-9][a-z0-9.-]{0,252}(:[0-9]{1,5})?|\[[0-9a-f:.]{2,45}\](:[0-9]{1,5})?)$",
        to_lower=True,
    ),
]

Scope = Literal["calls", "tokens", "stats", "admin"]
"""What an API key may do: start and end calls; mint client secrets; read calls and metrics; everything."""


class ServerSettings(Table):
    """``[server]``: where HTTP and WebSocket are served.

    Attributes:
        port: TCP; 0 takes any free one.
        trusted_proxies: networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed.
        data: folder for what outlives the process; created on first use.
        drain_s: how long live calls may go on after SIGTERM.
        default_model: of calls without an agent; ``local``, or the name of a ``[models.…]`` table.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    data: Path = Path(".perhop")
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    default_model: Name = "local"

    @model_validator(mode="after")
    def _certificate_and_key_come_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key must be given together")
        return self


class IceServer(Table):
    """A STUN or TURN server handed to pages, in the shape of the browser's ``RTCIceServer``."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: SecretStr | None = None


class WebRTCSettings(Table):
    """``[webrtc]``: the one UDP port of all peers.

    Attributes:
        host: address to bind; empty binds every interface.
        port: UDP; 0 takes any free one. When unset, the composition root uses the number of the HTTP port.
        announce: addresses put into answers instead of the bound ones (public IP, NAT 1:1, several interfaces).
        ice_servers: handed to pages; the server itself needs none.
        ipv6: also bind and announce IPv6 addresses.
        max_peers: peers at once; a further offer is refused.
        connect_timeout_s: from the answer to the first connectivity check.
        lost_timeout_s: silence of ICE consent and media after which a caller counts as gone.
    """

    host: str = ""
    port: Port = 0
    announce: tuple[str, ...] = ()
    ice_servers: tuple[IceServer, ...] = ()
    ipv6: bool = True
    max_peers: Annotated[int, Field(ge=1)] = 500
    connect_timeout_s: Annotated[float, Field(gt=0, le=120)] = 30.0
    lost_timeout_s: Annotated[float, Field(gt=0, le=60)] = 8.0


class BrainSettings(Table):
    """``[brain]``: the built-in Realtime server. Each of the three URLs switches one engine to an OpenAI-compatible
    HTTP server (base address that ``/audio/transcriptions``, ``/chat/completions`` or ``/audio/speech`` is added to).

    Attributes:
        language: BCP 47, of recognition and synthesis.
        stt_engines: recogniser processes; 0 takes one per two cores.
        tts_engines: synthesiser processes.
        engine_queue: utterances that may wait for one engine; beyond it they fail with ``engine_overloaded``.
        http_timeout_s: for one request to a configured URL, connection included.
    """

    language: str = "en"
    stt_url: HttpUrl | None = None
    stt_model: str = "whisper-1"
    stt_key: SecretStr | None = None
    llm_url: HttpUrl | None = None
    llm_model: str = "gpt-4o-mini"
    llm_key: SecretStr | None = None
    tts_url: HttpUrl | None = None
    tts_model: str = "tts-1"
    tts_key: SecretStr | None = None
    stt_engines: Annotated[int, Field(ge=0, le=64)] = 1
    tts_engines: Annotated[int, Field(ge=1, le=64)] = 1
    engine_queue: Annotated[int, Field(ge=1, le=1024)] = 32
    http_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30.0


class KeySettings(Table):
    """``[[keys]]``: an API key, stored as its hash; ``perhop keys new`` prints this table.

    Attributes:
        hash: ``sha256:`` and 64 hex digits of the whole key.
        agent: the agent of this key's calls that name none.
        budget: what its calls may use, one by one and all together.
    """

    name: Name
    tenant: Name = "default"
    scopes: tuple[Scope, ...] = ("calls", "tokens")
    hash: Sha256Hex
    agent: Name | None = None
    budget: BudgetSettings | None = None


class AgentSettings(Table):
    """``[[agents]]``: what an agent fixes is locked for its callers; what it leaves unset is theirs to choose.

    Attributes:
        title: for people; the name when unset.
        description: one line for the page that lists agents.
        tools: ``"module:function"`` of a typed Python function, ``"builtin:hang_up"``, ``"bus:<name>"`` of a worker's
            tool, or the name of a ``[tools.<name>]`` table.
        turn_detection: as in the Realtime session; ``{}`` is not allowed, leave it out instead.
        greeting: said when the call starts, without the caller speaking first.
        model: ``local`` (the built-in server), ``echo``, or the name of a ``[models.…]`` table.
        fallback_models: tried in this order when that one fails.
        route: ``gateway`` (media passes through Perhop) or ``direct`` (of WebRTC callers, to a model somewhere else).
        supervised: with ``direct``: pages get no secret of the model, so no call goes without Perhop.
        samples: phrases the page suggests to callers.
        filler_after_s: when a tool takes longer, the agent says one of ``fillers``, in turn, and nothing more until
            there is an answer; tools may say otherwise for themselves.
        hold_phrase: what callers are told while its model cannot be reached; that of the model when unset, empty for
            nothing.
        session: further Realtime session fields that this agent fixes.
        budget: what its calls may use, one by one and all together.
        languages: that it speaks, BCP 47; for people and pages.
        privacy: reserved for a privacy policy. It is stored; nothing acts on it yet.
    """

    name: Name
    title: str = ""
    description: str = ""
    instructions: str | None = None
    voice: str | None = None
    model: str = "local"
    fallback_models: tuple[str, ...] = ()
    tools: tuple[ToolReference, ...] = ()
    turn_detection: dict[str, Any] | None = None
    greeting: str | None = None
    route: Literal["gateway", "direct"] = "gateway"
    supervised: bool = False
    samples: tuple[str, ...] = ()
    filler_after_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    fillers: tuple[Phrase, ...] = ("One moment, please.", "Just a second.", "I am still on it.")
    hold_phrase: Annotated[str, Field(max_length=300)] | None = None
    session: dict[str, Any] = Field(default_factory=dict)
    budget: BudgetSettings | None = None
    languages: Annotated[tuple[LanguageTag, ...], Field(max_length=50)] = ()
    privacy: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _direct_goes_somewhere_else(self) -> Self:
        if self.route == "direct":
            if self.model in BUILT_IN_MODELS:
                raise ValueError("route = 'direct' needs a model somewhere else: one of the [models.…] tables")
            if self.fallback_models:
                raise ValueError("route = 'direct' has no fallback_models: a caller cannot be moved to another model")
        elif self.supervised:
            raise ValueError("supervised is for route = 'direct'; other calls always are")
        return self


class TokenSettings(Table):
    """``[tokens]``: ephemeral client secrets (``ek_…``).

    Attributes:
        ttl_s: life of a secret whose request names none.
        single_use: spent by the first answered call; False gives the documented reuse until it expires.
        allowed_origins: pages that ``GET /api/realtime/token`` serves when keys are configured; empty turns it off.
        per_minute: secrets that one client address may fetch there; not limited without keys.
        max_live: secrets held at once; minting beyond it is refused.
    """

    ttl_s: Annotated[int, Field(ge=10, le=7200)] = 600
    single_use: bool = True
    allowed_origins: tuple[str, ...] = ()
    per_minute: Annotated[int, Field(ge=1)] = 30
    max_live: Annotated[int, Field(ge=1)] = 10_000


class LimitSettings(Table):
    """``[limits]``: what one process or one caller may use at most.

    Attributes:
        max_calls: live calls; a further one gets 503.
        max_call_s: length of a call, which its session's ``expires_at`` shows; then ``session_expired`` and close 1001.
        resume_window_s: how long a call waits for a caller whose connection was lost, without a model session; 0 for
            not at all. It counts among ``max_calls`` meanwhile.
        max_message_bytes: one WebSocket message; the default holds an append of 15 MiB of audio.
        max_body_bytes: one HTTP request body that is not an SDP offer.
        max_sdp_bytes: one SDP offer.
        audio_backlog_s: how far a WebSocket caller's audio may run ahead of real time.
        messages_per_s: WebSocket messages read a second, after a burst of ``message_burst``; the rest waits in the
            client's own socket.
        send_queue_bytes: what may wait for a WebSocket caller who does not read; beyond it the call is closed.
        calls_per_minute: calls that one client address may start or begin to control.
        responses_per_minute: responses that one call may have of the built-in model; see ``rate_limits.updated``.
        tokens_per_minute: tokens that one call may use of the built-in model.
        request_s: from the connection, or the first byte of a further request, to the end of that request.
        ping_s: how often a WebSocket is pinged, and how long the answer, or anything else, may take; a client that is
            gone without a word is noticed within three times that.
    """

    max_calls: Annotated[int, Field(ge=1)] = 500
    max_call_s: Annotated[int, Field(ge=1, le=86_400)] = 1800
    resume_window_s: Annotated[float, Field(ge=0, le=3600)] = 60.0
    max_message_bytes: Annotated[int, Field(ge=4096, le=64 << 20)] = 21 << 20
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 1 << 20
    max_sdp_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 64 << 10
    audio_backlog_s: Annotated[float, Field(ge=1, le=3600)] = 600.0
    messages_per_s: Annotated[float, Field(gt=0)] = 500.0
    message_burst: Annotated[int, Field(ge=1)] = 20_000
    send_queue_bytes: Annotated[int, Field(ge=65_536)] = 16 << 20
    calls_per_minute: Annotated[int, Field(ge=1)] = 6000
    responses_per_minute: Annotated[int, Field(ge=1)] = 2_000
    tokens_per_minute: Annotated[int, Field(ge=1)] = 4_000_000
    request_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    ping_s: Annotated[float, Field(gt=0, le=300)] = 3.0


class OutgoingSettings(Table):
    """``[outgoing]``: where requests of Perhop may go beyond public addresses; nowhere by default.

    Attributes:
        hosts: names that may resolve to loopback and private addresses.
        networks: addresses that may always be reached.
    """

    hosts: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


class McpSettings(Table):
    """``[mcp]``: MCP servers whose tools the built-in model runs for clients. Addresses that are not public also have
    to be allowed in ``[outgoing]``, so that whoever runs a listed host's DNS cannot point it into this network.

    Attributes:
        allowed_hosts: that clients may name in ``session.tools``: ``"example.com"`` (the scheme's own port),
            ``"example.com:8443"``, ``"*.example.com"`` (all below it), ``"*"``. None by default.
        follow_up: ``client``: after a call the client asks for the answer, as with the original API; its SDKs do so.
            ``server``: the model goes on by itself.
        timeout_s: one call of a tool.
    """

    allowed_hosts: tuple[McpHost, ...] = ()
    follow_up: Literal["client", "server"] = "client"
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 20.0


class WebhookSettings(Table):
    """``[[webhooks]]``: a server that is told of calls. A private address also has to be allowed in ``[outgoing]``.

    Attributes:
        secret: ``whsec_`` and the base64 of at least 24 random bytes; signs what is sent.
        events: what to tell.
        tenant: whose calls; everybody's when unset.
    """

    url: HttpUrl
    secret: SigningSecret
    events: tuple[WebhookEventName, ...] = ("realtime.call.incoming", "perhop.call.started", "perhop.call.ended")
    tenant: Name | None = None


class LogSettings(Table):
    """``[log]``: one line an event on stderr; payloads are never logged, at no level."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Settings(Table):
    """All settings. ``Settings()`` is the defaults; :func:`~perhop.config.load_settings` reads file and environment.

    Attributes:
        models: Realtime models somewhere else, by the name that agents call them by.
        echo: also offer the agent ``echo``, which returns the caller's audio and text.
        secrets: credentials of tools in the database, by the name they call them by.
        prices: by a model's name or a pattern of it; in ``currency``.
        file: the TOML file these settings came from, if any; set by the loader.
    """

    server: ServerSettings = ServerSettings()
    webrtc: WebRTCSettings = WebRTCSettings()
    brain: BrainSettings = BrainSettings()
    tokens: TokenSettings = TokenSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    outgoing: OutgoingSettings = OutgoingSettings()
    mcp: McpSettings = McpSettings()
    bus: BusSettings = BusSettings()
    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    secrets: dict[Name, SecretSettings] = Field(default_factory=dict)
    sessions: SessionSettings = SessionSettings()
    budget: BudgetSettings = BudgetSettings()
    warning: WarningSettings = WarningSettings()
    prices: dict[str, PriceSettings] = Field(default_factory=dict, max_length=1000)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    worker: WorkerSettings = WorkerSettings()
    workers: WorkersSettings = WorkersSettings()
    models: dict[Name, UpstreamSettings] = Field(default_factory=dict)
    keys: tuple[KeySettings, ...] = ()
    agents: tuple[AgentSettings, ...] = ()
    webhooks: tuple[WebhookSettings, ...] = ()
    tools: dict[ToolName, ToolSettings] = Field(default_factory=dict)
    echo: bool = False
    file: Path | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (("keys", [k.name for k in self.keys]), ("agents", [a.name for a in self.agents])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: the name {twice[0]!r} is used twice")
        return self

    @model_validator(mode="after")
    def _models_exist(self) -> Self:
        taken = [name for name in BUILT_IN_MODELS if name in self.models]
        if taken:
            raise ValueError(f"models: {taken[0]!r} is built in; choose another name")
        known = [*BUILT_IN_MODELS, *self.models]
        named = [("server.default_model", self.server.default_model)]
        for agent in self.agents:
            named += [(f"agent {agent.name}", model) for model in (agent.model, *agent.fallback_models)]
        for where, model in named:
            if model not in known:
                raise ValueError(f"{where}: there is no model {model!r}; there are: {', '.join(known)}")
        return self

    @property
    def base_dir(self) -> Path:
        """The folder that relative names in the file refer to: the file's own, else the current one."""
        return self.file.resolve().parent if self.file is not None else Path.cwd()
