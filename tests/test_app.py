"""The whole of Perhop, put together and served: what starts, what is refused, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from perhop.app import create_app
from perhop.config import AgentSettings, ConfigError, KeySettings, Settings
from perhop.errors import PerhopError

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"server": {"port": 0}, "webrtc": {"port": 0}, **more})


@asynccontextmanager
async def running(given: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The application without a server in front of it."""
    app = create_app(given)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


async def test_every_part_starts_and_becomes_ready() -> None:
    async with running(settings(echo=True)) as client, asyncio.timeout(60):
        while (ready := await client.get("/readyz")).status_code != 200:
            assert ready.json()["missing"]
            await asyncio.sleep(0.05)
        assert [agent["name"] for agent in (await client.get("/api/agents")).json()] == ["echo"]
        assert "perhop_calls_live" in (await client.get("/metrics")).text


async def test_clients_may_name_mcp_servers_once_hosts_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(mcp={"allowed_hosts": ["tools.example"]})
    async with running(given):
        pass
    monkeypatch.delitem(sys.modules, "perhop.tools.mcp.connector", raising=False)
    monkeypatch.delitem(sys.modules, "perhop.tools.mcp.connection", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"perhop\[mcp\]"):
        async with running(given):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "voice.example"])
def test_without_keys_nobody_else_may_reach_it(host: str) -> None:
    with pytest.raises(ConfigError, match="no API keys are configured"):
        create_app(settings(server={"host": host}))
    keys = [KeySettings(name="a", hash=f"sha256:{'0' * 64}")]
    create_app(settings(server={"host": host}, keys=keys))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_has_several_names(host: str) -> None:
    create_app(settings(server={"host": host}))


def test_a_tool_that_is_not_there_is_an_error_at_start() -> None:
    with pytest.raises(PerhopError, match=r"no_such_module:find"):
        create_app(settings(agents=[AgentSettings(name="a", tools=("no_such_module:find",))]))


def test_an_agent_called_echo_of_ones_own_is_kept() -> None:
    create_app(settings(echo=True, agents=[AgentSettings(name="echo", title="Mine")]))


async def test_a_media_port_that_is_taken_is_said_so() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        app = create_app(settings(webrtc={"host": "127.0.0.1", "port": taken.getsockname()[1]}))
        with pytest.raises(PerhopError, match=str(taken.getsockname()[1])):
            async with app.router.lifespan_context(app):
                pass
        assert isinstance(app.state.startup_error, PerhopError)


class Served:
    """``perhop serve`` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
        command = [sys.executable, "-c", "from perhop.cli import main; main()", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(r"(https?://\S+)/demo", line)
            if found:
                return found[1]
        raise AssertionError(f"ended with {self.process.wait()}")


@asynccontextmanager
async def served(folder: Path, *options: str) -> AsyncIterator[tuple[str, subprocess.Popen[str]]]:
    server = Served(folder, *options)
    try:
        yield await asyncio.to_thread(server.url), server.process
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.mark.integration
async def test_sigterm_ends_live_calls_properly(tmp_path: Path) -> None:
    (tmp_path / "perhop.toml").write_text("[server]\ndrain_s = 0.2\n", encoding="utf-8")
    async with served(tmp_path, "--echo") as (url, process), asyncio.timeout(60):
        async with connect(f"{url.replace('http', 'ws')}/v1/realtime?agent=echo") as caller:
            assert json.loads(await caller.recv())["type"] == "session.created"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    await caller.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "shutdown")
        code = await asyncio.to_thread(process.wait, 20)
    assert code == 0


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "perhop test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@pytest.mark.integration
async def test_it_serves_pages_and_sockets_over_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(cert))
    options = ("--echo", "--tls-cert", str(cert), "--tls-key", str(key))
    async with served(tmp_path, *options) as (url, _), asyncio.timeout(60):
        assert url.startswith("https://")
        async with httpx.AsyncClient(verify=trusted) as client:
            assert (await client.get(f"{url}/demo")).status_code == 200
        async with connect(f"{url.replace('https', 'wss')}/v1/realtime?agent=echo", ssl=trusted) as caller:
            assert json.loads(await caller.recv())["type"] == "session.created"


@pytest.mark.integration
async def test_a_second_server_on_the_same_port_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-c", "from perhop.cli import main; main()", "serve", "--port", port]
        result = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
        )
    assert result.returncode == 2
    assert f"port {port} on 127.0.0.1 cannot be opened" in result.stderr
    assert "Traceback" not in result.stderr
