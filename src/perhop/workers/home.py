"""The workers at home in a process: those that its agents need, from the moment they need them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

import structlog

from perhop.config import Settings
from perhop.store import Database, StoreError
from perhop.tools.bus import Bus, BusError, discover
from perhop.tools.guard import Guard
from perhop.tools.kinds.offered import OfferedTool
from perhop.workers.hosting import REFERENCE, hosted_workers, make_worker, start_hosted
from perhop.workers.sdk.host import WorkerHost
from perhop.workers.sdk.metrics import WorkerMetrics
from perhop.workers.sdk.worker import Worker

__all__ = ["Home"]

_log = structlog.get_logger(__name__)


class Home:
    """Starts workers inside this process, unless they are to be found on a bus or the settings say which.

    Use :meth:`open`.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        *,
        bus: Bus,
        database: Database,
        metrics: WorkerMetrics | None = None,
        patience_s: float = 5.0,
        retry_s: float = 5.0,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._bus = bus
        self._database = database
        self._metrics = metrics or WorkerMetrics()
        self._patience_s = patience_s
        self._retry_s = retry_s
        self._stack = AsyncExitStack()
        self._idle: list[Worker] = []
        self._wanted: set[str] = set()
        self._hosts: list[WorkerHost] = []
        self._growing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        settings: Settings,
        guard: Guard,
        *,
        bus: Bus,
        database: Database,
        offered: Iterable[OfferedTool] = (),
        metrics: WorkerMetrics | None = None,
        patience_s: float = 5.0,
        retry_s: float = 5.0,
    ) -> Home:
        """Starts those that are needed now; end them with :meth:`close`.

        Args:
            offered: tools that agents have and that somebody has to serve.
            metrics: where they count.
            patience_s: how long a change waits for a worker that is being started; later, calls have its tools as soon
                as it is there.
            retry_s: until one that could not be started is tried again.

        Raises:
            StoreError: a database cannot be used.
            BusError: two workers serve the same tool.
            PerhopError: a worker that the settings name is not there.
        """
        home = cls(settings, guard, bus=bus, database=database, metrics=metrics, patience_s=patience_s, retry_s=retry_s)
        wanted = [tool.name for tool in offered]
        workers = hosted_workers(settings, guard, also=wanted)
        if settings.bus.url is None and settings.workers.hosted is None:
            # All of them are made now: importing them in the middle of calls would hold up their audio.
            names = {worker.name for worker in workers}
            home._idle = [make_worker(name, settings, guard) for name in REFERENCE if name not in names]
        try:
            await home._start(workers)
            await home.prepare(list(offered))
        except BaseException:
            await home.close()
            raise
        return home

    @property
    def workers(self) -> Sequence[str]:
        """Names of those that run here."""
        return [host.worker.name for host in self._hosts]

    async def prepare(self, offered: Sequence[OfferedTool]) -> None:
        """Makes ready what agents are about to need: workers that serve these tools, and what those say of them.

        Raises nothing: what is not ready in time becomes so later, and until then calls do without it.
        """
        self._wanted |= {tool.name for tool in offered}
        if self._missing() and (self._growing is None or self._growing.done()):
            self._growing = asyncio.get_running_loop().create_task(self._grow(), name="workers at home")
        if self._growing is not None:
            await asyncio.wait([self._growing], timeout=self._patience_s)
        unknown = [tool for tool in offered if not tool.tools]
        if not unknown:
            return
        try:
            offers = await discover(self._bus)
        except BusError:
            return  # whoever keeps asking the bus finds out
        for tool in unknown:
            tool.take(offers)

    async def close(self) -> None:
        """Ends them all. Idempotent."""
        growing, self._growing = self._growing, None
        if growing is not None:
            growing.cancel()
            await asyncio.wait([growing])
        await self._stack.aclose()
        self._hosts.clear()

    def _missing(self) -> list[Worker]:
        return [worker for worker in self._idle if self._wanted & set(worker.tools)]

    async def _grow(self) -> None:
        while missing := self._missing():
            try:
                await self._start(missing[:1])
            except (StoreError, BusError) as error:
                _log.warning("worker not started", worker=missing[0].name, error=type(error).__qualname__)
                await asyncio.sleep(self._retry_s)
            else:
                self._idle.remove(missing[0])
                _log.info("worker started", worker=missing[0].name)

    async def _start(self, workers: Sequence[Worker]) -> None:
        self._hosts += await start_hosted(
            workers, self._settings, bus=self._bus, database=self._database, stack=self._stack, metrics=self._metrics
        )
