"""Where callers reach the process: HTTP and WebSocket, and the one UDP port of WebRTC."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from perhop.config.table import Name, Port, Table

__all__ = ["IceServer", "ServerSettings", "WebRTCSettings"]


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
