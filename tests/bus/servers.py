"""Real NATS servers for tests: Debian's ``nats-server`` on a free loopback port, JetStream in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import nkeys
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nacl.signing import SigningKey

from perhop.config.bus import BusSettings

BINARY = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")

needs_nats = pytest.mark.skipif(BINARY is None, reason="nats-server is not installed (apt-get install nats-server)")


@dataclass
class NatsServer:
    """One server process that can be killed and come back on the same port with the same storage.

    Attributes:
        folder: configuration, storage and log.
        config: lines of its configuration beyond port and storage.
        jetstream: whether it keeps messages.
        secure: whether it wants TLS.
    """

    folder: Path
    config: str = ""
    jetstream: bool = True
    secure: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"{'tls' if self.secure else 'nats'}://127.0.0.1:{self.port}"

    def settings(self, **changes: Any) -> BusSettings:
        """Settings to reach it, with short times."""
        return BusSettings(
            **{"url": self.url, "reconnect_wait_s": 0.05, "request_timeout_s": 3.0, "keep_bytes": 64 << 20, **changes}
        )

    def start(self) -> None:
        assert BINARY is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port()
        lines = [f"listen: 127.0.0.1:{self.port}", self.config]
        if self.jetstream:
            lines.append(f'jetstream {{ store_dir: "{self.folder / "jetstream"}", max_mem: 16MB, max_file: 256MB }}')
        path = self.folder / "nats.conf"
        path.write_text("\n".join(lines))
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([BINARY, "-c", str(path)], stdout=log, stderr=log)
        self._wait()

    def kill(self) -> None:
        """As a crash: SIGKILL, nothing is told to anybody."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Orderly."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """The process is there, its sockets are open, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # Its threads may still answer until the last of them has stopped.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """Throws away what it kept; only while it does not run."""
        shutil.rmtree(self.folder / "jetstream", ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait(timeout=10)
        self.process = None

    def _wait(self) -> None:
        """Until it greets on its port, which it does before TLS."""
        assert self.process is not None
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.settimeout(1)
                    if connection.recv(4) == b"INFO":
                        return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"nats-server did not start: {(self.folder / 'nats.log').read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_password(folder: Path, *, user: str = "perhop", password: str = "s3cret") -> NatsServer:
    """A server that wants user and password."""
    return NatsServer(folder, config=f'authorization {{ user: "{user}", password: "{password}" }}')


def with_nkey(folder: Path) -> tuple[NatsServer, Path]:
    """A server that knows one NKey, and the file with its seed."""
    seed = nkeys.encode_seed(bytes(SigningKey.generate()), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "user.nk"
    file.write_bytes(bytes(seed) + b"\n")
    return NatsServer(folder, config=f'authorization {{ users: [ {{ nkey: "{public}" }} ] }}'), file


def with_creds(folder: Path) -> tuple[NatsServer, Path]:
    """A server with an operator, an account and one user, and that user's ``.creds`` file."""
    operator, account, user = (_key_pair(kind) for kind in (_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, _USER))
    operator_jwt = _jwt(operator, operator, "perhop-operator", {"type": "operator", "version": 2})
    limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1}
    account_jwt = _jwt(operator, account, "perhop", {"type": "account", "version": 2, "limits": {**limits, "leaf": -1}})
    user_limits = {"subs": -1, "data": -1, "payload": -1}
    user_jwt = _jwt(account, user, "perhop", {"type": "user", "version": 2, **user_limits})
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "user.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    config = f"operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {_name(account)}: {account_jwt} }}"
    return NatsServer(folder, config=config, jetstream=False), file


_OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
_USER = nkeys.PREFIX_BYTE_USER


def _key_pair(kind: int) -> nkeys.KeyPair:
    seed = nkeys.encode_seed(bytes(SigningKey.generate()), kind)
    return nkeys.from_seed(bytearray(seed))


def _name(pair: nkeys.KeyPair) -> str:
    name: str = pair.public_key.decode()
    return name


def _jwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, name: str, claims: dict[str, Any]) -> str:
    def encoded(data: bytes) -> str:
        import base64

        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    body = {
        "jti": name,
        "iat": int(time.time()),
        "iss": _name(issuer),
        "name": name,
        "sub": _name(subject),
        "nats": claims,
    }
    signed = (
        f"{encoded(json.dumps({'typ': 'JWT', 'alg': 'ed25519-nkey'}).encode())}.{encoded(json.dumps(body).encode())}"
    )
    return f"{signed}.{encoded(issuer.sign(signed.encode()))}"


def with_tls(folder: Path, *, mutual: bool = False) -> tuple[NatsServer, Path, Path, Path]:
    """A server with a certificate for 127.0.0.1; the authority's certificate, and a client's certificate and key."""
    folder.mkdir(parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Perhop test authority", authority_key, None, authority_key)
    for who in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder / who, _certificate(who, key, authority, authority_key), key)
    ca = folder / "ca.pem"
    ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    verify = f'ca_file: "{ca}", verify: true' if mutual else ""
    config = f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", {verify} }}'
    return NatsServer(folder, config=config, secure=True), ca, folder / "client.pem", folder / "client.key"


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _write(base: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    base.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    base.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
