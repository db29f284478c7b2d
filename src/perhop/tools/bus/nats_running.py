"""What runs on a NATS connection: subscriptions, services, consumers. Each can be started anew on the next one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.micro import add_service
from nats.micro.request import Request

from perhop.config.bus import BusSettings
from perhop.tools.bus.base import Consumer, Endpoint, Handler, Message, Service
from perhop.tools.bus.errors import NotNowError
from perhop.tools.bus.messages import EXPIRES_HEADER, ID_HEADER
from perhop.tools.bus.nats_connection import NatsClient
from perhop.tools.bus.nats_stream import STREAM, ensure_stream
from perhop.tools.bus.seldom import Seldom
from perhop.tools.bus.serving import Answer, Serving

__all__ = ["NatsConsumer", "NatsService", "NatsSubscription", "Running"]

_log = structlog.get_logger(__name__)

_ACK_WAIT_S = 6.0
"""After this silence a message comes again. Short, because a server that crashed may have forgotten an acknowledgement,
and nothing else is handed out meanwhile; who takes longer says so all the time."""

_REMEMBERED_IDS = 10_000

CLOCKS_APART_S = 5.0
"""How far the clocks of two machines may be apart before requests are taken for expired too early."""

_FETCH_S = 1.0
"""How long one question for messages lasts. One that was lost with its connection costs no more than this."""

_RETRY_S = 1.0


class Running(ABC):
    """Something that runs on the bus, whichever connection that has at the moment."""

    def __init__(self, among: list[Running]) -> None:
        self._among = among

    @abstractmethod
    async def start(self, client: NatsClient) -> None:
        """Begins on a new connection; what belonged to an older one is gone with it."""

    async def close(self, *, grace_s: float = 5.0) -> None:
        """See :class:`~perhop.tools.bus.base.Handle`."""
        if self in self._among:
            self._among.remove(self)
            await self.stop(grace_s)

    @abstractmethod
    async def stop(self, grace_s: float) -> None:
        """Takes nothing new, finishes what it began."""


class NatsSubscription(Running):
    """Hands messages to a handler."""

    def __init__(self, subject: str, handler: Handler, group: str | None, limit: int, among: list[Running]) -> None:
        super().__init__(among)
        self._subject = subject
        self._handler = handler
        self._group = group
        self._limit = limit
        self._subscription: Subscription | None = None

    async def start(self, client: NatsClient) -> None:
        self._subscription = await client.subscribe(
            self._subject, queue=self._group or "", cb=self._take, pending_msgs_limit=self._limit
        )

    async def stop(self, grace_s: float) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await _drain([subscription], grace_s)

    async def _take(self, message: Msg) -> None:
        try:
            await self._handler(_message(message))
        except Exception as error:  # noqa: BLE001 - a subscriber may raise anything, and gets the next one too
            _log.error("subscriber failed", subject=self._subject, error=type(error).__qualname__)


class NatsService(Running):
    """Answers requests as a service of nats.micro, so that every NATS tool finds it."""

    def __init__(self, service: Service, among: list[Running], max_payload: int) -> None:
        super().__init__(among)
        self._service = service
        self._max_payload = max_payload
        self._serving = Serving(service.name, max_running=service.max_running)
        self._subscriptions: list[Subscription] = []

    async def start(self, client: NatsClient) -> None:
        service = self._service
        # The subscriptions are noted because the service itself, when it is stopped, throws away what has arrived.
        with client.recording() as self._subscriptions:
            micro = await add_service(
                client,
                name=service.name,
                version=service.version,
                description=service.description,
                metadata=dict(service.metadata),
            )
            for endpoint in service.endpoints:
                await micro.add_endpoint(
                    name=endpoint.name,
                    subject=endpoint.subject,
                    handler=self._handler(endpoint),
                    metadata=dict(endpoint.metadata),
                )

    async def stop(self, grace_s: float) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        await _drain(subscriptions, grace_s)
        await self._serving.finish(grace_s)

    def _handler(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[None]]:
        async def handle(request: Request) -> None:
            async def reply(answer: Answer) -> None:
                await self._reply(request, answer)

            message = Message(request.subject, request.data, dict(request.headers or {}))
            if _expired(message):
                await reply(Answer(code="unavailable", message="the request came too late"))
                return
            await self._serving.take(endpoint, message, reply)

        return handle

    async def _reply(self, request: Request, answer: Answer) -> None:
        """Whoever asked may be gone, or the connection; then nobody waits for the answer any more."""
        with contextlib.suppress(nats.errors.Error, OSError, ValueError):
            if answer.code is None and len(answer.payload) <= self._max_payload:
                await request.respond(answer.payload)
            elif answer.code is None:
                await request.respond_error("too_large", f"an answer of {len(answer.payload)} bytes")
            else:
                await request.respond_error(answer.code, answer.message.replace("\n", " "))


class NatsConsumer(Running):
    """Takes kept messages from the stream, one at a time, through a durable consumer."""

    def __init__(self, consumer: Consumer, settings: BusSettings, among: list[Running]) -> None:
        super().__init__(among)
        self._consumer = consumer
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._busy = asyncio.Lock()
        self._taken: dict[str, None] = {}
        self._failing = ("", 0)
        """The message that failed last, and how often; nothing else is handed out meanwhile."""
        self._seldom = Seldom()

    async def start(self, client: NatsClient) -> None:
        await self._cancel()
        self._task = asyncio.get_running_loop().create_task(self._run(client), name=f"consumer {self._consumer.name}")

    async def stop(self, grace_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s), self._busy:
                await self._cancel()
        await self._cancel()

    async def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self, client: NatsClient) -> None:
        try:
            await self._pull(client)
        finally:
            # Else the next message goes to where nobody takes it any more, and everybody waits until that is noticed.
            if self._subscription is not None:
                with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._subscription.unsubscribe()
                self._subscription = None

    async def _pull(self, client: NatsClient) -> None:
        while not client.is_closed:
            try:
                if self._subscription is None:
                    self._subscription = await self._subscribe(client)
                messages = await self._subscription.fetch(1, timeout=_FETCH_S)
            except nats.errors.TimeoutError:
                continue
            except (nats.errors.Error, OSError) as error:
                if (times := self._seldom.now(type(error).__name__)) is not None:
                    _log.warning(
                        "consumer waits", consumer=self._consumer.name, error=type(error).__name__, times=times
                    )
                self._subscription = None
                await asyncio.sleep(_RETRY_S)
                continue
            for message in messages:
                async with self._busy:
                    await self._take(message)

    async def _subscribe(self, client: NatsClient) -> JetStreamContext.PullSubscription:
        consumer = self._consumer
        if not client.is_connected:
            raise nats.errors.ConnectionReconnectingError
        await ensure_stream(client, self._settings, self._seldom)
        config = ConsumerConfig(
            durable_name=consumer.name,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT_S,
            # One at a time is what keeps the order when a message has to come again.
            max_ack_pending=1,
            # Attempts are counted here: those in which the message only had to wait are none.
            max_deliver=-1,
            filter_subject=consumer.subject,
        )
        context = client.jetstream(timeout=self._settings.connect_timeout_s)
        return await context.pull_subscribe(consumer.subject, durable=consumer.name, stream=STREAM, config=config)

    async def _take(self, message: Msg) -> None:
        consumer = self._consumer
        message_id = (message.headers or {}).get(ID_HEADER, "")
        if message_id and message_id in self._taken:
            await self._acknowledge(message)
            return
        working = asyncio.get_running_loop().create_task(_say_working(message))
        try:
            async with asyncio.timeout(consumer.timeout_s):
                await consumer.handle(_message(message))
        except NotNowError:
            if (times := self._seldom.now("later")) is not None:
                _log.warning("kept messages wait", consumer=consumer.name, times=times)
            with contextlib.suppress(nats.errors.Error, OSError):
                await message.nak(delay=consumer.retry_wait_s)
            return
        except Exception as error:  # noqa: BLE001 - a consumer may raise anything, and gets the message again
            place = str(message.metadata.sequence.stream)
            attempt = 1 + (self._failing[1] if self._failing[0] == place else 0)
            self._failing = (place, attempt)
            gone = attempt >= consumer.attempts
            _log.warning(
                "kept message given up" if gone else "kept message not taken",
                consumer=consumer.name,
                error=type(error).__qualname__,
                attempt=attempt,
            )
            with contextlib.suppress(nats.errors.Error, OSError):
                if gone:
                    await message.term()
                else:
                    await message.nak(delay=consumer.retry_wait_s)
            return
        finally:
            working.cancel()
        self._taken[message_id] = None
        if len(self._taken) > _REMEMBERED_IDS:
            del self._taken[next(iter(self._taken))]
        await self._acknowledge(message)

    async def _acknowledge(self, message: Msg) -> None:
        """One that gets lost makes the message come again; its id tells."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await message.ack()


async def _say_working(message: Msg) -> None:
    with contextlib.suppress(nats.errors.Error, OSError):
        while True:
            await asyncio.sleep(_ACK_WAIT_S / 3)
            await message.in_progress()


def _expired(message: Message) -> bool:
    try:
        expires = float(message.headers.get(EXPIRES_HEADER, "inf"))
    except ValueError:
        return False
    return time.time() > expires + CLOCKS_APART_S


def _message(message: Msg) -> Message:
    return Message(message.subject, message.data, dict(message.headers or {}))


async def _drain(subscriptions: list[Subscription], grace_s: float) -> None:
    """Ends subscriptions after what is on its way to them was handled."""

    async def drain(subscription: Subscription) -> None:
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.drain()  # type: ignore[no-untyped-call]

    # Left to themselves beyond the time: given up, they would leave the connection with an answer it does not expect.
    draining = [asyncio.get_running_loop().create_task(drain(subscription)) for subscription in subscriptions]
    if draining:
        await asyncio.wait(draining, timeout=grace_s)
