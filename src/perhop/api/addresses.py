"""Who is at the other end: client addresses behind trusted proxies, and what counts as this very machine."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

__all__ = ["client_address", "is_loopback_host", "is_loopback_origin", "own_origin", "whose_network"]

Network = IPv4Network | IPv6Network


def client_address(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """The address a request comes from.

    ``X-Forwarded-For`` counts only as far as trusted proxies wrote it: it is read from its end, and the first address
    that is not a trusted proxy is the client.
    """
    peer = connection.client.host if connection.client is not None else ""
    if not _is_trusted(peer, trusted):
        return peer
    client = peer
    for hop in reversed([hop.strip() for hop in ",".join(connection.headers.getlist("x-forwarded-for")).split(",")]):
        address = _parse(hop)
        if address is None:
            break
        client = str(address)
        if not _is_trusted(client, trusted):
            break
    return client


def whose_network(address: str) -> str:
    """What a limit by address counts: of IPv6 the /64, all of which one subscriber has (RFC 6177)."""
    parsed = _parse(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def own_origin(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """Scheme and host under which the client reached us, e.g. ``https://voice.example.org``."""
    scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
    peer = connection.client.host if connection.client is not None else ""
    if _is_trusted(peer, trusted):
        forwarded = connection.headers.get("x-forwarded-proto", "").strip().lower()
        if forwarded in ("http", "https"):
            scheme = forwarded
    return f"{scheme}://{connection.headers.get('host', '')}"


def is_loopback_host(host: str) -> bool:
    """Whether a ``Host`` header (or a host to bind) names this machine and nothing else."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _parse(name)
    return address is not None and address.is_loopback


def is_loopback_origin(origin: str) -> bool:
    """Whether an ``Origin`` header names a page served by this machine; ``null`` does not."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_loopback_host(parts.netloc)


def _is_trusted(host: str, trusted: Sequence[Network]) -> bool:
    if not trusted:
        return False
    address = _parse(host)
    return address is not None and any(address in network for network in trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip().removeprefix("[")
    text = text.partition("]")[0] if "]" in text else text
    try:
        address = ip_address(text)
    except ValueError:
        host, _, port = text.rpartition(":")
        if not port.isdigit():
            return None
        try:
            address = ip_address(host)
        except ValueError:
            return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
