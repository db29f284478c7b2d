"""Nothing is said to a NATS server in the clear once TLS is set.

A server greets before TLS begins and says itself whether it wants any. The client of nats-py takes its word for it: one
that announces no TLS (or somebody on the way who cuts that out) gets the connection as it is, password included. The
client asks for password and token when it is about to introduce itself, which is where this stops it.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Self

import nats.errors

__all__ = ["TLSContext", "UnencryptedError"]


class UnencryptedError(nats.errors.Error):
    """The server wants no TLS, and the settings do."""

    def __str__(self) -> str:
        return "the server offers no TLS, and the settings of the bus ask for it; nothing was sent"


class TLSContext(ssl.SSLContext):
    """A client's context that can say whether the connection being made is encrypted.

    Args:
        authority: PEM of who signed the server's certificate; the system's authorities when None.

    Raises:
        OSError, ssl.SSLError: the file cannot be used.
    """

    _newest: ssl.SSLObject | None

    def __new__(cls, authority: Path | None = None) -> Self:  # noqa: ARG004
        """The protocol is the client's; it checks certificates and names."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, authority: Path | None = None) -> None:
        super().__init__()
        self._newest = None
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        if authority is not None:
            self.load_verify_locations(authority)
        else:
            self.load_default_certs()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """As in the base class; event loops call it once for each connection."""
        self._newest = super().wrap_bio(*args, **options)
        return self._newest

    def require_encrypted(self) -> None:
        """To be called once for each connection, before anything is said on it.

        Raises:
            UnencryptedError: no handshake was completed since the last call.
        """
        newest, self._newest = self._newest, None
        if newest is None or newest.version() is None:
            raise UnencryptedError
