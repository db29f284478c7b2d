"""The sockets of the port, and which addresses they are for."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from types import SimpleNamespace

import ifaddr
import pytest

from perhop.edges.webrtc.addresses import AddressError, choose_addresses
from perhop.edges.webrtc.udp import BindError, UdpPort


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.fixture
def interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with loopback, two networks, IPv6 and link-local addresses."""
    ips = [
        "127.0.0.1",
        ("::1", 0, 0),
        "10.0.0.5",
        "169.254.7.7",
        ("fe80::1", 0, 2),
        ("2001:db8::5", 0, 0),
        "192.168.1.5",
    ]
    adapters = [SimpleNamespace(ips=[SimpleNamespace(ip=ip) for ip in ips])]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)


@pytest.mark.usefixtures("interfaces")
def test_a_wildcard_means_every_interface_and_tells_the_reachable_ones() -> None:
    chosen = choose_addresses("", [], ipv6=True)
    assert set(chosen.bind) == {"127.0.0.1", "::1", "10.0.0.5", "2001:db8::5", "192.168.1.5"}
    assert set(chosen.announce) == {"10.0.0.5", "2001:db8::5", "192.168.1.5"}
    only_4 = choose_addresses("", [], ipv6=False)
    assert only_4 == choose_addresses("0.0.0.0", [], ipv6=True)
    assert all(ipaddress.ip_address(host).version == 4 for host in only_4.bind)


@pytest.mark.usefixtures("interfaces")
def test_what_is_announced_can_be_said_outright() -> None:
    chosen = choose_addresses("", ["203.0.113.5"], ipv6=True)
    assert chosen.announce == ("203.0.113.5",)
    assert "10.0.0.5" in chosen.bind


def test_loopback_is_told_when_it_was_asked_for_or_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_addresses("127.0.0.1", [], ipv6=True).announce == ("127.0.0.1",)
    adapters = [SimpleNamespace(ips=[SimpleNamespace(ip="127.0.0.1")])]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    assert choose_addresses("", [], ipv6=True).announce == ("127.0.0.1",)


@pytest.mark.parametrize(("host", "announce"), [("no.such.host.invalid", []), ("127.0.0.1", ["example.com"])])
def test_what_is_no_address_is_refused(host: str, announce: list[str]) -> None:
    with pytest.raises(AddressError, match=r"webrtc\.(host|announce)"):
        choose_addresses(host, announce, ipv6=True)


@needs_ipv6
async def test_one_port_number_serves_every_address() -> None:
    port = UdpPort.open(["127.0.0.1", "::1", "127.0.0.2"], 0)
    assert [bound.host for bound in port.sockets] == ["127.0.0.1", "::1", "127.0.0.2"]
    assert port.port > 0
    with pytest.raises(BindError) as again:
        UdpPort.open(["::1"], port.port)
    assert str(port.port) in str(again.value)
    port.close(asyncio.get_running_loop())


async def test_an_address_that_is_not_there_is_left_out_unless_it_is_the_only_one() -> None:
    port = UdpPort.open(["198.51.100.1", "127.0.0.1"], 0)
    assert [bound.host for bound in port.sockets] == ["127.0.0.1"]
    port.close(asyncio.get_running_loop())
    with pytest.raises(BindError, match=r"198\.51\.100\.1"):
        UdpPort.open(["198.51.100.1"], 0)


async def test_datagrams_come_with_their_source_and_go_to_it() -> None:
    loop = asyncio.get_running_loop()
    port = UdpPort.open(["127.0.0.1"], 0)
    got: list[tuple[bytes, object, object]] = []
    done = asyncio.Event()

    def receive(data: bytes, address: tuple[str, int], bound: object) -> None:
        got.append((data, address, bound))
        port.sockets[0].send(b"back", address)
        if len(got) == 100:
            done.set()

    port.start(loop, receive)  # type: ignore[arg-type]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        for number in range(100):
            client.sendto(b"%d" % number, ("127.0.0.1", port.port))
        async with asyncio.timeout(5):
            await done.wait()
        assert [data for data, _, _ in got] == [b"%d" % number for number in range(100)]
        assert got[0][1:] == (client.getsockname(), port.sockets[0])
        assert client.recv(100) == b"back"
    port.close(loop)


async def test_what_the_network_does_not_take_is_counted_and_forgotten() -> None:
    loop = asyncio.get_running_loop()
    port = UdpPort.open(["127.0.0.1"], 0)
    port.sockets[0].send(b"x", ("127.0.0.1", 0))
    port.sockets[0].send(bytes(70_000), ("127.0.0.1", 9))
    assert port.sockets[0].failed == 2
    port.close(loop)
