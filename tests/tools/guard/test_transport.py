from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.tools.guard.servers import Seen, guard, http_server, loopback, says
from tests.virtual_time import run_virtual

from perhop.tools.guard import (
    Address,
    Guard,
    OutgoingLimits,
    OutgoingTimeoutError,
    Reach,
    RefusedAddressError,
    RefusedUrlError,
    ResponseRefusedError,
    ResponseTooLargeError,
    UnreachableError,
)
from perhop.tools.guard.transport import resolve

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://one.example/",
        "http://0177.0.0.1/",
        "file:///etc/passwd",
        "unix:/run/docker.sock",
        "/relative",
        "http://",
        "http://[::",
    ],
)
async def test_only_http_addresses_with_a_host_are_asked(url: str) -> None:
    with pytest.raises(RefusedUrlError):
        await guard().request("GET", url)


async def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(RefusedUrlError) as refused:
        await guard().request("GET", "http://user:hunter2@one.example/")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
async def test_this_machine_is_not_reached_however_it_is_written(host: str) -> None:
    async with http_server(says()) as server:
        outgoing = Guard(ssl_context=PLAIN)
        with pytest.raises(RefusedAddressError, match=r"outgoing\.hosts"):
            await outgoing.request("GET", server.url(host))
        assert server.connections == 0


async def test_a_listed_host_is_reached_under_its_own_name() -> None:
    async with http_server(says(b"hello")) as server:
        response = await guard().request("GET", server.url("one.example", "/path?q=1"))
    assert (response.status_code, response.content) == (200, b"hello")
    [seen] = server.seen
    assert (seen.target, seen.headers["host"]) == ("/path?q=1", f"one.example:{server.port}")


async def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked() -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address(text) for text in answers[len(asked) - 1]]

    async with http_server(says()) as server:
        outgoing = Guard(Reach.of(hosts=["one.example"]), resolve=rebinding, ssl_context=PLAIN)
        for _ in range(3):
            await outgoing.request("GET", server.url())
        assert (asked, server.connections) == (["one.example"], 1)
        await outgoing.aclose()
        with pytest.raises(RefusedAddressError):
            await outgoing.request("GET", server.url())
    assert len(server.seen) == 3


async def test_of_several_addresses_only_those_allowed_are_tried_in_turn() -> None:
    async def several(host: str, port: int) -> Sequence[Address]:
        return [ip_address("169.254.169.254"), ip_address("127.0.0.2"), ip_address("127.0.0.1")]

    async with http_server(says()) as server:  # listens on the last of them only
        outgoing = Guard(Reach.of(hosts=["one.example"]), resolve=several, ssl_context=PLAIN)
        assert (await outgoing.request("GET", server.url())).status_code == 200


async def test_a_host_that_does_not_exist_is_unreachable() -> None:
    async def unknown(host: str, port: int) -> Sequence[Address]:
        raise OSError("no such host")

    with pytest.raises(UnreachableError, match=r"one\.example"):
        await Guard(resolve=unknown, ssl_context=PLAIN).request("GET", "http://one.example/")


async def test_nobody_listening_is_unreachable() -> None:
    async with http_server(says()) as server:
        url = server.url()
    with pytest.raises(UnreachableError, match="ConnectError"):
        await guard().request("GET", url)


async def test_the_system_resolver_knows_this_machine() -> None:
    assert ip_address("127.0.0.1") in await resolve("localhost", 80)
    assert await resolve("192.0.2.7", 80) == [ip_address("192.0.2.7")]


# -- bounds -----------------------------------------------------------------------------------------------------------


async def chunks(_: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _piece in range(100):
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
    writer.write(b"0\r\n\r\n")


async def test_an_answer_is_read_up_to_the_limit_and_no_further() -> None:
    async with http_server(chunks) as server:
        enough = await guard(OutgoingLimits(max_bytes=102_400)).request("GET", server.url())
        assert len(enough.content) == 102_400
        with pytest.raises(ResponseTooLargeError, match="102399"):
            await guard(OutgoingLimits(max_bytes=102_399)).request("GET", server.url())


async def test_compressed_answers_are_neither_asked_for_nor_taken() -> None:
    async with http_server(says(b"\x1f\x8b", headers=["Content-Encoding: gzip"])) as server:
        with pytest.raises(ResponseRefusedError, match="compressed"):
            await guard().request("GET", server.url())
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_name_that_is_never_resolved_costs_the_time_to_connect_and_no_more() -> None:
    async def never(host: str, port: int) -> Sequence[Address]:
        return await asyncio.get_running_loop().create_future()

    async def ask() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(OutgoingTimeoutError):
            await Guard(resolve=never, ssl_context=PLAIN).request("GET", "http://one.example/")
        return loop.time() - began

    assert run_virtual(ask()) == pytest.approx(OutgoingLimits().connect_s)


async def drips(_: Seen, writer: asyncio.StreamWriter) -> None:
    """Always a little more, never the end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("limits", [OutgoingLimits(total_s=0.05), None], ids=["whole request", "stream"])
async def test_an_answer_that_never_ends_is_given_up(limits: OutgoingLimits | None) -> None:
    async with http_server(drips) as server:
        if limits is not None:
            with pytest.raises(OutgoingTimeoutError):
                await guard(limits).request("GET", server.url())
            return
        async with guard().client(limits=OutgoingLimits(total_s=0.05)) as http:
            with pytest.raises(OutgoingTimeoutError):
                async with http.stream("GET", server.url()) as response:
                    async for _ in response.aiter_bytes():
                        pass


async def test_silence_is_a_timeout_of_the_network() -> None:
    async def silent(_: Seen, writer: asyncio.StreamWriter) -> None:
        await writer.wait_closed()

    async with http_server(silent) as server:
        with pytest.raises(OutgoingTimeoutError):
            await guard(OutgoingLimits(read_s=0.02)).request("GET", server.url())
        async with guard().client(limits=OutgoingLimits(read_s=0.02)) as http:
            with pytest.raises(httpx2.ReadTimeout):
                await http.get(server.url())


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for one.example, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "one.example")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("one.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "one.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls_verifies_the_name_although_the_connection_goes_to_an_address(certificate: Path) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    async with http_server(says(b"private"), tls=serving) as server:
        outgoing = guard(ssl_context=trusting)
        assert (await outgoing.request("GET", server.url(scheme="https"))).content == b"private"
        with pytest.raises(UnreachableError):
            await outgoing.request("GET", server.url("two.example", scheme="https"))


async def test_environment_and_proxies_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with http_server(says()) as server:
        assert (await guard().request("GET", server.url())).status_code == 200


async def test_loopback_is_the_resolver_of_these_tests() -> None:
    assert await loopback("one.example", 80) == [ip_address("127.0.0.1")]
