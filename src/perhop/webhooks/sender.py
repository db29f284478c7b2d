"""Sends webhooks: each event to each endpoint that wants it, again with growing pauses until it is taken.

Nothing here is written to disk: what has not been taken when the process ends is lost, and so is the oldest event when
an endpoint has :data:`MAX_PENDING` waiting. Receivers may get an event twice and in another order; its id tells.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from perhop.errors import PerhopError
from perhop.webhooks.events import WebhookEvent
from perhop.webhooks.signature import SigningKey

__all__ = ["MAX_PENDING", "Outcome", "Post", "WebhookEndpoint", "WebhookSender"]

_log = structlog.get_logger(__name__)

MAX_PENDING = 1_000
"""Events that wait for one endpoint; one more takes the place of the oldest."""

MAX_RUNNING = 4
"""Requests to one endpoint at once."""

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3600.0
_GROWTH = 3.0
_JITTER = 0.2
"""Pauses grow threefold, up to an hour, and are a fifth longer or shorter at random."""

GIVE_UP_S = 72 * 3600.0
"""After this an event is too old to be told."""

_GONE = 410

Outcome = str
"""``delivered``, ``retried``, ``given_up`` (too old, or the endpoint says 410) or ``dropped`` (too many waiting)."""


class Post(Protocol):
    """The way out, guarded by whoever provides it."""

    async def __call__(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> int:
        """Posts this and returns the status of the answer, redirects not followed.

        Raises:
            PerhopError: there was no answer; the message holds neither path nor query.
        """


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Who is told.

    Attributes:
        url: http or https.
        events: types of the events it wants.
        tenant: whose calls; None for everybody's.
    """

    url: str = field(repr=False)
    key: SigningKey
    events: frozenset[str]
    tenant: str | None = None

    def wants(self, event: WebhookEvent) -> bool:
        """Whether this event is to be told here."""
        return event.type in self.events and self.tenant in (None, event.tenant)


class WebhookSender:
    """Sends events to their endpoints; :meth:`close` at the end of the process.

    Args:
        post: the way out.
        observe: told what became of each attempt; must return at once.
        wall: Unix time, s; times of the event loop are used for everything else.
        chance: uniform in [0, 1).
    """

    def __init__(
        self,
        endpoints: Iterable[WebhookEndpoint],
        post: Post,
        *,
        observe: Callable[[Outcome], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._lines = [_Line(endpoint, post, observe=observe, wall=wall, chance=chance) for endpoint in endpoints]

    def send(self, event: WebhookEvent) -> None:
        """Tells an event to all who want it; returns at once."""
        for line in self._lines:
            if line.endpoint.wants(event):
                line.push(event)

    @property
    def pending(self) -> int:
        """Deliveries that have not been taken yet."""
        return sum(len(line) for line in self._lines)

    async def close(self, *, grace_s: float = 3.0) -> None:
        """Lets requests that are due or under way finish, for at most so long; what waits for a retry is lost."""
        for line in self._lines:
            line.stop_waiting()
        tasks = [task for line in self._lines for task in line.tasks]
        while tasks and grace_s > 0:
            began = asyncio.get_running_loop().time()
            await asyncio.wait(tasks, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            grace_s -= asyncio.get_running_loop().time() - began
            tasks = [task for line in self._lines for task in line.tasks]
        if self.pending:
            _log.warning("webhooks not delivered", count=self.pending)
        for line in self._lines:
            line.close()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True, eq=False)
class _Delivery:
    event: WebhookEvent
    body: bytes
    born: float
    tries: int = 0
    timer: asyncio.TimerHandle | None = None


class _Line:
    """What waits for one endpoint. No task runs while nothing is due."""

    def __init__(
        self,
        endpoint: WebhookEndpoint,
        post: Post,
        *,
        observe: Callable[[Outcome], None],
        wall: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.tasks: set[asyncio.Task[None]] = set()
        self._post = post
        self._observe = observe
        self._wall = wall
        self._chance = chance
        self._pending: dict[str, _Delivery] = {}
        self._due: deque[_Delivery] = deque()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._pending)

    def push(self, event: WebhookEvent) -> None:
        if self._stopping:
            return
        delivery = _Delivery(event, event.to_json(), asyncio.get_running_loop().time())
        self._pending[event.id] = delivery
        if len(self._pending) > MAX_PENDING:
            self._forget(next(iter(self._pending.values())), "dropped")
        self._due.append(delivery)
        self._pump()

    def stop_waiting(self) -> None:
        """No retries from now on."""
        self._stopping = True
        for delivery in self._pending.values():
            if delivery.timer is not None:
                delivery.timer.cancel()

    def close(self) -> None:
        self._due.clear()
        for task in self.tasks:
            task.cancel()

    def _pump(self) -> None:
        while self._due and len(self.tasks) < MAX_RUNNING:
            delivery = self._due.popleft()
            if self._pending.get(delivery.event.id) is delivery:
                task = asyncio.get_running_loop().create_task(self._attempt(delivery), name="webhook")
                self.tasks.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.result()
            self._pump()

    async def _attempt(self, delivery: _Delivery) -> None:
        delivery.tries += 1
        event = delivery.event
        headers = {
            "content-type": "application/json",
            **self.endpoint.key.headers(event.id, delivery.body, timestamp=int(self._wall())),
        }
        status: int | None = None
        problem = ""
        try:
            status = await self._post(self.endpoint.url, content=delivery.body, headers=headers)
        except PerhopError as error:
            problem = str(error)
        if self._pending.get(event.id) is not delivery:
            return
        if status is not None and 200 <= status < 300:
            self._forget(delivery, "delivered")
            return
        if delivery.tries == 1:
            _log.warning("webhook not taken", kind=event.type, status=status, problem=problem)
        self._put_off(delivery, gone=status == _GONE)

    def _put_off(self, delivery: _Delivery, *, gone: bool) -> None:
        loop = asyncio.get_running_loop()
        pause = min(FIRST_PAUSE_S * _GROWTH ** min(delivery.tries - 1, 20), LONGEST_PAUSE_S)
        pause *= 1 + _JITTER * (2 * self._chance() - 1)
        if gone or loop.time() + pause - delivery.born > GIVE_UP_S:
            _log.warning("webhook given up", kind=delivery.event.type, tries=delivery.tries)
            self._forget(delivery, "given_up")
        elif not self._stopping:
            delivery.timer = loop.call_later(pause, self._again, delivery)
            self._observe("retried")

    def _again(self, delivery: _Delivery) -> None:
        delivery.timer = None
        self._due.append(delivery)
        self._pump()

    def _forget(self, delivery: _Delivery, outcome: Outcome) -> None:
        del self._pending[delivery.event.id]
        if delivery.timer is not None:
            delivery.timer.cancel()
        self._observe(outcome)
