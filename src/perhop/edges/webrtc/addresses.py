"""Which addresses to bind, and which to tell callers."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import ifaddr

from perhop.errors import PerhopError

__all__ = ["AddressError", "Addresses", "choose_addresses"]

WILDCARDS = {"": (4, 6), "0.0.0.0": (4,), "::": (4, 6)}  # noqa: S104 - asked for by whoever sets it
PROBE = {4: (socket.AF_INET, "192.0.2.1"), 6: (socket.AF_INET6, "2001:db8::1")}
"""Documentation addresses: connecting a UDP socket to one sends nothing, but shows which interface leads outside."""


class AddressError(PerhopError):
    """``webrtc.host`` or ``webrtc.announce`` names something that is no usable address."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """IP literals.

    Attributes:
        bind: one socket each.
        announce: candidates of the answer, the preferred one first.
    """

    bind: tuple[str, ...]
    announce: tuple[str, ...]


def choose_addresses(host: str, announce: Sequence[str], *, ipv6: bool) -> Addresses:
    """What the settings mean on this machine, now.

    A wildcard stands for every address of every interface; told to callers are then the ones that are not loopback
    (loopback too when there is nothing else). ``announce`` replaces what is told and changes nothing of what is bound:
    that is NAT 1:1.

    Raises:
        AddressError: the host does not resolve, or an announced address is no IP literal.
    """
    versions = tuple(v for v in WILDCARDS.get(host, ()) if v == 4 or ipv6)
    if versions:
        found = _interface_addresses(versions)
        reachable = [a for a in found if not a.is_loopback]
        told = reachable or found
    else:
        found = told = _resolve(host, ipv6=ipv6)
    if announce:
        told = [_literal(text) for text in announce]
    return Addresses(tuple(map(str, found)), tuple(map(str, told)))


_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def _interface_addresses(versions: Sequence[int]) -> list[_IP]:
    """The way out first, then IPv4 before IPv6; link-local addresses are no use without a zone."""
    every = [ip.ip[0] if isinstance(ip.ip, tuple) else ip.ip for a in ifaddr.get_adapters() for ip in a.ips]
    addresses = {ipaddress.ip_address(text.partition("%")[0]) for text in every}
    usable = [a for a in addresses if a.version in versions and not a.is_link_local]
    outward = {_outward(version) for version in versions}
    if not usable:
        raise AddressError("this machine has no network interface with an address; set webrtc.host")
    return sorted(usable, key=lambda a: (a.is_loopback, str(a) not in outward, a.version, a.packed))


def _outward(version: int) -> str | None:
    family, target = PROBE[version]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _resolve(host: str, *, ipv6: bool) -> list[_IP]:
    family = socket.AF_UNSPEC if ipv6 else socket.AF_INET
    try:
        found = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        raise AddressError(f"webrtc.host {host!r} is neither an address nor a name that resolves to one") from None
    return list(dict.fromkeys(_literal(str(entry[4][0])) for entry in found))


def _literal(text: str) -> _IP:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise AddressError(f"webrtc.announce: {text!r} is not an IP address") from None
