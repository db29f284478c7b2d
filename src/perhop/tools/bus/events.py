"""Events of calls on their way to the bus: in order, whatever becomes of the bus meanwhile.

What must arrive (transcript, life cycle) goes to the bus directly while that works; from the first failure on it goes
to the outbox in the database and from there to the bus, until the outbox is empty. Statistics are sent or forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from perhop.store import StoreDownError
from perhop.tools.bus.base import Bus
from perhop.tools.bus.errors import BusDownError, BusError
from perhop.tools.bus.outbox import TURN_S, EventOutbox, KeptEvent
from perhop.tools.bus.seldom import Seldom
from perhop.tools.bus.subjects import CallEventKind, call_subject

__all__ = ["CallEvents", "EventFigures"]

_log = structlog.get_logger(__name__)

BATCH = 200
_RETRY_S = 0.5
_LAST_RETRY_S = 0.05


@dataclass(slots=True)
class EventFigures:
    """What became of events, for metrics.

    Attributes:
        sent: the bus has them.
        spooled: written to the outbox.
        dropped: given up, because too many waited or one was too large.
        spooling: whether events wait in the outbox.
    """

    sent: int = 0
    spooled: int = 0
    dropped: int = 0
    spooling: bool = False


class CallEvents:
    """Tells the bus what happens in the calls of this process.

    Args:
        outbox: where events wait; without one they wait in memory.
        queue: events in memory; beyond it the oldest are dropped.
        retry_s: before the bus is tried again.
        wall: Unix time, s.
    """

    def __init__(
        self,
        bus: Bus,
        outbox: EventOutbox | None = None,
        *,
        queue: int = 20_000,
        retry_s: float = _RETRY_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.figures = EventFigures()
        self._bus = bus
        self._outbox = outbox
        self._limit = queue
        self._retry_s = retry_s
        self._wall = wall
        self._queue: deque[KeptEvent | tuple[str, bytes]] = deque()
        self._numbers = itertools.count()
        self._started_at = format(int(wall() * 1000), "x")
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._seldom = Seldom()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        # What a former process left behind goes first.
        self.figures.spooling = outbox is not None

    @property
    def waiting(self) -> int:
        """Events in memory, and one more when others wait in the outbox."""
        return len(self._queue) + self.figures.spooling

    def start(self) -> None:
        """Begins to send."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="call events")

    def emit(self, tenant: str, call_id: str, kind: CallEventKind, data: Mapping[str, Any]) -> None:
        """Hands an event over; returns at once.

        Args:
            data: what JSON can express.
        """
        number = next(self._numbers)
        message_id = f"{call_id}-{self._started_at}-{number:x}"
        body = {"id": message_id, "tenant": tenant, "call_id": call_id, "kind": kind, "at": self._wall(), "data": data}
        subject, payload = call_subject(tenant, call_id, kind), orjson.dumps(body)
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._drop("queue full")
        if kind == "stats":
            self._queue.append((subject, payload))
        else:
            self._queue.append(KeptEvent(subject=subject, message_id=message_id, payload=payload))
        self._idle.clear()
        self._more.set()

    async def settled(self) -> None:
        """Returns once everything emitted has been sent, or is safe in the outbox."""
        await self._idle.wait()

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Sends or saves what waits, within ``grace_s`` seconds. Idempotent."""
        if self._task is None:
            return
        # It ends by itself: cancelled in the middle of a transaction, a connection may be left in a state nobody wants.
        self._stopping = True
        self._more.set()
        task, self._task = self._task, None
        await asyncio.wait([task], timeout=grace_s)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1.0)
        if self._queue:
            self.figures.dropped += len(self._queue)
            _log.warning("events lost at the end", times=len(self._queue))

    async def _run(self) -> None:
        while True:
            self._more.clear()
            try:
                # A store that is away leaves events in memory; the bus may be there all the same, but not their order.
                done = await (self._through_outbox() if self.figures.spooling else self._directly())
            except StoreDownError:
                done = False
                self._complain("store down")
            except Exception as error:  # noqa: BLE001 - a mistake of whatever kind: events wait, this task does not end
                done = False
                self._complain(f"store: {type(error).__name__}")
            if not self._queue:
                self._idle.set()
                if self._stopping:
                    return
            if done and not self._queue:
                await self._more.wait()
            elif not done:
                await self._pause()

    async def _pause(self) -> None:
        """Before the next attempt; shorter when this is the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._retry_s):
                while not self._stopping:
                    await self._more.wait()
                    self._more.clear()
                await asyncio.sleep(_LAST_RETRY_S)

    async def _directly(self) -> bool:
        while self._queue:
            event = self._queue[0]
            if not await self._send(event):
                self.figures.spooling = self._outbox is not None
                return self.figures.spooling  # the outbox is next, at once
            # What was too much for the queue meanwhile went from this end.
            if self._queue and self._queue[0] is event:
                self._queue.popleft()
        return True

    async def _through_outbox(self) -> bool:
        """Whether the outbox is empty, so that events may take the direct way again."""
        assert self._outbox is not None
        while self._queue:
            batch = [self._queue[index] for index in range(min(BATCH, len(self._queue)))]
            kept = [event for event in batch if isinstance(event, KeptEvent)]
            dropped = await self._outbox.add(kept)
            self.figures.spooled += len(kept)
            if dropped:
                self._drop("outbox full", dropped)
            written = set(map(id, batch))
            while self._queue and id(self._queue[0]) in written:
                self._queue.popleft()
        self._idle.set()
        if self._stopping:
            return False
        if not self._bus.connected or not await self._outbox.take_turn():
            self.figures.spooling = bool(await self._outbox.first(1))
            return not self.figures.spooling
        if not await self._empty(self._outbox):
            return False
        await self._outbox.end_turn()
        self.figures.spooling = False
        return True

    async def _empty(self, outbox: EventOutbox) -> bool:
        turn_ends = time.monotonic() + TURN_S / 2
        while waiting := await outbox.first(BATCH):
            if time.monotonic() > turn_ends:
                if not await outbox.take_turn():
                    return False
                turn_ends = time.monotonic() + TURN_S / 2
            arrived: list[KeptEvent] = []
            for event in waiting:
                if self._stopping or time.monotonic() > turn_ends or not await self._send(event):
                    break
                arrived.append(event)
            await outbox.remove(arrived)
            if self._stopping or (len(arrived) < len(waiting) and time.monotonic() <= turn_ends):
                return False
        return True

    async def _send(self, event: KeptEvent | tuple[str, bytes]) -> bool:
        """Whether the event needs no further attempt."""
        try:
            if isinstance(event, KeptEvent):
                await self._bus.keep(event.subject, event.payload, message_id=event.message_id)
            else:
                await self._bus.publish(*event)
        except BusDownError:
            if isinstance(event, KeptEvent):
                self._complain("bus down")
                return False
            return True
        except BusError as error:
            self._drop(type(error).__name__)
            return True
        self.figures.sent += 1
        return True

    def _drop(self, why: str, number: int = 1) -> None:
        self.figures.dropped += number
        if (times := self._seldom.now(why)) is not None:
            _log.warning("call events dropped", why=why, times=times, dropped=self.figures.dropped)

    def _complain(self, why: str) -> None:
        if (times := self._seldom.now(why)) is not None:
            _log.warning("call events wait", why=why, times=times, waiting=len(self._queue))
