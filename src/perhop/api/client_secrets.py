"""Ephemeral client secrets (``ek_…``): minted by a key, carried by a page, good for one call or for a while."""

from __future__ import annotations

import hashlib
import heapq
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from perhop.api.errors import ApiError

__all__ = ["ClientSecret", "ClientSecretStore", "Spending"]

PREFIX = "ek_"


@dataclass(slots=True, eq=False)
class ClientSecret:
    """What a secret stands for; its value is never kept, only its hash.

    Attributes:
        expires_at: unix time, s.
        agent: the agent that calls opened with it talk to; None for a plain session.
        session: partial session object that such a call starts with.
        key: name of the API key that minted it.
    """

    digest: bytes = field(repr=False)
    expires_at: int
    tenant: str
    agent: str | None
    session: Mapping[str, Any] = field(repr=False)
    key: str | None = None
    taken: bool = False


class Spending:
    """A secret held for one attempt; :meth:`commit` spends it, leaving the block without that gives it back."""

    __slots__ = ("_done", "call_id")

    def __init__(self) -> None:
        self.call_id: str | None = None
        self._done = False

    def commit(self, call_id: str) -> None:
        """The call is being answered."""
        self.call_id = call_id
        self._done = True

    @property
    def committed(self) -> bool:
        """Whether the secret is spent."""
        return self._done


class ClientSecretStore:
    """All live secrets of a process, in memory and bounded.

    Args:
        single_use: a secret is spent by the first call it opens; otherwise it opens calls until it expires.
        max_live: secrets held at once; one more is refused.
        clock: unix time, s.
    """

    def __init__(
        self, *, single_use: bool = True, max_live: int = 10_000, clock: Callable[[], float] = time.time
    ) -> None:
        self._single_use = single_use
        self._max_live = max_live
        self._clock = clock
        self._secrets: dict[bytes, ClientSecret] = {}
        self._expiries: list[tuple[int, bytes]] = []
        self._opened: dict[str, bytes] = {}

    def mint(
        self,
        *,
        ttl_s: int,
        tenant: str,
        agent: str | None,
        session: Mapping[str, Any],
        key: str | None = None,
    ) -> tuple[str, ClientSecret]:
        """A new secret: its value, which is not kept, and what it stands for.

        Raises:
            ApiError: 429, too many secrets are live.
        """
        value = PREFIX + secrets.token_urlsafe(32)
        expires_at = int(self._clock()) + ttl_s
        return value, self._keep(ClientSecret(_digest(value), expires_at, tenant, agent, session, key))

    def adopt(
        self,
        value: str,
        *,
        ttl_s: int,
        tenant: str,
        agent: str | None,
        session: Mapping[str, Any],
        key: str | None = None,
    ) -> ClientSecret:
        """Lets a secret that a model made open calls here too, for as long as it was asked to live.

        Raises:
            ApiError: 429, too many secrets are live.
        """
        expires_at = int(self._clock()) + ttl_s
        return self._keep(ClientSecret(_digest(value), expires_at, tenant, agent, session, key))

    def _keep(self, secret: ClientSecret) -> ClientSecret:
        self._purge()
        if len(self._secrets) >= self._max_live:
            raise ApiError(
                429,
                "too_many_client_secrets",
                f"{self._max_live} client secrets are live, which is the limit; they expire by themselves.",
                type_="rate_limit_exceeded",
                headers={"Retry-After": "60"},
            )
        self._secrets[secret.digest] = secret
        heapq.heappush(self._expiries, (secret.expires_at, secret.digest))
        return secret

    def find(self, value: str) -> ClientSecret:
        """The secret of this value, if it can still open a call.

        Raises:
            ApiError: 401, it is unknown, expired or spent.
        """
        secret = self._secrets.get(_digest(value))
        if secret is None or secret.expires_at <= self._clock():
            raise ApiError(
                401, "client_secret_invalid", "This client secret is unknown or has expired; fetch a new one."
            )
        if secret.taken:
            raise ApiError(
                401,
                "client_secret_spent",
                "This client secret was used already and opens one call only; fetch a new one for every call.",
            )
        return secret

    @contextmanager
    def spend(self, secret: ClientSecret | None) -> Iterator[Spending]:
        """Holds a secret while a call is set up, so that of two attempts at once only one can win.

        Only ``commit`` inside the block spends it: a failed attempt leaves it good. None stands for a call that was
        opened with a key.

        Raises:
            ApiError: 401, another attempt holds it or spent it.
        """
        if secret is not None and secret.taken:
            raise ApiError(
                401, "client_secret_spent", "This client secret is being used for another call; fetch a new one."
            )
        spending = Spending()
        if secret is not None and self._single_use:
            secret.taken = True
        try:
            yield spending
        finally:
            if secret is not None:
                secret.taken = spending.committed and self._single_use
                if spending.call_id is not None:
                    self._opened[spending.call_id] = secret.digest

    def opened(self, value: str, call_id: str) -> bool:
        """Whether this secret opened this call, which is still live; true after the secret is spent or expired."""
        return self._opened.get(call_id) == _digest(value)

    def call_ended(self, call_id: str) -> None:
        """The call is over: its secret has no further say in it."""
        self._opened.pop(call_id, None)

    def _purge(self) -> None:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            _, digest = heapq.heappop(self._expiries)
            del self._secrets[digest]


def _digest(value: str) -> bytes:
    # Looking a secret up by its hash makes the time it takes tell nothing about the value.
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
