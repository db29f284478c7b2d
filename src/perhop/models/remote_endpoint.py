"""Where a remote model is reached, and with which secrets."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from perhop.config import ConfigError
from perhop.realtime.session import SessionConfig

__all__ = ["Endpoint", "trust"]

_SOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_REST_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The addresses of one model.

    Attributes:
        base: base URL, any of the schemes of HTTP and WebSocket; ``/realtime…`` is added to it.
        model: the model's own name for itself; None takes the session's.
        model_key: name of the query parameter that carries it.
        query: further query parameters of every request.
        headers: of every request, secrets among them.
        tls: whom to trust; None trusts the public authorities.
    """

    base: str
    model: str | None = None
    model_key: str = "model"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def socket_url(self, session: SessionConfig, *, call_id: str | None = None) -> str:
        """Address of a new session, or of the control of a call that is live at the model."""
        query = dict(self.query)
        if call_id is not None:
            query["call_id"] = call_id
        elif session.type == "transcription":
            query["intent"] = "transcription"
        else:
            query[self.model_key] = self.model or session.model
        return f"{self._with_scheme(_SOCKET_SCHEMES)}/realtime?{urlencode(query, quote_via=quote)}"

    def rest_url(self, path: str) -> str:
        """Address of a REST resource below ``/realtime``."""
        query = f"?{urlencode(self.query, quote_via=quote)}" if self.query else ""
        return f"{self._with_scheme(_REST_SCHEMES)}/realtime/{path}{query}"

    def _with_scheme(self, schemes: Mapping[str, str]) -> str:
        scheme, rest = self.base.split("://", 1)
        return f"{schemes[scheme]}://{rest}"


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Whom a connection trusts: the public authorities, or those in a PEM file. Takes 10 ms: once a model, not a call.

    Raises:
        ConfigError: the file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{ca_file}: not a PEM file with certificates ({type(error).__name__})") from None
