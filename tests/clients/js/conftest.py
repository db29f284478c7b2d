"""Servers for the JavaScript clients, and pages for those that run in browsers.

The pages are of another origin than the server, as an application's are.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.async_api import Page
from tests.brain.speech import say, silence
from tests.browser.chromium import CHROMIUM, launch, open_page
from tests.browser.server import Server, running_server
from tests.browser.speech import microphone_file
from tests.clients.js.run import MISSING, bundle
from tests.frames import Inspector

PAGE = "<!doctype html><title>application</title><link rel=icon href=data:,><script src=clients.js></script>"

LEANING = """
[brain]
stt_url = "http://127.0.0.1:9/v1"

[mcp]
allowed_hosts = ["*"]

[outgoing]
networks = ["127.0.0.0/8"]
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the packages; where they are missing, the tests say so instead of failing."""
    for item in items:
        if "tests/clients/js/" in item.path.as_posix():
            item.add_marker(pytest.mark.integration)
            if MISSING is not None:
                item.add_marker(pytest.mark.skip(reason=MISSING))
            elif "browser" in item.keywords and not CHROMIUM.exists():
                item.add_marker(pytest.mark.skip(reason=f"{CHROMIUM} is missing: apt-get install chromium"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, inspector: Inspector) -> Iterator[Server]:
    """A Perhop with the example agents."""
    with running_server(tmp_path_factory.mktemp("perhop")) as running:
        inspector.follow(running.offences)
        yield running


@pytest.fixture(scope="session")
def leaning_server(tmp_path_factory: pytest.TempPathFactory, inspector: Inspector) -> Iterator[Server]:
    """A Perhop that leans on others: on a recogniser that is down, and on MCP servers of this machine."""
    data = tmp_path_factory.mktemp("leaning")
    settings = data / "perhop.toml"
    settings.write_text(LEANING)
    with running_server(data, "--config", str(settings)) as running:
        inspector.follow(running.offences)
        yield running


@dataclass(frozen=True)
class SecureServer:
    """A server that speaks TLS only, and the certificate its clients have to trust."""

    url: str
    certificate: Path


@pytest.fixture(scope="session")
def secure_server(tmp_path_factory: pytest.TempPathFactory, inspector: Inspector) -> Iterator[SecureServer]:
    """A Perhop behind a certificate of its own making."""
    data = tmp_path_factory.mktemp("secure")
    certificate, key = _self_signed(data)
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with running_server(data, *options, trust=certificate) as running:
        inspector.follow(running.offences)
        yield SecureServer(running.url, certificate)


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture(scope="session")
def question() -> str:
    """A spoken question as a client appends it: base64 of PCM, with the silence that ends a turn."""
    return base64.b64encode(say("What is the weather in Berkeley") + silence(1500)).decode()


class _Files(SimpleHTTPRequestHandler):
    """Files of a folder, without a word on stderr."""

    def log_message(self, *_: object) -> None:
        pass


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def application(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of an application's page, with both packages in it, from a server of its own."""
    folder = tmp_path_factory.mktemp("application")
    await bundle(folder)
    (folder / "index.html").write_text(PAGE)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))) as files:
        thread = Thread(target=files.serve_forever)
        thread.start()
        try:
            # Localhost is a secure context, so that the page may ask for a microphone.
            yield f"http://localhost:{files.server_port}/index.html"
        finally:
            files.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def word() -> str:
    """One spoken word, likewise: whoever has no grammar takes long over more."""
    return base64.b64encode(say("Hello") + silence(1500)).decode()


@asynccontextmanager
async def _open_application(address: str, microphone: Path) -> AsyncIterator[Page]:
    async with launch(microphone) as browser, open_page(browser) as (page, errors):
        await page.goto(address)
        yield page
        assert errors == []


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def quiet_page(application: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """An application nobody speaks to."""
    microphone = tmp_path_factory.mktemp("quiet") / "microphone.wav"
    microphone_file(microphone, [], seconds=1)
    async with _open_application(application, microphone) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def speaking_page(application: str, tmp_path: Path) -> AsyncIterator[Page]:
    """An application whose user asks, and asks again while the answer is spoken."""
    microphone = tmp_path / "microphone.wav"
    script = [(3.0, "What is the weather in Oakland"), (8.5, "What is the weather in Berkeley")]
    microphone_file(microphone, script, seconds=30)
    async with _open_application(application, microphone) as page:
        yield page
