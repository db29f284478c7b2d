"""What can be set, as types: one model a table of ``perhop.toml``. Times are in seconds (``_s``), sizes in bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from perhop.config.access import KeySettings, TokenSettings
from perhop.config.agents import AgentSettings
from perhop.config.brain import BrainSettings
from perhop.config.budget import BudgetSettings, PriceSettings, WarningSettings
from perhop.config.bus import BusSettings
from perhop.config.limits import LimitSettings
from perhop.config.models import BUILT_IN_MODELS, UpstreamSettings
from perhop.config.outgoing import McpSettings, OutgoingSettings, WebhookSettings
from perhop.config.registry import RegistrySettings, SecretSettings
from perhop.config.server import ServerSettings, WebRTCSettings
from perhop.config.sessions import SessionSettings
from perhop.config.store import StoreSettings
from perhop.config.table import Name, Table
from perhop.config.telemetry import TelemetrySettings
from perhop.config.tools import ToolName, ToolSettings
from perhop.config.worker import WorkerSettings
from perhop.config.workers import WorkersSettings

__all__ = ["LogSettings", "Settings"]


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
