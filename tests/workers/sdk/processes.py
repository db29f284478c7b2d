"""Worker processes for tests: started for real, killed for real."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

__all__ = ["WorkerProcess"]

ROOT = Path(__file__).parents[3]


class WorkerProcess:
    """``perhop worker run`` in a process of its own."""

    def __init__(self, reference: str, **environment: str) -> None:
        self._reference = reference
        self._environment = environment
        self.process: asyncio.subprocess.Process | None = None
        self.port = 0
        self._reading: asyncio.Task[None] | None = None
        self.output: list[str] = []

    async def start(self) -> None:
        """Returns once it takes calls."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "perhop",
            "worker",
            "run",
            self._reference,
            cwd=ROOT,
            env={**inherited, **self._environment, "PERHOP_LOG__FORMAT": "json"},
            stderr=asyncio.subprocess.PIPE,
        )
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(ready))
        async with asyncio.timeout(30):
            self.port = await ready

    async def _read(self, ready: asyncio.Future[int]) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode()
            self.output.append(text)
            found = re.search(r'"port": (\d+)', text)
            if found and "worker ready" in text and not ready.done():
                ready.set_result(int(found[1]))
        if not ready.done():
            ready.set_exception(RuntimeError("".join(self.output)))

    async def ended(self) -> int:
        """Its exit code, once it is gone."""
        assert self.process is not None
        async with asyncio.timeout(20):
            code = await self.process.wait()
            if self._reading is not None:
                await self._reading
        return code

    def terminate(self) -> None:
        assert self.process is not None
        self.process.terminate()

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        if self.process is not None:
            await self.ended()
