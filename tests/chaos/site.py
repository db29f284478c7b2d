"""Everything that a call with tools needs, each part in processes of its own: to be killed and to come back.

``perhop serve``, its model behind a WebSocket, two replicas of a worker, PostgreSQL, NATS, and a provider of effects.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import SecretStr
from tests.bus.servers import NatsServer
from tests.chaos.callers import Caller, Speaker, Talker, Writer
from tests.chaos.model import KEY, Journal
from tests.chaos.shop import Base
from tests.integration.gateway import Gateway, gateway
from tests.store.postgres import PostgresServer

from perhop.config import StoreSettings
from perhop.schemas import SCHEMAS
from perhop.store import Database, upgrade
from perhop.workers.supervisor import Backoff, Change, Program, Supervisor

__all__ = ["Replicas", "Site", "site"]

ROOT = Path(__file__).parents[2]
REPLICAS = 2
AGENT = "shop"

_SETTINGS = """
[server]
drain_s = 1
[store]
url = "{database}"
[bus]
url = "{bus}"
keep_bytes = 67_108_864
[brain]
stt_url = "{provider}"
tts_url = "{provider}"
[models.far]
url = "{model}"
key = "{key}"
[[agents]]
name = "shop"
model = "far"
tools = ["order", "charge", "look"]
turn_detection = {{ type = "server_vad", silence_duration_ms = 200 }}
filler_after_s = 60
[tools.order]
kind = "bus"
description = "Places an order."
timeout_s = 3
attempt_s = 0.8
[tools.look]
kind = "bus"
description = "Looks for orders."
effect = "none"
timeout_s = 3
attempt_s = 0.8
[tools.charge]
kind = "http"
description = "Charges an account."
method = "POST"
url = "{provider}/charges"
idempotent = true
timeout_s = 3
attempt_s = 1
"""
_PARAMETERS = """
[tools.{tool}.parameters]
properties = {{ number = {{ type = "string" }} }}
required = ["number"]
"""


class Replicas:
    """Workers that are begun again whenever they end, as ``perhop workers up`` does it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.moment = folder / "moment"
        self.deaths = 0
        settings = [f"{name}={value}" for name, value in environment.items()]
        worker = (sys.executable, "-m", "perhop", "worker", "run", "tests.chaos.shop:worker")
        log = ("sh", "-c", f'exec "$@" 2>>{folder}/workers', "sh")
        command = (*log, "env", f"--chdir={ROOT}", f"CHAOS_MOMENT={self.moment}", *settings, *worker)
        self._ready: set[str] = set()
        self._pids: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._supervisor = Supervisor(
            [Program(f"shop {index}", command) for index in range(REPLICAS)],
            tell=self._tell,
            grace_s=5.0,
            backoff=lambda: Backoff(first_s=0.01, most_s=0.01),
        )

    @property
    def pids(self) -> list[int]:
        """Of their processes."""
        return list(self._pids.values())

    async def run(self) -> None:
        """Until :meth:`stop`."""
        await self._supervisor.run()

    def stop(self) -> None:
        """In good order."""
        self._supervisor.stop()

    async def ready(self) -> None:
        """Returns once all of them take calls."""
        while len(self._ready) < REPLICAS:
            self._changed.clear()
            await self._changed.wait()

    async def death(self, after: int) -> None:
        """Returns once there were more deaths than this."""
        while self.deaths <= after:
            self._changed.clear()
            await self._changed.wait()

    def _tell(self, change: Change) -> None:
        if change.pid is not None:
            self._pids[change.name] = change.pid
        if change.state == "ready":
            self._ready.add(change.name)
        elif change.state == "ended":
            self._ready.discard(change.name)
            self.deaths += 1
        self._changed.set()


@dataclass
class Site:
    """All of it at work.

    Attributes:
        provided: the provider's file; see :func:`tests.chaos.provider.effects`.
        database: for looking, as the workers do.
    """

    folder: Path
    postgres: PostgresServer
    nats: NatsServer
    replicas: Replicas
    server: Gateway
    journal: Journal
    provided: Path
    database: Database
    callers: list[Caller] = field(default_factory=list)
    talking: dict[Caller, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def speakers(self) -> list[Speaker]:
        return [caller for caller in self.callers if isinstance(caller, Speaker)]

    async def place_calls(self, stack: AsyncExitStack, *, speakers: int, talkers: int, writers: int) -> None:
        """Starts conversations; ``stack`` ends those that still go on."""
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=self.server.url, timeout=10))
        for _ in range(speakers):
            speaker = Speaker()
            await stack.enter_async_context(speaker.light)
            await speaker.call(http, AGENT)
            self.callers.append(speaker)
        for make in [Talker] * talkers + [Writer] * writers:
            known = {call["id"] for call in await self.live()}
            caller = make()
            stack.push_async_callback(caller.hang_up)
            await caller.call(f"{self.server.ws}?agent={AGENT}")
            (caller.call_id,) = {call["id"] for call in await self.live()} - known
            self.callers.append(caller)
        stack.push_async_callback(self.end_calls)
        for caller in self.callers:
            self.talking[caller] = asyncio.create_task(caller.talk())

    async def visit(self) -> float:
        """A call that is placed now: one turn, then its caller hangs up. Returns when it was up."""
        visitor = Writer()
        try:
            await visitor.call(f"{self.server.ws}?agent={AGENT}")
            began = time.monotonic()
            await visitor.turn()
            return began
        finally:
            await visitor.hang_up()

    async def live(self) -> list[dict[str, object]]:
        """Calls as the API shows them."""
        return await asyncio.to_thread(self.server.live)

    def raise_ended(self) -> None:
        """Raises what ended a conversation, if anything did."""
        for task in self.talking.values():
            if task.done():
                task.result()

    async def end_calls(self) -> None:
        """Has everybody finish the turn they are in; idempotent."""
        for caller in self.callers:
            caller.stopping = True
        if self.talking:
            _, late = await asyncio.wait(self.talking.values(), timeout=10)
            for task in late:
                task.cancel()
            await asyncio.gather(*self.talking.values(), return_exceptions=True)

    async def hang_up(self) -> None:
        """Ends all calls."""
        for caller in self.callers:
            await caller.hang_up()


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """Starts everything in this folder, and ends it."""
    async with AsyncExitStack() as stack:
        postgres = PostgresServer()
        stack.callback(postgres.remove)
        await asyncio.to_thread(postgres.initialise)
        postgres.start()
        await postgres.ready()
        url = await postgres.new_database()
        database = await Database.open(StoreSettings(url=SecretStr(url)))
        stack.push_async_callback(_closed, database)
        for schema in SCHEMAS:
            await upgrade(database, schema)
        async with database.session() as session:
            await (await session.connection()).run_sync(Base.metadata.create_all)
        nats = NatsServer(folder / "nats")
        stack.callback(nats.stop)
        await asyncio.to_thread(nats.start)
        provided = folder / "provided"
        port = await _process(stack, "tests.chaos.provider", provided)
        model = await _process(stack, "tests.chaos.model", folder)
        provider = f"http://127.0.0.1:{port}"
        replicas = Replicas(
            folder,
            {
                "PERHOP_BUS__URL": nats.url,
                "PERHOP_WORKER__DATABASE": url,
                "PERHOP_LOG__FORMAT": "json",
                "PERHOP_LOG__LEVEL": "warning",
                "CHAOS_PROVIDER": provider,
            },
        )
        running = asyncio.create_task(replicas.run())
        stack.push_async_callback(_stopped, replicas, running)
        settings = _SETTINGS.format(database=url, bus=nats.url, model=model, key=KEY, provider=provider)
        settings += "".join(_PARAMETERS.format(tool=tool) for tool in ("order", "look", "charge"))
        starting = gateway(folder / "gateway", settings, inspected=False)
        server = await asyncio.to_thread(starting.__enter__)
        stack.callback(starting.__exit__, None, None, None)
        async with asyncio.timeout(60):
            await replicas.ready()
        with contextlib.suppress(PermissionError):  # what is measured is how it copes, not who else is busy here
            os.setpriority(os.PRIO_PROCESS, server.process.pid, -10)
        yield Site(folder, postgres, nats, replicas, server, Journal(folder), provided, database)


async def _process(stack: AsyncExitStack, module: str, argument: Path) -> str:
    """Starts a module of ours; returns the first line it prints."""
    process = subprocess.Popen([sys.executable, "-m", module, str(argument)], cwd=ROOT, stdout=subprocess.PIPE)  # noqa: ASYNC220 - a moment

    def end() -> None:
        process.kill()
        process.wait()

    stack.callback(end)
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).decode().strip()


async def _stopped(replicas: Replicas, running: asyncio.Task[None]) -> None:
    replicas.stop()
    await asyncio.wait([running], timeout=15)


async def _closed(database: Database) -> None:
    with contextlib.suppress(Exception):
        await database.close()
