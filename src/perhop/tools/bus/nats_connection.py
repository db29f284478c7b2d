"""How to reach a NATS server: from settings to the options of its client."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription

from perhop.config.bus import BusSettings
from perhop.tools.bus.errors import BusError
from perhop.tools.bus.nats_encryption import TLSContext

__all__ = ["NatsClient", "connect_options"]

PENDING_BYTES = 2 << 20
"""Written but not yet sent; beyond it publishing waits for the socket."""


class NatsClient(Client):
    """The client of nats-py, which also tells what was subscribed by a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self._record: list[Subscription] | None = None

    @contextmanager
    def recording(self) -> Iterator[list[Subscription]]:
        """Collects the subscriptions made in the block; one block at a time."""
        self._record = []
        try:
            yield self._record
        finally:
            self._record = None

    async def subscribe(self, *args: Any, **options: Any) -> Subscription:
        """As in the base class."""
        subscription = await super().subscribe(*args, **options)
        if self._record is not None:
            self._record.append(subscription)
        return subscription


def connect_options(settings: BusSettings, *, name: str) -> dict[str, Any]:
    """Arguments of :meth:`nats.aio.client.Client.connect`; callbacks are added by the caller.

    Args:
        name: of this process, as the server shows it.

    Raises:
        BusError: a file with credentials or certificates cannot be used.
    """
    options: dict[str, Any] = {
        "servers": list(settings.servers),
        "name": name,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": settings.reconnect_wait_s,
        "connect_timeout": settings.connect_timeout_s,
        "ping_interval": settings.ping_s,
        "max_outstanding_pings": 2,
        "pending_size": PENDING_BYTES,
        "drain_timeout": 5,
    }
    tls = _tls(settings) if settings.tls else None
    if settings.user is not None and settings.password is not None:
        options["user"] = settings.user
        options["password"] = _once_encrypted(tls, settings.password.get_secret_value())
    elif tls is not None:
        options["token"] = _once_encrypted(tls, "")  # which no server looks at: it is asked for at the right moment
    for what, file in (("nkeys_seed", settings.nkey), ("user_credentials", settings.creds)):
        if file is not None:
            if not file.is_file():
                raise BusError(f"bus: there is no file {file}")
            options[what] = str(file)
    if tls is not None:
        options["tls"] = tls
        if settings.tls_hostname is not None:
            options["tls_hostname"] = settings.tls_hostname
    return options


def _tls(settings: BusSettings) -> TLSContext:
    try:
        context = TLSContext(settings.tls_ca)
        if settings.tls_cert is not None:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise BusError(f"bus: tls_ca, tls_cert or tls_key cannot be used: {type(error).__name__}") from None
    return context


def _once_encrypted(tls: TLSContext | None, secret: str) -> Callable[[], str]:
    """What the client calls when it introduces itself on a connection; raises when that is to be encrypted and is not.

    The client takes it for a connection that failed, and tries again.
    """

    def give() -> str:
        if tls is not None:
            tls.require_encrypted()
        return secret

    return give
