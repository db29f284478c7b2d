"""What Perhop asks or tells other servers: where requests may go, MCP servers, webhooks."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, HttpUrl, StringConstraints

from perhop.config.signing import SigningSecret
from perhop.config.table import Name, Table

__all__ = ["McpSettings", "OutgoingSettings", "WebhookEventName", "WebhookSettings"]

WebhookEventName = Literal["realtime.call.incoming", "perhop.call.started", "perhop.call.ended"]
"""What webhooks tell: a telephone rings and waits to be accepted; a call began; a call is over."""

McpHost = Annotated[
    str,
    StringConstraints(
        pattern=r"(?i)^(\*|(\*\.)?[a-z0-9][a-z0-9.-]{0,252}(:[0-9]{1,5})?|\[[0-9a-f:.]{2,45}\](:[0-9]{1,5})?)$",
        to_lower=True,
    ),
]


class OutgoingSettings(Table):
    """``[outgoing]``: where requests of Perhop may go beyond public addresses; nowhere by default. It is for addresses
    that tenants and callers have a say in (tools, MCP servers, webhooks, the other ends of workers). What only this
    file names as part of the installation is taken at its word: models, speech services, bus, database, trace
    collector.

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
