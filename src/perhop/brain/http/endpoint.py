"""One OpenAI-compatible server: its address and key, how often to try, and what its failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import structlog
from pydantic import SecretStr

from perhop.brain.providers import BrainError

__all__ = ["HttpEndpoint", "open_client"]

_log = structlog.get_logger(__name__)

_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.2
_PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses after which the same request may well succeed."""
_CONNECT_TIMEOUT_S = 5.0


def open_client(*, timeout_s: float) -> httpx.AsyncClient:
    """The one client that all endpoints share; close it with ``aclose``.

    Args:
        timeout_s: for any single wait of a request: to send, and for the next piece of an answer.
    """
    connect = min(_CONNECT_TIMEOUT_S, timeout_s)
    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeout_s, connect=connect, pool=connect),
        limits=httpx.Limits(max_connections=256, max_keepalive_connections=32),
    )


class HttpEndpoint:
    """Where one engine is served.

    Every failure is a BrainError that names the host and never the key, the request or the answer:
    ``engine_overloaded`` (too many requests here), ``upstream_unreachable``, ``upstream_timeout``,
    ``upstream_unauthorized`` (401, 403), ``upstream_error`` (other statuses), ``upstream_invalid`` (not the protocol).

    Args:
        url: base address, to which paths such as ``/chat/completions`` are added.
        key: sent as bearer token.
        max_requests: at once; a further one is refused.
    """

    def __init__(
        self, client: httpx.AsyncClient, url: str, *, key: SecretStr | None = None, max_requests: int = 32
    ) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._key = key
        self._max_requests = max_requests
        self._requests = 0
        self._host = httpx.URL(url).host

    @asynccontextmanager
    async def post(
        self,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> AsyncGenerator[httpx.Response, None]:
        """The answer to a POST, its body still to be read; leaving the context ends the request.

        A request that failed before its answer began is tried up to three times; after that, never.

        Raises:
            BrainError: see the class; also for what goes wrong while the body is read inside the context.
        """
        if self._requests >= self._max_requests:
            raise BrainError("engine_overloaded", f"too many requests to {self._host} at once; try again")
        self._requests += 1
        try:
            response = await self._send(path, json=json, data=data, files=files)
            try:
                yield response
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise BrainError("upstream_timeout", f"{self._host} did not answer in time") from error
        except httpx.TransportError as error:
            raise BrainError("upstream_unreachable", f"the connection to {self._host} failed") from error
        finally:
            self._requests -= 1

    def invalid(self, what: str) -> BrainError:
        """The error for an answer that is not what the protocol says."""
        return BrainError("upstream_invalid", f"{self._host} answered {what}")

    def refused(self, status: int) -> BrainError:
        """The error for an answer with a status other than 200."""
        if status in (401, 403):
            return BrainError("upstream_unauthorized", f"{self._host} refused the key (HTTP {status})")
        return BrainError("upstream_error", f"{self._host} answered with HTTP {status}")

    async def _send(self, path: str, **content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"} if self._key is not None else {}
        pause = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            request = self._client.build_request("POST", self._url + path, headers=headers, **content)
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
                if last:
                    raise
            else:
                if response.status_code == httpx.codes.OK:
                    return response
                await response.aclose()
                if last or response.status_code not in _PASSING:
                    raise self.refused(response.status_code)
            _log.info("request is tried again", host=self._host, path=path, attempt=attempt)
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")
