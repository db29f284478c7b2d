"""Who asks: API keys, ephemeral client secrets, or anybody on this machine when no keys are configured."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from starlette.requests import HTTPConnection

from perhop.api.client_secrets import PREFIX, ClientSecret, ClientSecretStore
from perhop.api.errors import ApiError
from perhop.config import KeySettings, Scope

__all__ = ["Authenticator", "Principal", "bearer_of", "call_not_found", "hash_key", "new_key"]

_SUBPROTOCOL = "openai-insecure-api-key."
_EVERYTHING: frozenset[Scope] = frozenset({"calls", "tokens", "stats", "admin", "operator"})

HOUSE = "default"
"""The tenant of whoever runs the installation; keys that name none are theirs."""


def new_key() -> str:
    """A fresh API key of 256 random bits."""
    return f"sk-perhop-{secrets.token_urlsafe(32)}"


def hash_key(key: str) -> str:
    """What is stored of a key. A plain hash is enough: 256 random bits cannot be guessed offline."""
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from and what it may do.

    Attributes:
        name: of the key; ``local`` without keys, ``client secret`` for a page.
        agent: the agent of calls that name none.
        secret: set when a client secret was presented.
        key: name of the API key, or of the one that minted the client secret; None without keys.
    """

    name: str
    tenant: str
    scopes: frozenset[Scope]
    agent: str | None = None
    secret: ClientSecret | None = None
    key: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this scope is covered: ``admin`` covers all of a tenant, ``operator`` all."""
        return scope in self.scopes or "operator" in self.scopes or ("admin" in self.scopes and scope != "operator")

    def require(self, scope: Scope) -> None:
        """Raises ApiError (403) unless the scope is covered."""
        if not self.may(scope):
            raise ApiError(
                403,
                "insufficient_scope",
                f"This needs the scope {scope!r}, which the key {self.name!r} does not have.",
            )

    def require_house(self, scope: Scope) -> None:
        """Raises ApiError (403) unless the scope is covered for what all tenants share: the house's own, or any key
        with ``operator``."""
        if "operator" in self.scopes:
            return
        self.require(scope)
        if self.tenant != HOUSE:
            raise ApiError(
                403,
                "insufficient_scope",
                f"This is about all tenants: it needs a key with the scope 'operator', or with {scope!r} and the "
                f"tenant {HOUSE!r}. Your own calls are at /api/calls and /api/calls/history.",
            )

    def sees(self, tenant: str) -> bool:
        """Whether calls of this tenant are this principal's business."""
        return tenant == self.tenant or "operator" in self.scopes


_LOCAL = Principal(name="local", tenant=HOUSE, scopes=_EVERYTHING)


class Authenticator:
    """Turns a bearer into a principal.

    Args:
        keys: the configured keys; with none, every bearer and none at all are accepted. Client secrets are checked
            in either case, so that a page behaves the same everywhere.
    """

    def __init__(self, keys: Sequence[KeySettings], client_secrets: ClientSecretStore) -> None:
        self._keys = [
            (key.hash, Principal(key.name, key.tenant, frozenset(key.scopes), agent=key.agent, key=key.name))
            for key in keys
        ]
        self._secrets = client_secrets

    @property
    def open(self) -> bool:
        """Whether no keys are configured."""
        return not self._keys

    def authenticate(self, bearer: str | None) -> Principal:
        """The principal of a bearer.

        Raises:
            ApiError: 401, it is missing or wrong.
        """
        if bearer is not None and bearer.startswith(PREFIX):
            secret = self._secrets.find(bearer)
            return Principal(
                name="client secret",
                tenant=secret.tenant,
                scopes=frozenset({"calls"}),
                agent=secret.agent,
                secret=secret,
                key=secret.key,
            )
        principal = self.find_key(bearer)
        if principal is None:
            raise _unauthorised(missing=not bearer)
        return principal

    def find_key(self, bearer: str | None) -> Principal | None:
        """The principal of an API key (or of anybody, when no keys are configured); None for anything else."""
        if self.open:
            return _LOCAL
        found = None
        if bearer:
            digest = hash_key(bearer)
            for stored, principal in self._keys:
                # No early exit: the time must not tell which key came close.
                if hmac.compare_digest(stored, digest):
                    found = principal
        return found

    def require(self, connection: HTTPConnection, scope: Scope) -> Principal:
        """The principal of a request that needs an API key of this scope.

        Raises:
            ApiError: 401 without a key, 403 without the scope.
        """
        principal = self._of_key(connection)
        principal.require(scope)
        return principal

    def require_house(self, connection: HTTPConnection, scope: Scope) -> Principal:
        """Like :meth:`require`, for what all tenants share; see :meth:`Principal.require_house`."""
        principal = self._of_key(connection)
        principal.require_house(scope)
        return principal

    def require_call(
        self,
        connection: HTTPConnection,
        *,
        call_id: str,
        tenant: str | None,
        scope: Scope,
        code: str = "call_not_found",
    ) -> bool:
        """Lets through the client secret that opened a call, or a key of its tenant with this scope.

        Args:
            tenant: of the live call; None when there is no such call.
            code: of the 404.

        Returns:
            Whether it was a key.

        Raises:
            ApiError: 401 or 403, or 404 for a call that is not there or not theirs, without telling which.
        """
        bearer = bearer_of(connection)
        if bearer is not None and bearer.startswith(PREFIX):
            if tenant is None or not self._secrets.opened(bearer, call_id):
                raise call_not_found(call_id, code=code)
            return False
        principal = self.require(connection, scope)
        if tenant is None or not principal.sees(tenant):
            raise call_not_found(call_id, code=code)
        return True

    def _of_key(self, connection: HTTPConnection) -> Principal:
        bearer = bearer_of(connection)
        if bearer is not None and bearer.startswith(PREFIX):
            self._secrets.find(bearer)
            raise ApiError(403, "insufficient_scope", "A client secret opens calls only; this needs an API key.")
        principal = self.find_key(bearer)
        if principal is None:
            raise _unauthorised(missing=not bearer)
        return principal


def bearer_of(connection: HTTPConnection) -> str | None:
    """The bearer of a request: the Authorization header, or the subprotocol a browser's WebSocket has to use."""
    header: str | None = connection.headers.get("authorization")
    if header is not None:
        scheme, _, value = header.partition(" ")
        return value.strip() or None if scheme.lower() == "bearer" else None
    if connection.scope["type"] == "websocket":
        for name in connection.scope["subprotocols"]:
            if name.startswith(_SUBPROTOCOL):
                return str(name[len(_SUBPROTOCOL) :]) or None
    return None


def call_not_found(call_id: str, *, code: str = "call_not_found") -> ApiError:
    """404 for a call that is over, never was, or belongs to somebody else."""
    shown = call_id if len(call_id) <= 64 else f"{call_id[:64]}…"
    return ApiError(404, code, f"There is no live call {shown!r}.", param="call_id")


def _unauthorised(*, missing: bool) -> ApiError:
    message = (
        "No API key was given; send it as 'Authorization: Bearer …'." if missing else "The API key is not known here."
    )
    code: Literal["missing_api_key", "invalid_api_key"] = "missing_api_key" if missing else "invalid_api_key"
    return ApiError(401, code, message, headers={"WWW-Authenticate": "Bearer"})
