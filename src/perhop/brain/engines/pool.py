"""Several processes of one engine: started together, restarted when they die, the least busy one taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from perhop.brain.engines.process import EngineCommand, EngineProcess, Listener, Stream
from perhop.brain.providers import BrainError

__all__ = ["Backoff", "EnginePool", "EngineStatus"]

_log = structlog.get_logger(__name__)


class Backoff:
    """How long to wait before a restart: not at all after a process that lived a while, then 0.1 s, doubling to 5 s."""

    FIRST_S = 0.1
    LIMIT_S = 5.0
    HEALTHY_S = 30.0

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived_s: float) -> float:
        """Seconds to wait before the process that lived so long is replaced."""
        if lived_s >= self.HEALTHY_S:
            self._next = 0.0
        delay, self._next = self._next, min(self.LIMIT_S, max(self.FIRST_S, self._next * 2))
        return delay


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One process, for health checks and metrics.

    Attributes:
        restarts: how often the process in this place had to be replaced.
        dropped_bytes: input of the present process that was dropped because it was too far behind.
    """

    name: str
    pid: int | None
    ready: bool
    streams: int
    restarts: int
    dropped_bytes: int


class EnginePool:
    """Keeps ``size`` processes of one engine running between ``start`` and ``close``."""

    def __init__(self, command: EngineCommand, *, size: int = 1) -> None:
        self._command = command
        self._places = [_Place(command) for _ in range(size)]

    @property
    def ready(self) -> bool:
        """Whether every process can work."""
        return all(place.process is not None and place.process.ready for place in self._places)

    @property
    def running(self) -> bool:
        """Whether ``start`` was called and ``close`` was not."""
        return any(place.task is not None for place in self._places)

    async def start(self) -> None:
        """Starts all processes at once and returns when they are ready.

        Raises:
            BrainError: ``engine_unavailable``: one did not start; nothing is left running then.
        """
        self.begin()
        try:
            await asyncio.gather(*(place.wait_ready() for place in self._places))
        except BrainError:
            await self.close()
            raise

    def begin(self) -> None:
        """Starts all processes in the background; streams can be opened a moment later."""
        for place in self._places:
            place.begin()

    def open(self, request: Mapping[str, object], listener: Listener) -> Stream:
        """Starts a stream on the process with the fewest; it stays there.

        Raises:
            BrainError: ``engine_overloaded``, or ``engine_lost`` while none runs.
        """
        processes = [place.process for place in self._places if place.process is not None]
        accepting = [process for process in processes if process.accepting]
        if accepting:
            return min(accepting, key=lambda process: process.streams).open(request, listener)
        if processes:
            return processes[0].open(request, listener)  # says why not
        raise BrainError("engine_lost", f"the {self._command.name} engine is not running; try again")

    def status(self) -> list[EngineStatus]:
        """Every process as it is now."""
        return [place.status() for place in self._places]

    async def close(self) -> None:
        """Ends all processes; open streams fail with ``engine_lost``."""
        await asyncio.gather(*(place.close() for place in self._places))


class _Place:
    """Where one process runs, and the next one after it."""

    def __init__(self, command: EngineCommand) -> None:
        self._command = command
        self.process: EngineProcess | None = None
        self.task: asyncio.Task[None] | None = None
        self.restarts = 0

    def begin(self) -> None:
        if self.task is None:
            self._spawn()
            self.task = asyncio.get_running_loop().create_task(
                self._keep_running(), name=f"{self._command.name} engine"
            )

    async def wait_ready(self) -> None:
        if self.process is None:
            raise BrainError("engine_unavailable", f"the {self._command.name} engine cannot be started")
        await self.process.wait_ready()

    async def close(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if self.process is not None:  # the task had not even begun
                await self.process.end()
                self.process = None

    def status(self) -> EngineStatus:
        process = self.process
        return EngineStatus(
            name=self._command.name,
            pid=process.pid if process is not None else None,
            ready=process is not None and process.ready,
            streams=process.streams if process is not None else 0,
            restarts=self.restarts,
            dropped_bytes=process.dropped_bytes if process is not None else 0,
        )

    async def _keep_running(self) -> None:
        backoff = Backoff()
        while True:
            began = time.monotonic()
            if self.process is not None:
                try:
                    await self.process.run()
                finally:
                    self.process = None
            self.restarts += 1
            delay = backoff.after(time.monotonic() - began)
            _log.warning("engine ended", engine=self._command.name, restarts=self.restarts, restart_in_s=delay)
            await asyncio.sleep(delay)
            self._spawn()

    def _spawn(self) -> None:
        try:
            self.process = EngineProcess(self._command)
        except OSError as error:
            _log.error("engine cannot be started", engine=self._command.name, error=type(error).__name__)
