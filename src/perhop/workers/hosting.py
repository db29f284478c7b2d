"""The workers that come with Perhop, by name, and workers at home inside ``perhop serve``.

A worker's package has a function ``make_worker(settings, guard)`` in its module ``worker``; :data:`REFERENCE` says
where that is. Whoever adds a worker adds a line there, and a table of settings in :mod:`perhop.config.workers`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from perhop.config import Settings
from perhop.errors import PerhopError
from perhop.store import Database
from perhop.tools.bus import Bus
from perhop.tools.guard import Guard
from perhop.workers.sdk.host import WorkerHost
from perhop.workers.sdk.loading import load_worker
from perhop.workers.sdk.metrics import WorkerMetrics
from perhop.workers.sdk.process import worker_store
from perhop.workers.sdk.worker import Worker

__all__ = ["REFERENCE", "MakeWorker", "hosted_workers", "make_worker", "start_hosted"]

MakeWorker = Callable[[Settings, Guard], Worker]
"""Makes a worker of settings; touches neither network nor database."""

REFERENCE = MappingProxyType(
    {
        "listings": "perhop.workers.listings.worker",
        "calendar": "perhop.workers.calendar.worker",
        "crm": "perhop.workers.crm.worker",
        "sms": "perhop.workers.sms.worker",
        "transcript": "perhop.workers.transcript.worker",
        "audit": "perhop.workers.audit.worker",
    }
)
"""Modules of the workers that come with Perhop."""


def make_worker(reference: str, settings: Settings, guard: Guard, *, folder: Path | None = None) -> Worker:
    """The worker of this name, or the one at ``module:worker``.

    Args:
        guard: its way out.
        folder: where modules are looked for, before those that are installed.

    Raises:
        PerhopError: there is none.
    """
    module = REFERENCE.get(reference)
    if module is not None:
        make: MakeWorker = importlib.import_module(module).make_worker
        return make(settings, guard)
    if ":" not in reference:
        names = ", ".join(REFERENCE)
        raise PerhopError(f'there is no worker {reference[:64]!r}; there are: {names}, and your own as "module:worker"')
    return load_worker(reference, folder=folder)


def hosted_workers(settings: Settings, guard: Guard, *, also: Iterable[str] = ()) -> list[Worker]:
    """The workers that run inside ``perhop serve``: none when there is a bus to reach them by.

    Args:
        also: tools on the bus that are wanted besides those that the agents of the settings name.

    Raises:
        PerhopError: one of those named is not there.
    """
    if settings.bus.url is not None:
        return []
    if settings.workers.hosted is not None:
        return [make_worker(one, settings, guard, folder=settings.base_dir) for one in settings.workers.hosted]
    wanted = _bus_tools(settings) | set(also)
    if not wanted:
        return []
    made = [make_worker(name, settings, guard) for name in REFERENCE]
    return [worker for worker in made if wanted & set(worker.tools)]


async def start_hosted(
    workers: Sequence[Worker],
    settings: Settings,
    *,
    bus: Bus,
    database: Database,
    stack: AsyncExitStack,
    metrics: WorkerMetrics | None = None,
) -> list[WorkerHost]:
    """Serves workers on the bus of this process; ``stack`` ends them.

    They keep their tables in the gateway's own database, unless ``worker.database`` names another one.

    Raises:
        StoreError: a database cannot be used.
        BusError: two workers serve the same tool.
    """
    metrics = metrics or WorkerMetrics()
    hosts = []
    for worker in workers:
        used = database
        if settings.worker.database is not None:
            used = await Database.open(worker_store(settings, worker), data=settings.server.data)
            stack.push_async_callback(used.close)
        host = await WorkerHost.open(
            worker,
            bus=bus,
            database=used,
            metrics=metrics,
            keep_outcomes=timedelta(days=settings.worker.keep_outcomes_days),
        )
        stack.push_async_callback(host.close)
        hosts.append(host)
    return hosts


def _bus_tools(settings: Settings) -> set[str]:
    """Names on the bus that agents refer to."""
    references: Iterable[str] = (one for agent in settings.agents for one in agent.tools if one.startswith("bus:"))
    return {one.removeprefix("bus:") for one in references}
