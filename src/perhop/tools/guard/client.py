"""The guarded client: whole requests with their redirects, and clients to hand to libraries."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from perhop.tools.guard.addresses import Reach
from perhop.tools.guard.errors import (
    OutgoingError,
    OutgoingTimeoutError,
    RedirectError,
    RefusedUrlError,
    UnreachableError,
)
from perhop.tools.guard.transport import GuardedTransport, OutgoingLimits, Resolve, check_url, resolve

__all__ = ["Guard", "OutgoingLimits"]

_SAFE_TO_GET = ("GET", "HEAD")
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
"""Errors before the first byte of a request left."""

_KEPT_ACROSS_HOSTS = ("accept", "accept-encoding", "accept-language", "user-agent")
"""Headers that say nothing about who asks; all others stay with the host they were meant for."""


@cache
def _system_certificates() -> ssl.SSLContext:
    """What https trusts by default; nobody changes it, and loading takes tens of milliseconds."""
    return ssl.create_default_context()


@dataclass(slots=True)
class _Way:
    """How far a request got.

    Attributes:
        answered: somebody received it and answered, if only with a redirect; whatever fails later, it was sent.
    """

    answered: bool = False


class Guard:
    """Sends HTTP requests to addresses that are not ours to trust.

    One per process; :meth:`aclose` at its end. Clients made by :meth:`client` are closed by whoever asked for them.

    Args:
        reach: what may be connected to beyond public addresses.
        resolve: looks names up; tests inject their own.
        ssl_context: for https; the system's certificates unless given, which are loaded once a process.
    """

    def __init__(
        self,
        reach: Reach | None = None,
        *,
        limits: OutgoingLimits | None = None,
        resolve: Resolve = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._reach = reach or Reach()
        self._limits = limits or OutgoingLimits()
        self._resolve = resolve
        self._ssl_context = ssl_context or _system_certificates()
        self._shared: httpx2.AsyncClient | None = None

    def client(
        self, *, headers: Mapping[str, str] | None = None, limits: OutgoingLimits | None = None
    ) -> httpx2.AsyncClient:
        """A client for a library that brings its own requests. It follows no redirects by itself and keeps no cookies.

        Args:
            headers: sent with every request; give credentials only to a client that asks a single host.
            limits: instead of the guard's own.
        """
        limits = limits or self._limits
        return httpx2.AsyncClient(
            transport=GuardedTransport(
                self._reach, limits=limits, resolve=self._resolve, ssl_context=self._ssl_context
            ),
            headers={"user-agent": "Perhop", "accept-encoding": "identity", **(headers or {})},
            timeout=httpx2.Timeout(limits.read_s, connect=limits.connect_s),
            # What one caller's request brought back must not go out with another's.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
            trust_env=False,
            follow_redirects=False,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limits: OutgoingLimits | None = None,
    ) -> httpx2.Response:
        """Sends one request, follows its redirects, and reads the whole answer, whatever its status.

        Every redirect is checked like the first address. Across hosts only a GET or HEAD is followed, without the
        headers it was given; from https to http none is. The answer's ``history`` has the redirects that led to it.

        Args:
            limits: narrower bounds than the guard's own; the number of connections stays the guard's.

        Raises:
            OutgoingError: what it is says why there is no answer.
        """
        bounds = limits or self._limits
        http = self._client_for(limits)
        way = _Way()
        try:
            async with asyncio.timeout(bounds.total_s):
                return await self._follow(
                    http, _request(http, method, url, headers, content), bounds.max_redirects, way
                )
        except OutgoingError as error:
            error.sent = error.sent or way.answered
            raise
        except TimeoutError:
            raise OutgoingTimeoutError(f"{_host(url)} did not answer completely in time.") from None
        except httpx2.TimeoutException as error:
            sent = way.answered or not isinstance(error, _UNSENT)
            raise OutgoingTimeoutError(f"{_host(url)} did not answer in time.", sent=sent) from None
        except httpx2.TransportError as error:
            message = f"{_host(url)} could not be reached: {type(error).__name__}."
            raise UnreachableError(message, sent=way.answered or not isinstance(error, _UNSENT)) from None
        finally:
            if http is not self._shared:
                await http.aclose()

    async def aclose(self) -> None:
        """Closes the connections of :meth:`request`."""
        if self._shared is not None:
            await self._shared.aclose()
            self._shared = None

    # -- inside -------------------------------------------------------------------------------------------------------

    def _client_for(self, limits: OutgoingLimits | None) -> httpx2.AsyncClient:
        if limits is not None and limits != self._limits:
            return self.client(limits=replace(limits, total_s=None))
        if self._shared is None:
            self._shared = self.client(limits=replace(self._limits, total_s=None))
        return self._shared

    @staticmethod
    async def _follow(http: httpx2.AsyncClient, request: httpx2.Request, redirects: int, way: _Way) -> httpx2.Response:
        history: list[httpx2.Response] = []
        while True:
            response = await http.send(request, stream=True)
            way.answered = True
            try:
                following = response.next_request
                if following is None:
                    await response.aread()
                    response.history = history
                    return response
            finally:
                await response.aclose()
            if redirects == 0:
                raise RedirectError(f"{request.url.host} redirects too often.")
            redirects -= 1
            history.append(response)
            request = _redirected(http, request, following)


def _request(
    http: httpx2.AsyncClient, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None
) -> httpx2.Request:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise RefusedUrlError("The address is not a valid URL.") from None
    check_url(parsed)
    return http.build_request(method, parsed, headers=headers, content=content)


def _redirected(http: httpx2.AsyncClient, sent: httpx2.Request, following: httpx2.Request) -> httpx2.Request:
    """The request that follows a redirect, with nothing in it that was meant for another host."""
    old, new = sent.url, following.url
    if (old.scheme, new.scheme) == ("https", "http"):
        raise RedirectError(f"{old.host} redirects from https to http, which is not followed.")
    if (old.scheme, old.host, old.port) == (new.scheme, new.host, new.port):
        return following
    if following.method not in _SAFE_TO_GET:
        raise RedirectError(f"{old.host} redirects a {sent.method} to another host, which is not followed.")
    kept = {name: value for name, value in following.headers.items() if name in _KEPT_ACROSS_HOSTS}
    return http.build_request(following.method, new, headers=kept)


def _host(url: str) -> str:
    try:
        return httpx2.URL(url).host or "The address"
    except httpx2.InvalidURL:
        return "The address"
