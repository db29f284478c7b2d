"""A process that runs workers: from settings and signals to an orderly end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import text

from perhop.config import ConfigError, Settings, StoreSettings
from perhop.store import Database, StoreDownError
from perhop.tools.bus import Bus, open_bus
from perhop.workers.sdk.host import WorkerHost
from perhop.workers.sdk.http import HealthServer
from perhop.workers.sdk.metrics import WorkerMetrics
from perhop.workers.sdk.worker import Worker

__all__ = ["run_workers", "worker_store"]

_log = structlog.get_logger(__name__)

_SPARE_CONNECTIONS = 3
_MAX_CONNECTIONS = 50


def worker_store(settings: Settings, worker: Worker) -> StoreSettings:
    """Where a worker keeps its tables."""
    url = settings.worker.database or settings.store.url
    changes: dict[str, object] = {"pool": min(_MAX_CONNECTIONS, worker.concurrency + _SPARE_CONNECTIONS)}
    if url is None:
        file = Path(settings.server.data) / f"{worker.name}.db"
        return StoreSettings.model_validate({**settings.store.model_dump(), **changes, "url": f"sqlite:///{file}"})
    return StoreSettings.model_validate({**settings.store.model_dump(), **changes, "url": url})


async def run_workers(
    workers: Sequence[Worker], settings: Settings, *, on_ready: Callable[[int], None] = lambda _: None
) -> None:
    """Runs workers until SIGTERM or SIGINT, then lets their calls end; a second signal ends them at once.

    A bus that is away is waited for; a database that is away at the start is an error.

    Args:
        on_ready: called with the port of health and metrics once calls are taken, or will be when the bus is there.

    Raises:
        ConfigError: ``bus.url`` is not set.
        StoreError: a database cannot be used.
        PerhopError: the port for health and metrics is taken.
    """
    if settings.bus.url is None:
        raise ConfigError("a worker process needs bus.url, for example PERHOP_BUS__URL=nats://127.0.0.1:4222")
    stop, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        (at_once if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    names = ",".join(worker.name for worker in workers)
    async with AsyncExitStack() as stack:
        metrics = WorkerMetrics()
        databases = [await _open(worker, settings, stack) for worker in workers]
        bus = await open_bus(settings.bus, name=f"perhop worker {names}")
        stack.push_async_callback(bus.close)
        keep = timedelta(days=settings.worker.keep_outcomes_days)
        hosts = [
            await WorkerHost.open(worker, bus=bus, database=database, metrics=metrics, keep_outcomes=keep)
            for worker, database in zip(workers, databases, strict=True)
        ]

        async def missing() -> list[str]:
            if stop.is_set():
                return ["draining"]
            return await _missing(bus, databases)

        health = HealthServer(settings.worker.host, settings.worker.port, missing=missing, metrics=metrics)
        serving = loop.create_task(health.run_here())
        _log.info("worker ready", workers=names, port=health.port, bus=bus.connected)
        on_ready(health.port)
        await stop.wait()
        _log.info("worker drains", workers=names, seconds=settings.worker.drain_s)
        await _drain(hosts, settings.worker.drain_s, at_once)
        health.should_exit = True
        await asyncio.wait([serving], timeout=5)
    _log.info("worker ended", workers=names)


async def _open(worker: Worker, settings: Settings, stack: AsyncExitStack) -> Database:
    database = await Database.open(worker_store(settings, worker), data=settings.server.data)
    stack.push_async_callback(database.close)
    return database


async def _missing(bus: Bus, databases: Sequence[Database]) -> list[str]:
    missing = [] if bus.connected else ["bus"]
    for database in databases:
        try:
            async with database.session(reading=True) as session:
                await session.execute(text("SELECT 1"))
        except StoreDownError:
            missing.append("database")
            break
    return missing


async def _drain(hosts: Sequence[WorkerHost], grace_s: float, at_once: asyncio.Event) -> None:
    closing = asyncio.gather(*(host.close(grace_s=grace_s) for host in hosts))
    impatient = asyncio.ensure_future(at_once.wait())
    await asyncio.wait((closing, impatient), return_when=asyncio.FIRST_COMPLETED)
    impatient.cancel()
    if not closing.done():
        closing.cancel()
        await asyncio.wait([closing])
        return
    closing.result()
