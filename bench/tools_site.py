"""Everything ``bench/tools.py`` measures, started for real: NATS, PostgreSQL, worker processes, a gateway's part."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from tests.bus.servers import NatsServer
from tests.store.postgres import PostgresServer

from perhop.config import StoreSettings, load_settings
from perhop.schemas import SCHEMAS
from perhop.store import Database, upgrade
from perhop.tools import Tool, ToolContext
from perhop.tools.bus import Bus, NatsBus, discover
from perhop.tools.effects.store import StoreLedger
from perhop.tools.guard import Guard
from perhop.tools.result import ToolResult
from perhop.tools.runner import RunnerLimits, ToolRunner
from perhop.tools.services import ToolServices
from perhop.workers.hosting import REFERENCE, make_worker
from perhop.workers.sdk import Site as WorkerSite
from perhop.workers.sdk import Worker
from tools_asks import CONFIG, TENANT, Inside, over_bus, seed
from tools_workers import Base, trivial

__all__ = ["PROCESSES", "REPLICAS", "Site", "site"]

REPLICAS = 3
PROCESSES = {**dict.fromkeys(REFERENCE, 1), **dict.fromkeys(("crm", "listings", "tools_workers:trivial"), REPLICAS)}
"""How many of each worker."""

CONNECTIONS = 600
KEEP_BYTES = 64 << 20
_READY_S = 120


class WorkerProcesses:
    """``perhop worker run`` in processes of their own."""

    def __init__(self, config: Path, nats_url: str, database_url: str) -> None:
        self._environment = {
            **os.environ,
            "PERHOP_CONFIG": str(config),
            "PERHOP_BUS__URL": nats_url,
            "PERHOP_BUS__KEEP_BYTES": str(KEEP_BYTES),
            "PERHOP_WORKER__DATABASE": database_url,
            "PERHOP_LOG__FORMAT": "json",
        }
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, reference: str) -> None:
        """Returns once it takes calls."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "perhop", "worker", "run", reference),
            cwd=Path(__file__).parent,
            env=self._environment,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        ready = asyncio.Event()
        self._readers.append(asyncio.create_task(self._read(process, ready)))
        async with asyncio.timeout(_READY_S):
            await ready.wait()

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"worker ready" in line:
                ready.set()
            elif re.search(rb'"level": "(warning|error)"|Traceback|Error', line):
                sys.stderr.buffer.write(line)

    async def close(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await asyncio.gather(*self._readers)


@dataclass
class Site:
    """A gateway's tools, and the workers as they are run elsewhere and can be run here.

    Attributes:
        workers: by name; in this process they serve nothing.
        done: calls that were answered with a result, by tool.
    """

    runner: ToolRunner
    bus: Bus
    database: Database
    workers: dict[str, Worker]
    done: Counter[str] = field(default_factory=Counter)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def inside(self, worker: str, tool: str) -> Tool:
        """A tool of a worker, run here."""
        return Inside.of(self.workers[worker].tools[tool], self.workers[worker], self.database)

    def remote(self, worker: str, tool: str) -> Tool:
        """The same, run by whichever process takes it."""
        return over_bus(self.workers[worker].tools[tool])

    async def call(self, tool: Tool, arguments: dict[str, object]) -> ToolResult:
        """What happens when a model calls a function."""
        number = next(self.numbers)
        context = ToolContext(call_id=f"rtc_{number}", agent="bench", tenant=TENANT, function_call_id=f"call_{number}")
        result = await self.runner.run(tool, json.dumps(arguments), context)
        self.done[tool.name] += result.ok
        return result

    async def told(self, worker: str, tool: str, arguments: dict[str, object]) -> dict[str, object]:
        """Has a worker do something, and returns what it said."""
        result = await self.call(self.remote(worker, tool), arguments)
        assert result.ok, result.output
        value: dict[str, object] = json.loads(result.output)
        return value


@asynccontextmanager
async def site(console: Console) -> AsyncIterator[Site]:
    """Starts everything, fills the tables, and ends it all."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perhop-bench-")))
        nats = NatsServer(folder / "nats")
        nats.start()
        stack.callback(nats.stop)
        postgres = PostgresServer(connections=CONNECTIONS)
        stack.callback(postgres.remove)
        postgres.initialise()
        postgres.start()
        await postgres.ready()
        url = await postgres.new_database()
        database = await Database.open(StoreSettings(url=SecretStr(url), pool=10))
        stack.push_async_callback(database.close)
        config = folder / "perhop.toml"
        config.write_text(CONFIG, encoding="utf-8")
        settings = load_settings(config)
        guard = Guard()
        stack.push_async_callback(guard.aclose)
        workers = {name: make_worker(name, settings, guard) for name in REFERENCE} | {"trivial": trivial}
        for schema in (*SCHEMAS, *(schema for worker in workers.values() for schema in worker.schemas)):
            await upgrade(database, schema)
        async with database.session() as session:
            await (await session.connection()).run_sync(Base.metadata.create_all)
        bus = await NatsBus.open(nats.settings(), wait_s=5)
        stack.push_async_callback(bus.close)
        processes = WorkerProcesses(config, nats.url, url)
        stack.push_async_callback(processes.close)
        console.print(f"[dim]starting {sum(PROCESSES.values())} workers[/]")
        await asyncio.gather(*(processes.start(one) for one, count in PROCESSES.items() for _ in range(count)))
        replicas = {offer.worker: offer.replicas for offer in await discover(bus, timeout_s=2.0)}
        assert replicas == {_name(one): count for one, count in PROCESSES.items()}, replicas
        for background in workers["listings"].backgrounds:  # its sample homes, which the processes put there
            await background(WorkerSite(bus=bus, database=database))
        await seed(database)
        ledger = StoreLedger(database)
        stack.push_async_callback(ledger.close)
        runner = ToolRunner(limits=RunnerLimits(running=1_000), services=ToolServices(bus=bus), effects=ledger)
        stack.push_async_callback(runner.close)
        yield Site(runner, bus, database, workers)


def _name(reference: str) -> str:
    """Of the worker at this address."""
    return reference.rpartition(":")[2]
