"""For tests of workers: one that runs in the test's own process, and a way to call its tools."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from perhop.config import StoreSettings
from perhop.store import Database
from perhop.tools import wire
from perhop.tools.base import ToolContext
from perhop.tools.bus import Bus, InProcessBus, tool_subject
from perhop.workers.sdk.host import WorkerHost
from perhop.workers.sdk.worker import Worker

__all__ = ["WorkerBench", "running"]


class WorkerBench:
    """Calls the tools of a worker the way a gateway does.

    Attributes:
        bus: that the worker is on.
        database: of the worker.
    """

    def __init__(self, host: WorkerHost, bus: Bus, database: Database) -> None:
        self.host = host
        self.bus = bus
        self.database = database
        self._numbers = itertools.count(1)

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any] | None = None,
        *,
        tenant: str = "default",
        call_id: str = "rtc_test",
        function_call_id: str | None = None,
        timeout_s: float = 30.0,
    ) -> Any:
        """Calls a tool and returns its result.

        Args:
            function_call_id: the same again is a repetition; a fresh one when None.

        Raises:
            RemoteError: the tool did not do it; ``code`` says why.
        """
        context = ToolContext(
            call_id=call_id,
            agent="test",
            tenant=tenant,
            function_call_id=function_call_id or f"call_{next(self._numbers)}",
        )
        payload = await self.bus.request(
            tool_subject(tenant, tool),
            json.dumps(arguments or {}).encode(),
            headers=wire.context_headers(context),
            timeout_s=timeout_s,
        )
        return json.loads(payload)


@asynccontextmanager
async def running(worker: Worker, *, database: Database | Path, bus: Bus | None = None) -> AsyncIterator[WorkerBench]:
    """Runs a worker as long as the block lasts.

    Args:
        database: an open one, or the folder for a file.
        bus: the one inside the process when None.
    """
    own: Database | None = None
    if isinstance(database, Path):
        url = SecretStr(f"sqlite:///{database / f'{worker.name}.db'}")
        database = own = await Database.open(StoreSettings(url=url))
    used = bus or InProcessBus()
    host: WorkerHost | None = None
    try:
        host = await WorkerHost.open(worker, bus=used, database=database)
        if bus is not None:
            await bus.flush()
        yield WorkerBench(host, used, database)
    finally:
        if host is not None:
            await host.close(grace_s=1)
        if bus is None:
            await used.close()
        if own is not None:
            await own.close()
