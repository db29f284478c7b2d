"""`perhop serve` as people start it: a process of its own, on a free port, ready when it says so.

Only that what it sends to clients is looked at; see :mod:`tests.frames`.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.frames import OFFENCES_FILE

__all__ = ["Server", "running_server"]

ROOT = Path(__file__).parents[2]

_READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    log: Path
    offences: Path

    def live_calls(self, *, waiting: bool = False) -> int:
        """How many calls it has now whose caller is there; or, whose caller was lost and may come back."""
        answer = httpx.get(f"{self.url}/api/calls", headers={"authorization": "Bearer test"})
        return sum(call["waiting"] is waiting for call in answer.raise_for_status().json())


@contextmanager
def running_server(data: Path, *options: str, trust: Path | None = None) -> Iterator[Server]:
    """Starts a server with the agents of the repository's ``perhop.toml``; an error holds the end of its log.

    Args:
        trust: the certificate of a server whose options turn TLS on.
    """
    log, offences = data / "server.log", data / "offences"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
    environment[OFFENCES_FILE] = str(offences)
    command = [sys.executable, "-m", "tests.frames", "serve", "--port", "0", "--data", str(data), *options]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, cwd=ROOT, env=environment)
    try:
        yield Server(_ready_url(process, log, trust), log, offences)
    finally:
        process.terminate()
        process.wait(20)


def _ready_url(process: subprocess.Popen[bytes], log: Path, trust: Path | None) -> str:
    verify = True if trust is None else ssl.create_default_context(cafile=trust)
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        announced = re.search(r"https?://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
        if announced and httpx.get(f"{announced.group()}/readyz", verify=verify).status_code == 200:
            return announced.group()
        time.sleep(0.1)
    raise RuntimeError(f"perhop serve is not ready (exit code {process.poll()}):\n{log.read_text()[-4000:]}")
