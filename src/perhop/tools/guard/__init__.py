"""The one way out for HTTP requests to addresses that come from configuration or from callers.

Tools over HTTP, MCP servers, webhooks and images are all reached through a :class:`Guard`. It connects to public
addresses and to those the operator listed, and to nothing else; see :mod:`perhop.tools.guard.addresses`.
"""

from __future__ import annotations

from perhop.tools.guard.addresses import Address, Network, Reach
from perhop.tools.guard.client import Guard, OutgoingLimits
from perhop.tools.guard.errors import (
    OutgoingError,
    OutgoingTimeoutError,
    RedirectError,
    RefusedAddressError,
    RefusedUrlError,
    ResponseRefusedError,
    ResponseTooLargeError,
    UnreachableError,
)
from perhop.tools.guard.transport import GuardedTransport, Resolve

__all__ = [
    "Address",
    "Guard",
    "GuardedTransport",
    "Network",
    "OutgoingError",
    "OutgoingLimits",
    "OutgoingTimeoutError",
    "Reach",
    "RedirectError",
    "RefusedAddressError",
    "RefusedUrlError",
    "Resolve",
    "ResponseRefusedError",
    "ResponseTooLargeError",
    "UnreachableError",
]
