"""What carries tool calls to workers and events of calls to whoever wants them: in process, or NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perhop.tools.bus.base import (
    Bus,
    Consumer,
    Endpoint,
    Handle,
    Handler,
    Headers,
    Message,
    Responder,
    Service,
    ServiceInfo,
)
from perhop.tools.bus.discovery import ToolOffer, announcement, discover
from perhop.tools.bus.errors import (
    BusBusyError,
    BusDownError,
    BusError,
    BusPayloadError,
    BusTimeoutError,
    NotNowError,
    NoWorkerError,
    RemoteError,
)
from perhop.tools.bus.memory import InProcessBus
from perhop.tools.bus.opening import open_bus
from perhop.tools.bus.subjects import ANY, CallEventKind, call_subject, tool_subject

if TYPE_CHECKING:
    from perhop.tools.bus.nats import NatsBus

__all__ = [
    "ANY",
    "Bus",
    "BusBusyError",
    "BusDownError",
    "BusError",
    "BusPayloadError",
    "BusTimeoutError",
    "CallEventKind",
    "Consumer",
    "Endpoint",
    "Handle",
    "Handler",
    "Headers",
    "InProcessBus",
    "Message",
    "NatsBus",
    "NoWorkerError",
    "NotNowError",
    "RemoteError",
    "Responder",
    "Service",
    "ServiceInfo",
    "ToolOffer",
    "announcement",
    "call_subject",
    "discover",
    "open_bus",
    "tool_subject",
]


if not TYPE_CHECKING:  # without a server nobody needs its client

    def __getattr__(name: str) -> object:
        if name != "NatsBus":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from perhop.tools.bus.nats import NatsBus

        return NatsBus
