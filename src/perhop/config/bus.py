"""``[bus]``: what carries tool calls and call events between processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from perhop.config.table import Table

__all__ = ["BusSettings"]

_SCHEMES = ("nats", "tls")


class BusSettings(Table):
    """``[bus]``: NATS when ``url`` is set, otherwise everything stays inside the process.

    Attributes:
        url: ``nats://host:4222``, or ``tls://…``; several servers of a cluster are separated by commas. Credentials do
            not belong into it, they have settings of their own. With any of the ``tls_`` settings, ``nats://`` is
            encrypted too.
        user: with ``password``.
        nkey: file with the seed of an NKey.
        creds: file with a user's JWT and seed, as ``nsc generate creds`` writes it.
        tls_ca: PEM of the authority that signed the server's certificate; the system's own when unset.
        tls_cert: PEM of the client certificate, with ``tls_key``.
        tls_hostname: the name in the server's certificate where it is not that of the URL.
        connect_timeout_s: one attempt to connect; attempts are repeated for ever.
        reconnect_wait_s: between two attempts.
        request_timeout_s: for the answer to a request that names no timeout of its own.
        ping_s: how often a silent connection is tested; after two unanswered tests it counts as lost.
        max_payload_bytes: one message; NATS servers allow 1 MiB unless told otherwise.
        max_requests: unanswered requests of one process; beyond it they are refused.
        queue: messages that wait for a slow subscriber; beyond it they are dropped.
        jetstream: keep call events until consumers took them. Without it events reach only who listens at the moment.
        keep_s: how long call events are kept at most, as are ``keep_bytes`` and ``keep_messages``; the oldest go first.
        replicas: copies of the kept events in a NATS cluster.
        outbox: call events that wait in the store while the bus is down; beyond it the oldest are dropped.
    """

    url: str | None = None
    user: str | None = None
    password: SecretStr | None = None
    nkey: Path | None = None
    creds: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_hostname: str | None = None
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    reconnect_wait_s: Annotated[float, Field(ge=0.01, le=60)] = 0.2
    request_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    ping_s: Annotated[float, Field(ge=0.1, le=300)] = 5.0
    max_payload_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 1 << 20
    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    jetstream: bool = True
    keep_s: Annotated[float, Field(ge=60)] = 7 * 86_400.0
    keep_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    keep_messages: Annotated[int, Field(ge=1)] = 5_000_000
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    outbox: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000

    @property
    def servers(self) -> tuple[str, ...]:
        """The URLs, one by one."""
        return tuple(url.strip() for url in self.url.split(",")) if self.url else ()

    @property
    def tls(self) -> bool:
        """Whether the connection has to be encrypted."""
        # Whoever names a certificate or the server's name in it does not want to send a password in the clear.
        asked = (self.tls_ca, self.tls_cert, self.tls_hostname)
        return any(given is not None for given in asked) or any(urlsplit(url).scheme == "tls" for url in self.servers)

    @field_validator("url")
    @classmethod
    def _names_servers(cls, url: str | None) -> str | None:
        for one in url.split(",") if url else ():
            parts = urlsplit(one.strip())
            if parts.scheme not in _SCHEMES or not parts.hostname:
                raise ValueError("must begin with nats:// or tls:// and name a host")
            if parts.username is not None or parts.password is not None:
                raise ValueError("must not hold credentials: use bus.user and bus.password, bus.nkey or bus.creds")
        return url

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password must be given together")
        if sum(given is not None for given in (self.user, self.nkey, self.creds)) > 1:
            raise ValueError("give one of user, nkey and creds")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key must be given together")
        return self
