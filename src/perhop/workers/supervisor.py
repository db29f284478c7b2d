"""Processes that are kept running: begun again when they end, and ended in good order together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Backoff", "Change", "Program", "Supervisor"]

State = Literal["starting", "ready", "ended", "stopped", "killed"]

READY_FD = "--ready-fd"
"""The option by which a program is told where to write its port once it is ready."""

_KILLED_S = 5.0


@dataclass(frozen=True, slots=True)
class Program:
    """One process to be kept running.

    Attributes:
        command: takes the option :data:`READY_FD` and a number besides.
    """

    name: str
    command: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a program.

    Attributes:
        port: of its health and metrics, when it is ready.
        code: its exit code, negative for a signal, when it ended.
        again_s: when it is begun again.
    """

    name: str
    state: State
    pid: int | None = None
    port: int | None = None
    code: int | None = None
    again_s: float | None = None


class Backoff:
    """How long to wait before something is begun again: doubled each time, until it lasted.

    Args:
        first_s: after the first end.
        most_s: at most.
        lasted_s: what ran this long counts as having worked.
    """

    def __init__(self, *, first_s: float = 0.5, most_s: float = 30.0, lasted_s: float = 30.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._lasted_s = lasted_s
        self._next_s = first_s

    def after(self, ran_s: float) -> float:
        """The wait after a run of this length."""
        wait_s = self._first_s if ran_s >= self._lasted_s else self._next_s
        self._next_s = min(self._most_s, 2 * wait_s)
        return wait_s


class Supervisor:
    """Keeps programs running until it is told to stop. It never gives up on one: what is wrong may be set right.

    Args:
        tell: hears of every change.
        grace_s: between SIGTERM and SIGKILL.
        backoff: makes the waits of one program.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        tell: Callable[[Change], None],
        grace_s: float,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._programs = programs
        self._tell = tell
        self._grace_s = grace_s
        self._backoff = backoff
        self._stopping = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()

    async def run(self) -> None:
        """Returns when every process has ended after :meth:`stop`."""
        async with asyncio.TaskGroup() as group:
            for program in self._programs:
                group.create_task(self._keep(program))

    def stop(self) -> None:
        """Ends all of them: SIGTERM, and once more where it is called again; workers take the second for "now"."""
        self._stopping.set()
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    async def _keep(self, program: Program) -> None:
        backoff = self._backoff()
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            killed, code = await self._once(program)
            if self._stopping.is_set():
                self._tell(Change(name=program.name, state="killed" if killed else "stopped", code=code))
                return
            again_s = backoff.after(loop.time() - began)
            self._tell(Change(name=program.name, state="ended", code=code, again_s=again_s))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again_s):
                    await self._stopping.wait()

    async def _once(self, program: Program) -> tuple[bool, int]:
        """One run of a program: whether it had to be killed, and its exit code."""
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *program.command,
                READY_FD,
                str(writing),
                pass_fds=(writing,),
                stdin=asyncio.subprocess.DEVNULL,
                # Ctrl-C in a terminal is for us alone; we tell them.
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._running.add(process)
        if self._stopping.is_set():  # it came while the process was being made
            process.terminate()
        self._tell(Change(name=program.name, state="starting", pid=process.pid))
        watching = asyncio.create_task(self._watch(program, process.pid, reading))
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((ended,), timeout=None if ended.done() else self._grace_s)
            killed = not ended.done()
            if killed:
                process.kill()
            return killed, await ended
        finally:
            self._running.discard(process)
            for task in (watching, stopped, ended):
                task.cancel()
            await asyncio.wait((watching, stopped, ended))
            if process.returncode is None:  # we are being cancelled
                process.kill()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _KILLED_S)

    async def _watch(self, program: Program, pid: int, reading: int) -> None:
        """Hears when it is ready."""
        stream = asyncio.StreamReader(limit=64)
        with os.fdopen(reading, "rb", 0) as pipe:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stream), pipe
            )
            try:
                line = await stream.read(16)
            finally:
                transport.close()
        if line.strip().isdigit():
            self._tell(Change(name=program.name, state="ready", pid=pid, port=int(line)))
