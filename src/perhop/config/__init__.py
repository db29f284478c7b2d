"""Settings: ``perhop.toml``, then ``PERHOP_*`` in the environment, then the command line; later ones win.

Nothing is read at import. :func:`load_settings` reads once, at start; every part is handed the piece it needs.
"""

from __future__ import annotations

from perhop.config.access import KeySettings, Scope, TokenSettings
from perhop.config.agents import AgentSettings
from perhop.config.brain import BrainSettings
from perhop.config.limits import LimitSettings
from perhop.config.load import ConfigError, load_settings
from perhop.config.models import UpstreamSettings
from perhop.config.outgoing import McpSettings, OutgoingSettings, WebhookEventName, WebhookSettings
from perhop.config.server import IceServer, ServerSettings, WebRTCSettings
from perhop.config.settings import LogSettings, Settings
from perhop.config.store import StoreSettings
from perhop.config.telemetry import TelemetrySettings

__all__ = [
    "AgentSettings",
    "BrainSettings",
    "ConfigError",
    "IceServer",
    "KeySettings",
    "LimitSettings",
    "LogSettings",
    "McpSettings",
    "OutgoingSettings",
    "Scope",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "TelemetrySettings",
    "TokenSettings",
    "UpstreamSettings",
    "WebRTCSettings",
    "WebhookEventName",
    "WebhookSettings",
    "load_settings",
]
