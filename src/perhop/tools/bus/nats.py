"""The bus over NATS: requests in queue groups through nats.micro, kept messages in JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.micro.service import ServiceInfo as MicroInfo

from perhop.config.bus import BusSettings
from perhop.tools.bus.base import Consumer, Handle, Handler, Headers, Service, ServiceInfo
from perhop.tools.bus.errors import (
    BusBusyError,
    BusDownError,
    BusError,
    BusPayloadError,
    BusTimeoutError,
    NoWorkerError,
    RemoteError,
)
from perhop.tools.bus.messages import ERROR_CODE_HEADER, ERROR_HEADER, EXPIRES_HEADER, ID_HEADER
from perhop.tools.bus.nats_connection import NatsClient, connect_options
from perhop.tools.bus.nats_running import NatsConsumer, NatsService, NatsSubscription, Running
from perhop.tools.bus.nats_stream import ensure_stream, forget_kept
from perhop.tools.bus.seldom import Seldom

__all__ = ["NatsBus"]

_log = structlog.get_logger(__name__)

_DOWN = "the bus is down"

_CLOSE_S = 3.0
"""A connection that does not close in this time is left to itself."""
_NO_RESPONDERS = "503"
_STATUS = "Status"
_MAX_PROBE = 256
"""Answers of services to one question who is there."""


class NatsBus:
    """One connection to NATS, kept up for ever.

    While it is down, requests and messages fail at once instead of waiting in a buffer nobody sees; requests that wait
    for their answer at that moment fail too. What is served, subscribed and consumed goes on when the connection is
    back, and may be set up before there has ever been one. The broken connection is logged once, then every half
    minute.

    Use :meth:`open`.
    """

    def __init__(self, settings: BusSettings, *, name: str = "perhop", wall: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._wall = wall
        self._name = name
        self._options = connect_options(settings, name=name)
        self._client: NatsClient | None = None
        self._up = asyncio.Event()
        self._closing = False
        self._keeper: asyncio.Task[None] | None = None
        self._inbox = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._running: list[Running] = []
        self._setting_up = asyncio.Lock()
        self._making_stream = asyncio.Lock()
        self._stream = False
        self._seldom = Seldom()

    @classmethod
    async def open(cls, settings: BusSettings, *, name: str = "perhop", wait_s: float = 2.0) -> NatsBus:
        """Starts connecting; a bus that is down now is no error, it is used once it is there.

        Args:
            settings: with ``url``.
            name: of this process, as the server shows it.
            wait_s: how long to wait for the connection before returning without it.

        Raises:
            BusError: the settings cannot be used.
        """
        if not settings.servers:
            raise BusError("bus.url is not set")
        bus = cls(settings, name=name)
        bus._keeper = asyncio.get_running_loop().create_task(bus._keep_connected(), name="bus")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await bus._up.wait()
        return bus

    @property
    def connected(self) -> bool:
        return self._up.is_set() and self._client is not None and self._client.is_connected

    async def wait_connected(self) -> None:
        """Returns once messages can be sent."""
        while not self.connected:
            self._up.clear()
            await self._up.wait()

    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout_s: float | None = None
    ) -> bytes:
        timeout_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        headers = {**(headers or {}), EXPIRES_HEADER: f"{self._wall() + timeout_s:.3f}"}
        answer = await self._ask(subject, payload, headers, timeout_s)
        if answer.headers and ERROR_CODE_HEADER in answer.headers:
            raise RemoteError(answer.headers[ERROR_CODE_HEADER], answer.headers.get(ERROR_HEADER, "")[:500])
        return answer.data

    async def publish(self, subject: str, payload: bytes, *, headers: Headers | None = None) -> None:
        await self._send(self._usable(payload), subject, payload, headers, reply="")

    async def keep(self, subject: str, payload: bytes, *, message_id: str, headers: Headers | None = None) -> None:
        headers = {**(headers or {}), ID_HEADER: message_id}
        if not self._settings.jetstream:
            await self.publish(subject, payload, headers=headers)
            await self.flush()
            return
        await self._ensure_stream(self._usable(payload))
        try:
            answer = await self._ask(subject, payload, headers, self._settings.request_timeout_s)
        except (NoWorkerError, BusTimeoutError, BusBusyError) as error:
            raise BusDownError("JetStream does not take messages", delivered=error.delivered) from None
        try:
            refused = "error" in json.loads(answer.data)
        except ValueError:
            refused = True
        if refused:
            raise BusDownError("JetStream refused a message; see the server's limits", delivered=False)

    async def forget(self, subject: str) -> None:
        if not self._settings.jetstream:
            return
        client = self._usable(b"")
        await self._ensure_stream(client)
        await forget_kept(client, subject, timeout_s=self._settings.request_timeout_s)

    async def subscribe(self, subject: str, handler: Handler, *, group: str | None = None) -> Handle:
        return await self._run(NatsSubscription(subject, handler, group, self._settings.queue, self._running))

    async def consume(self, consumer: Consumer) -> Handle:
        return await self._run(NatsConsumer(consumer, self._settings, self._running))

    async def serve(self, service: Service) -> Handle:
        return await self._run(NatsService(service, self._running, self._settings.max_payload_bytes))

    async def services(self, *, timeout_s: float = 0.5) -> list[ServiceInfo]:
        client = self._usable(b"")
        found: dict[str, ServiceInfo] = {}
        inbox = client.new_inbox()

        async def note(message: Msg) -> None:
            if len(found) < _MAX_PROBE and (info := _info(message.data)) is not None:
                found[info.id] = info

        try:
            subscription = await client.subscribe(inbox, cb=note)
            await self._send(client, "$SRV.INFO", b"", None, reply=inbox)
            await asyncio.sleep(timeout_s)
            await subscription.unsubscribe()
        except nats.errors.Error:
            raise BusDownError("the bus went down") from None
        return sorted(found.values(), key=lambda info: (info.name, info.id))

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        # A message to ourselves: the server has handled all that was sent before it. The client's own flush breaks its
        # connection when it is given up and the answer comes after all.
        client = self._usable(b"")
        token = str(next(self._numbers))
        arrived: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = arrived
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(client, f"{self._inbox}.{token}", b"", None, reply="")
                await arrived
        except TimeoutError:
            raise BusDownError(f"the bus did not answer within {timeout_s:g} s") from None
        finally:
            self._waiting.pop(token, None)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        for one in list(self._running):
            await one.close(grace_s=0.1)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._client is not None:
            client, self._client = self._client, None
            await _close(client)
        self._up.clear()
        self._fail_waiting()

    async def _ensure_stream(self, client: NatsClient) -> None:
        """Once a connection: a server that was replaced has lost the stream, and its limits may have changed."""
        async with self._making_stream:
            if not self._stream:
                self._stream = await ensure_stream(client, self._settings, self._seldom)
            if not self._stream:
                raise BusDownError("JetStream does not take messages")

    # -- sending ----------------------------------------------------------------------------------------------------

    def _usable(self, payload: bytes) -> NatsClient:
        client = self._client
        if client is None or not self.connected:
            raise BusDownError(_DOWN)
        limit = min(client.max_payload, self._settings.max_payload_bytes)
        if len(payload) > limit:
            raise BusPayloadError(f"a message of {len(payload)} bytes; the bus takes {limit}")
        return client

    async def _send(
        self, client: NatsClient, subject: str, payload: bytes, headers: Headers | None, reply: str
    ) -> None:
        try:
            await client.publish(subject, payload, reply=reply, headers=dict(headers) if headers else None)
        except (nats.errors.BadSubjectError, nats.errors.BadHeaderError) as error:
            raise BusError(str(error)) from None
        except (nats.errors.Error, OSError):
            raise BusDownError("the bus went down", delivered=True) from None

    async def _ask(self, subject: str, payload: bytes, headers: Headers | None, timeout_s: float) -> Msg:
        """One request to its raw answer.

        Not ``Client.request``: that one waits out its timeout when the connection is lost.
        """
        client = self._usable(payload)
        if len(self._waiting) >= self._settings.max_requests:
            raise BusBusyError(f"{len(self._waiting)} requests are unanswered, which is the limit")
        token = str(next(self._numbers))
        answered: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = answered
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(client, subject, payload, headers, reply=f"{self._inbox}.{token}")
                answer = await answered
        except TimeoutError:
            raise BusTimeoutError(f"no answer on {subject} within {timeout_s:g} s") from None
        finally:
            self._waiting.pop(token, None)
        if not answer.data and answer.headers and answer.headers.get(_STATUS) == _NO_RESPONDERS:
            raise NoWorkerError(f"nobody serves {subject}")
        return answer

    async def _on_answer(self, message: Msg) -> None:
        answered = self._waiting.get(message.subject.rpartition(".")[2])
        if answered is not None and not answered.done():
            answered.set_result(message)

    def _fail_waiting(self) -> None:
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(BusDownError("the bus went down before the answer", delivered=True))

    # -- the connection ---------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        """Connects; the client reconnects by itself. A client the server threw out is replaced by a new one."""
        while True:
            client = NatsClient()
            ended = asyncio.Event()
            try:
                await client.connect(**self._options, **self._callbacks(ended))
                self._client = client
                self._inbox = client.new_inbox()
                await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
                async with self._setting_up:
                    for one in list(self._running):
                        await one.start(client)
                self._came_up()
                await ended.wait()
            except (nats.errors.Error, OSError, TimeoutError) as error:
                self._complain(error)
            finally:
                self._went_down()
                if not self._closing:
                    await _close(client)
            await asyncio.sleep(self._settings.reconnect_wait_s)

    def _callbacks(self, ended: asyncio.Event) -> dict[str, Any]:
        async def disconnected() -> None:
            self._went_down()

        async def reconnected() -> None:
            self._came_up()

        async def closed() -> None:
            ended.set()

        async def failed(error: Exception) -> None:
            self._complain(error)

        return {
            "disconnected_cb": disconnected,
            "reconnected_cb": reconnected,
            "closed_cb": closed,
            "error_cb": failed,
        }

    def _came_up(self) -> None:
        self._stream = False
        self._up.set()
        _log.info("bus connected", bus_client=self._name)

    def _went_down(self) -> None:
        was_up = self._up.is_set()
        self._up.clear()
        self._fail_waiting()
        if was_up and not self._closing:
            _log.warning("bus lost", bus_client=self._name)

    def _complain(self, error: Exception) -> None:
        kind = type(error).__name__
        if (times := self._seldom.now(kind)) is not None:
            # Messages of the client name the server's complaint (permissions, authorisation), never a payload.
            reason = str(error)[:200] if isinstance(error, nats.errors.Error) else kind
            _log.warning("bus trouble", servers=self._settings.url, error=kind, reason=reason, times=times)

    async def _run(self, one: Running) -> Handle:
        if self._closing:
            raise BusDownError("the bus is closed")
        async with self._setting_up:
            self._running.append(one)
            if self._client is not None and not self._client.is_closed:
                try:
                    await one.start(self._client)
                except (nats.errors.Error, OSError) as error:
                    self._complain(error)  # it starts on the next connection
                except ValueError as error:
                    self._running.remove(one)
                    raise BusError(f"bus: {error}") from None
        return one


async def _close(client: NatsClient) -> None:
    # It tries to send what is left, also where nobody is; in the middle of a reconnection that can take for ever.
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
        if not client.is_closed:
            async with asyncio.timeout(_CLOSE_S):
                await client.close()


def _info(payload: bytes) -> ServiceInfo | None:
    try:
        info = MicroInfo.from_dict(json.loads(payload))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return ServiceInfo(
        id=info.id,
        name=info.name,
        version=info.version,
        description=info.description or "",
        metadata=info.metadata or {},
        endpoints={endpoint.name: endpoint.metadata or {} for endpoint in info.endpoints},
    )
