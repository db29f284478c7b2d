from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.tools.guard import Reach

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]
OWN = ["127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12:3456::1"]
METADATA = ["169.254.169.254", "fe80::1", "fe80::1%eth0", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"]
SPECIAL = ["0.0.0.0", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1"]
SPECIAL += ["192.0.0.192", "2001:db8::1", "2001::1", "3fff::1", "5f00::1", "100::1"]
IN_DISGUISE = ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1", "::127.0.0.1"]

NOTHING_LISTED = Reach()


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert NOTHING_LISTED.allows("any.example", ip_address(address))


@pytest.mark.parametrize("address", [*OWN, *METADATA, *SPECIAL, *IN_DISGUISE])
def test_no_other_address_is_reached(address: str) -> None:
    assert not NOTHING_LISTED.allows("any.example", ip_address(address))


@pytest.mark.parametrize("address", OWN)
def test_a_listed_host_may_be_a_private_one(address: str) -> None:
    reach = Reach.of(hosts=["Tools.Internal."])
    assert reach.allows("tools.internal", ip_address(address))
    assert reach.allows("TOOLS.internal.", ip_address(address))
    assert not reach.allows("other.internal", ip_address(address))
    assert not reach.allows("sub.tools.internal", ip_address(address))


@pytest.mark.parametrize("address", [*METADATA, *SPECIAL])
def test_the_name_of_a_host_opens_neither_metadata_services_nor_special_addresses(address: str) -> None:
    assert not Reach.of(hosts=["tools.internal"]).allows("tools.internal", ip_address(address))


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"])
def test_a_listed_network_is_reached_under_any_name(address: str) -> None:
    reach = Reach.of(networks=[ip_network("10.1.0.0/16")])
    assert reach.allows("any.example", ip_address(address))
    assert not reach.allows("any.example", ip_address("10.2.0.1"))


def test_only_a_network_opens_a_metadata_service() -> None:
    reach = Reach.of(hosts=["metadata.internal"], networks=[ip_network("169.254.169.254/32")])
    assert reach.allows("metadata.internal", ip_address("169.254.169.254"))
    assert not reach.allows("metadata.internal", ip_address("169.254.169.253"))


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_never_reached_over_ipv4(address: IPv4Address) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        assert not NOTHING_LISTED.allows("any.example", address)


@given(st.ip_addresses(v=6))
def test_what_python_calls_private_is_never_reached_over_ipv6(address: IPv6Address) -> None:
    carries_ipv4 = address.ipv4_mapped is not None or address in ip_network("64:ff9b::/96")
    if not carries_ipv4 and (
        address.is_private or address.is_multicast or address.is_reserved or address.is_link_local
    ):
        assert not NOTHING_LISTED.allows("any.example", address)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_counts_as_itself(address: IPv4Address) -> None:
    mapped = IPv6Address((0xFFFF << 32) | int(address))
    translated = IPv6Address((0x64FF9B << 96) | int(address))
    plain = NOTHING_LISTED.allows("any.example", address)
    assert NOTHING_LISTED.allows("any.example", mapped) is plain
    assert NOTHING_LISTED.allows("any.example", translated) is plain
