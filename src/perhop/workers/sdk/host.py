"""A worker at work: on a bus, with a database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Self

import structlog

from perhop.store import Database, StoreDownError, upgrade
from perhop.tools.base import Tool
from perhop.tools.bus import ANY, Bus, BusDownError, Endpoint, Handle, Message, Service, announcement, tool_subject
from perhop.workers.sdk.answering import WAITING, Answering
from perhop.workers.sdk.dispatch import Dispatcher
from perhop.workers.sdk.metrics import WorkerMetrics
from perhop.workers.sdk.outcomes import Outcomes
from perhop.workers.sdk.tables import SCHEMA
from perhop.workers.sdk.worker import Background, Site, Worker

__all__ = ["WorkerHost"]

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 60.0
_PRUNE_EVERY = 60
_RESTART_S = 5.0


class WorkerHost:
    """Serves the tools of one worker until it is closed. Use :meth:`open`.

    The same worker runs as a process of its own or inside another one: what differs is the bus.
    """

    def __init__(
        self, worker: Worker, bus: Bus, database: Database, metrics: WorkerMetrics, keep_outcomes: timedelta
    ) -> None:
        self.worker = worker
        self._site = Site(bus=bus, database=database)
        self._metrics = metrics
        self._keep_outcomes = keep_outcomes
        self._outcomes = Outcomes(database, worker.name)
        self._dispatcher = Dispatcher(
            database,
            worker.name,
            worker.deliveries,
            settled=lambda channel, state: metrics.settled(worker.name, channel, state),
        )
        self._answering = Answering(worker, database, self._outcomes, metrics, effected=self._dispatcher.wake)
        self._handles: list[Handle] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    @classmethod
    async def open(
        cls,
        worker: Worker,
        *,
        bus: Bus,
        database: Database,
        metrics: WorkerMetrics | None = None,
        keep_outcomes: timedelta = timedelta(days=30),
    ) -> Self:
        """Brings the tables up to date and begins to serve.

        Args:
            bus: not closed by the host, nor is ``database``.
            keep_outcomes: how long a repetition of a function call is recognised.

        Raises:
            StoreError: the tables cannot be used.
            BusError: the worker cannot be served.
        """
        for schema in (SCHEMA, *worker.schemas):
            await upgrade(database, schema)
        host = cls(worker, bus, database, metrics or WorkerMetrics(), keep_outcomes)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(host.close, grace_s=0)
            await host._start()
            with contextlib.suppress(BusDownError):  # a bus that is away learns of the worker when it is back
                await bus.flush()
            undo.pop_all()
        return host

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Takes no new calls, finishes those that run within ``grace_s`` seconds, then cancels the rest. Idempotent."""
        self._stopping.set()
        tasks, self._tasks = self._tasks, []
        for task in tasks[1:]:
            task.cancel()  # housekeeping, the first, ends by itself, so that no transaction is torn
        if tasks:
            await asyncio.wait(tasks, timeout=max(grace_s, 1.0))
            tasks[0].cancel()
        handles, self._handles = self._handles, []
        await asyncio.gather(*(handle.close(grace_s=grace_s) for handle in handles))
        await self._outcomes.finish(grace_s or 0.1)
        await self._dispatcher.close(grace_s=grace_s)

    def wake(self) -> None:
        """Effects that became due behind the worker's back are looked for at once."""
        self._dispatcher.wake()

    async def _start(self) -> None:
        worker, bus = self.worker, self._site.bus
        endpoints = [
            Endpoint(
                # A name comes once in a service; with several tenants a tool has one endpoint for each.
                name=tool.name if index == 0 else f"{tool.name}-{index}",
                subject=tool_subject(tenant, tool.name),
                respond=self._responder(tool),
                metadata=announcement(tool, tenant=tenant),
            )
            for index, tenant in enumerate(worker.tenants or (ANY,))
            for tool in worker.tools.values()
        ]
        if endpoints:
            service = Service(
                name=worker.name,
                version=worker.version,
                description=worker.description,
                endpoints=endpoints,
                max_running=WAITING * worker.concurrency,
            )
            self._handles.append(await bus.serve(service))
        for consumer in worker.consumers:
            self._handles.append(await bus.consume(consumer(self._site)))
        self._dispatcher.start()
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._keep_house(), name=f"housekeeping of {worker.name}"))
        self._tasks += [loop.create_task(self._background(work)) for work in worker.backgrounds]

    def _responder(self, tool: Tool) -> Callable[[Message], Awaitable[bytes]]:
        async def respond(message: Message) -> bytes:
            return await self._answering.answer(tool, message)

        return respond

    async def _background(self, work: Background) -> None:
        while True:
            try:
                await work(self._site)
            except Exception as error:  # noqa: BLE001 - a worker's own work may raise anything, and is begun again
                _log.error("background work failed", worker=self.worker.name, error=type(error).__qualname__)
            else:
                return
            await asyncio.sleep(_RESTART_S)

    async def _keep_house(self) -> None:
        turns = 0
        while not self._stopping.is_set():
            try:
                if turns % _PRUNE_EVERY == 0:
                    await self._outcomes.prune(older_than=self._keep_outcomes)
                    await self._dispatcher.prune(older_than=self._keep_outcomes)
                if self.worker.deliveries:
                    self._metrics.effects(self.worker.name, await self._dispatcher.counts())
            except StoreDownError:
                _log.warning("housekeeping waits for the database", worker=self.worker.name)
            except Exception as error:  # noqa: BLE001 - a mistake of whatever kind: the next turn may do better
                _log.error("housekeeping failed", worker=self.worker.name, error=type(error).__qualname__)
            turns += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HOUSEKEEPING_S):
                    await self._stopping.wait()
