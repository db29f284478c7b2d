"""The bus inside one process: the default, with the same behaviour as NATS and no server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from perhop.config.bus import BusSettings
from perhop.tools.bus.base import Consumer, Endpoint, Handle, Handler, Headers, Message, Service, ServiceInfo
from perhop.tools.bus.errors import (
    BusBusyError,
    BusDownError,
    BusPayloadError,
    BusTimeoutError,
    NotNowError,
    NoWorkerError,
    RemoteError,
)
from perhop.tools.bus.messages import ID_HEADER
from perhop.tools.bus.seldom import Seldom
from perhop.tools.bus.serving import Answer, Serving
from perhop.tools.bus.subjects import matches

__all__ = ["InProcessBus"]

_log = structlog.get_logger(__name__)

REMEMBERED_IDS = 10_000
"""Ids of kept messages that a consumer took and would recognise again."""


class InProcessBus:
    """Messages go from task to task of one event loop.

    A kept message is safe once every consumer has taken it: :meth:`keep` waits for that, so that whoever publishes can
    hold on to it until then.

    Args:
        settings: limits and timeouts; the rest means nothing here.
    """

    def __init__(self, settings: BusSettings | None = None) -> None:
        self._settings = settings or BusSettings()
        self._closed = False
        self._waiting = 0
        self._turn = itertools.count()
        self._serving: list[_Served] = []
        self._subscriptions: list[_Subscription] = []
        self._consumers: dict[str, _Durable] = {}
        self._seldom = Seldom()

    @property
    def connected(self) -> bool:
        return not self._closed

    async def request(
        self, subject: str, payload: bytes, *, headers: Headers | None = None, timeout_s: float | None = None
    ) -> bytes:
        self._check(payload)
        found = [(one, endpoint) for one in self._serving for endpoint in one.matching(subject)]
        if not found:
            raise NoWorkerError(f"nobody serves {subject}")
        if self._waiting >= self._settings.max_requests:
            raise BusBusyError(f"{self._waiting} requests are unanswered, which is the limit")
        served, endpoint = found[next(self._turn) % len(found)]
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        async def reply(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)

        self._waiting += 1
        timeout_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        try:
            await served.serving.take(endpoint, Message(subject, payload, dict(headers or {})), reply)
            async with asyncio.timeout(timeout_s):
                answer = await answered
        except TimeoutError:
            raise BusTimeoutError(f"no answer on {subject} within {timeout_s:g} s") from None
        finally:
            self._waiting -= 1
        if answer.code is not None:
            raise RemoteError(answer.code, answer.message)
        return answer.payload

    async def publish(self, subject: str, payload: bytes, *, headers: Headers | None = None) -> None:
        self._check(payload)
        message = Message(subject, payload, dict(headers or {}))
        groups: dict[str, list[_Subscription]] = {}
        for subscription in self._subscriptions:
            if matches(subscription.subject, subject):
                if subscription.group is None:
                    self._hand(subscription, message)
                else:
                    groups.setdefault(subscription.group, []).append(subscription)
        for members in groups.values():
            self._hand(members[next(self._turn) % len(members)], message)

    async def keep(self, subject: str, payload: bytes, *, message_id: str, headers: Headers | None = None) -> None:
        self._check(payload)
        message = Message(subject, payload, {**(headers or {}), ID_HEADER: message_id})
        takers = [one for one in self._consumers.values() if matches(one.consumer.subject, subject)]
        taken = [await taker.take(message, message_id) for taker in takers]
        if not all(taken):
            raise BusDownError(f"a consumer of {subject} could not take the message", delivered=True)
        await self.publish(subject, payload, headers=message.headers)

    async def forget(self, subject: str) -> None:  # noqa: ARG002 - what was taken is not kept here
        self._check(b"")

    async def subscribe(self, subject: str, handler: Handler, *, group: str | None = None) -> Handle:
        self._check(b"")
        subscription = _Subscription(subject, handler, group, self._settings.queue, self._subscriptions)
        subscription.start()
        return subscription

    async def consume(self, consumer: Consumer) -> Handle:
        self._check(b"")
        known = self._consumers.get(consumer.name)
        durable = _Durable(consumer, self._consumers, known.taken if known is not None else None)
        self._consumers[consumer.name] = durable
        return durable

    async def serve(self, service: Service) -> Handle:
        self._check(b"")
        served = _Served(service, f"local-{next(self._turn)}", self._serving)
        self._serving.append(served)
        return served

    async def services(self, *, timeout_s: float = 0.5) -> list[ServiceInfo]:  # noqa: ARG002 - nothing to wait for
        self._check(b"")
        return [one.info() for one in self._serving]

    async def flush(self, *, timeout_s: float = 5.0) -> None:  # noqa: ARG002 - nothing to wait for
        self._check(b"")

    async def close(self) -> None:
        self._closed = True
        running: Sequence[Handle] = [*self._serving, *self._subscriptions, *self._consumers.values()]
        for one in running:
            await one.close(grace_s=0.1)

    def _check(self, payload: bytes) -> None:
        if self._closed:
            raise BusDownError("the bus is closed")
        limit = self._settings.max_payload_bytes
        if len(payload) > limit:
            raise BusPayloadError(f"a message of {len(payload)} bytes; the bus takes {limit}")

    def _hand(self, subscription: _Subscription, message: Message) -> None:
        if not subscription.offer(message) and (times := self._seldom.now("slow")) is not None:
            _log.warning("subscriber too slow, messages dropped", subject=subscription.subject, times=times)


@dataclass(eq=False, slots=True)
class _Served:
    service: Service
    id: str
    among: list[_Served]
    serving: Serving = field(init=False)

    def __post_init__(self) -> None:
        self.serving = Serving(self.service.name, max_running=self.service.max_running)

    def matching(self, subject: str) -> list[Endpoint]:
        return [endpoint for endpoint in self.service.endpoints if matches(endpoint.subject, subject)][:1]

    def info(self) -> ServiceInfo:
        return ServiceInfo(
            id=self.id,
            name=self.service.name,
            version=self.service.version,
            description=self.service.description,
            metadata=dict(self.service.metadata),
            endpoints={endpoint.name: dict(endpoint.metadata) for endpoint in self.service.endpoints},
        )

    async def close(self, *, grace_s: float = 5.0) -> None:
        if self in self.among:
            self.among.remove(self)
        await self.serving.finish(grace_s)


class _Subscription:
    """Messages of one subscriber, one after the other, in a task of its own."""

    def __init__(
        self, subject: str, handler: Handler, group: str | None, limit: int, among: list[_Subscription]
    ) -> None:
        self.subject = subject
        self.group = group
        self._handler = handler
        self._limit = limit
        self._among = among
        self._queue: deque[Message] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._among.append(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def offer(self, message: Message) -> bool:
        if len(self._queue) >= self._limit:
            return False
        self._queue.append(message)
        self._idle.clear()
        self._more.set()
        return True

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._queue:
                message = self._queue.popleft()
                try:
                    await self._handler(message)
                except Exception as error:  # noqa: BLE001 - a subscriber may raise anything, and gets the next one too
                    _log.error("subscriber failed", subject=self.subject, error=type(error).__qualname__)
            self._idle.set()

    async def close(self, *, grace_s: float = 5.0) -> None:
        if self in self._among:
            self._among.remove(self)
        if self._task is None:
            return
        await _within(self._idle, grace_s)
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None


class _Durable:
    """One consumer of kept messages. It stays known after it closed: what it missed, it still has to take."""

    def __init__(
        self, consumer: Consumer, among: dict[str, _Durable], taken: OrderedDict[str, int | None] | None
    ) -> None:
        self.consumer = consumer
        self.taken: OrderedDict[str, int | None] = taken if taken is not None else OrderedDict()
        self._among = among
        self._lock = asyncio.Lock()
        self._open = True
        self._seldom = Seldom()

    async def take(self, message: Message, message_id: str) -> bool:
        """Whether the message needs no further attempt. ``taken`` has failed attempts, or None for those done with."""
        async with self._lock:
            failed = self.taken.get(message_id, 0)
            if failed is None:
                return True
            if not self._open:
                return False
            try:
                async with asyncio.timeout(self.consumer.timeout_s):
                    await self.consumer.handle(message)
            except NotNowError:
                if (times := self._seldom.now("later")) is not None:
                    _log.warning("kept messages wait", consumer=self.consumer.name, times=times)
                return False
            except Exception as error:  # noqa: BLE001 - a consumer may raise anything, and gets the message again
                failed += 1
                gone = failed >= self.consumer.attempts
                _log.warning(
                    "kept message given up" if gone else "kept message not taken",
                    consumer=self.consumer.name,
                    error=type(error).__qualname__,
                    attempt=failed,
                )
                self._remember(message_id, None if gone else failed)
                return gone
            self._remember(message_id, None)
            return True

    def _remember(self, message_id: str, failed: int | None) -> None:
        self.taken[message_id] = failed
        self.taken.move_to_end(message_id)
        if len(self.taken) > REMEMBERED_IDS:
            self.taken.popitem(last=False)

    async def close(self, *, grace_s: float = 5.0) -> None:
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s), self._lock:
                return


async def _within(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
