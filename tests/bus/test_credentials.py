"""Every way to prove who we are to a NATS server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.bus.conftest import until
from tests.bus.servers import NatsServer, needs_nats, with_creds, with_nkey, with_password, with_tls

from perhop.config.bus import BusSettings
from perhop.tools.bus import BusDownError, BusError, NatsBus
from perhop.tools.bus.nats_connection import connect_options

pytestmark = [needs_nats, pytest.mark.integration]


async def connects(server: NatsServer, settings: BusSettings, *, wait_s: float = 5.0) -> bool:
    bus = await NatsBus.open(settings, wait_s=wait_s)
    try:
        if bus.connected:
            await bus.flush()
        return bus.connected
    except BusDownError:
        return False
    finally:
        await bus.close()


async def refused(server: NatsServer, **changes: object) -> bool:
    with capture_logs() as logs:
        connected = await connects(server, server.settings(**changes), wait_s=0.4)
    assert len([entry for entry in logs if entry["event"] == "bus trouble"]) <= 3
    assert "wrong-password" not in str(logs)
    return not connected


async def test_user_and_password(tmp_path: Path) -> None:
    server = with_password(tmp_path)
    server.start()
    try:
        assert await connects(server, server.settings(user="perhop", password="s3cret"))
        assert await refused(server, user="perhop", password="wrong-password")
        assert await refused(server)
    finally:
        server.stop()


async def test_an_nkey(tmp_path: Path) -> None:
    server, file = with_nkey(tmp_path)
    server.start()
    try:
        assert await connects(server, server.settings(nkey=file))
        assert await refused(server)
    finally:
        server.stop()


async def test_a_creds_file(tmp_path: Path) -> None:
    server, file = with_creds(tmp_path)
    server.start()
    try:
        assert await connects(server, server.settings(creds=file))
        assert await refused(server)
    finally:
        server.stop()


async def test_tls_with_an_authority_of_our_own(tmp_path: Path) -> None:
    server, ca, _, _ = with_tls(tmp_path)
    server.start()
    try:
        assert await connects(server, server.settings(tls_ca=ca))
        assert await refused(server)  # signed by nobody the system knows
    finally:
        server.stop()


async def test_mutual_tls(tmp_path: Path) -> None:
    server, ca, certificate, key = with_tls(tmp_path, mutual=True)
    server.start()
    try:
        assert await connects(server, server.settings(tls_ca=ca, tls_cert=certificate, tls_key=key))
        assert await refused(server, tls_ca=ca)
    finally:
        server.stop()


async def test_credentials_over_tls(tmp_path: Path) -> None:
    server, ca, _, _ = with_tls(tmp_path)
    secure = server.config
    by_nkey, nkey = with_nkey(tmp_path)
    by_creds, creds = with_creds(tmp_path)
    for other, right in (
        (with_password(tmp_path), {"user": "perhop", "password": "s3cret"}),
        (by_nkey, {"nkey": nkey}),
        (by_creds, {"creds": creds}),
    ):
        server.config, server.jetstream = f"{secure}\n{other.config}", other.jetstream
        server.start()
        try:
            assert await connects(server, server.settings(tls_ca=ca, **right))
            assert await refused(server, tls_ca=ca, user="perhop", password="wrong-password")
        finally:
            server.stop()


@pytest.mark.parametrize("credentials", [{}, {"user": "perhop", "password": "s3cret"}], ids=["none", "password"])
async def test_nothing_is_said_to_a_server_that_wants_no_tls_once_tls_is_set(
    tmp_path: Path, credentials: dict[str, Any]
) -> None:
    _, ca, _, _ = with_tls(tmp_path)
    heard: list[bytes] = []
    greeted = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.10.0", "max_payload": 1 << 20, "headers": True, "auth_required": True}
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        heard.append(await reader.read(4096))  # until the client closes, or says something
        greeted.set()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        settings = BusSettings(url=f"nats://127.0.0.1:{port}", tls_ca=ca, reconnect_wait_s=0.05, **credentials)
        with capture_logs() as logs:
            bus = await NatsBus.open(settings, wait_s=0)
            await asyncio.wait_for(greeted.wait(), 10)
            await bus.close()
    assert heard[0] == b""
    assert any("offers no TLS" in entry.get("reason", "") for entry in logs)


async def test_a_server_that_comes_back_without_tls_is_told_nothing(tmp_path: Path) -> None:
    server, ca, _, _ = with_tls(tmp_path / "secure")
    server.config += "\n" + with_password(tmp_path).config
    server.start()
    bus = await NatsBus.open(server.settings(tls_ca=ca, user="perhop", password="s3cret"), wait_s=5)
    plain = with_password(tmp_path / "plain")
    plain.port = server.port
    try:
        assert bus.connected
        server.kill()
        with capture_logs() as logs:
            plain.start()
            await until(lambda: any("offers no TLS" in entry.get("reason", "") for entry in logs))
        assert not bus.connected
        plain.kill()
        server.start()
        await until(lambda: bus.connected)
    finally:
        await bus.close()
        plain.stop()
        server.stop()


async def test_any_setting_of_tls_encrypts_an_address_that_says_nats(tmp_path: Path) -> None:
    _, ca, certificate, key = with_tls(tmp_path, mutual=True)
    plain = "nats://127.0.0.1:1"
    assert not BusSettings(url=plain).tls
    assert "tls" in connect_options(BusSettings(url=plain, tls_ca=ca), name="test")
    assert "tls" in connect_options(BusSettings(url=plain, tls_cert=certificate, tls_key=key), name="test")
    options = connect_options(BusSettings(url=plain, tls_hostname="bus.example"), name="test")
    assert "tls" in options
    assert options["tls_hostname"] == "bus.example"


@pytest.mark.parametrize("name", ["nkey", "creds", "tls_ca"])
async def test_a_file_that_is_not_there_is_an_error_at_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(BusError):
        await NatsBus.open(BusSettings(url="nats://127.0.0.1:1", **{name: tmp_path / "none"}))  # type: ignore[arg-type]


async def test_rights_that_end_while_connected_are_tried_again(tmp_path: Path) -> None:
    server = with_password(tmp_path)
    server.start()
    settings = server.settings(user="perhop", password="s3cret")
    bus = await NatsBus.open(settings, wait_s=5)
    try:
        server.kill()
        server.config = server.config.replace("s3cret", "other")
        with capture_logs() as logs:
            server.start()
            await until(lambda: any("uthorization" in str(entry) for entry in logs))
        server.kill()
        server.config = server.config.replace("other", "s3cret")
        server.start()
        await until(lambda: bus.connected)
        await bus.flush()
    finally:
        await bus.close()
        server.stop()
