"""Which addresses an outgoing request may be sent to.

By default only globally reachable unicast addresses: what the IANA special-purpose registries (RFC 6890, and RFC 9637
for the newer documentation range) set aside is refused, and so are the addresses under which clouds hand out
credentials. An operator opens more in two ways, which differ on purpose:

* a **host**, by its exact name, may then resolve to loopback and private addresses. Whoever runs its DNS cannot use
  that to reach link-local addresses or a cloud's metadata service;
* a **network** may then be reached whatever the host is called.

The decision is about addresses, never about how they are written, so ``http://2130706433/`` or a name that resolves to
``127.0.0.1`` gain nothing. IPv6 addresses that carry an IPv4 address (mapped, 6to4, NAT64) count as that address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

__all__ = ["Address", "Network", "Reach"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_OWN = _networks(
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",  # shared address space (RFC 6598)
    "fc00::/7",
)
"""Loopback and private use: what a listed host may resolve to."""

_METADATA = _networks(
    "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata service of most clouds
    "fe80::/10",
    "168.63.129.16/32",  # Azure
    "100.100.100.200/32",  # Alibaba Cloud
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:ec2::/32",  # AWS over IPv6
)
"""Opened by a network alone, never by a host's name."""

_SPECIAL = _networks(
    "0.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
)
"""Protocol assignments, documentation, benchmarks, multicast and reserved space."""

_GLOBAL_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """What an operator allows beyond public addresses; the default is nothing.

    Attributes:
        hosts: names that may resolve to loopback and private addresses; compared without case.
        networks: addresses that may always be reached.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, *, hosts: Iterable[str] = (), networks: Iterable[Network] = ()) -> Reach:
        """The same from what settings hold."""
        return cls(frozenset(_plain(host) for host in hosts), tuple(networks))

    def allows(self, host: str, address: Address) -> bool:
        """Whether a connection to ``host`` may go to this one of its addresses."""
        address = _meant(address)
        if _within(address, self.networks):
            return True
        if _within(address, _METADATA):
            return False
        if _within(address, _OWN):
            return _plain(host) in self.hosts
        return not _within(address, _SPECIAL) and (isinstance(address, IPv4Address) or address in _GLOBAL_IPV6)


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, if there is one."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return inner
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
