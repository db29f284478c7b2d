"""`perhop serve` as people start it: a process of its own, on a free port, ready when it says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

__all__ = ["running_server"]

ROOT = Path(__file__).parents[2]
PERHOP = Path(sys.executable).with_name("perhop")

_READY_WITHIN_S = 60.0


@contextmanager
def running_server(data: Path, *options: str) -> Iterator[str]:
    """Starts a server with the agents of the repository's ``perhop.toml``.

    Yields:
        Its base URL. What it logs is in ``data / "server.log"``, and in the error when it does not start.
    """
    log = data / "server.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
    command = [str(PERHOP), "serve", "--port", "0", "--data", str(data), *options]
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, stdout=sink, stderr=sink, cwd=ROOT, env=environment) as server,
    ):
        try:
            yield _ready_url(server, log)
        finally:
            server.terminate()
            server.wait(20)


def _ready_url(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        announced = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
        if announced and httpx.get(f"{announced.group()}/readyz").status_code == 200:
            return announced.group()
        time.sleep(0.1)
    raise RuntimeError(f"perhop serve is not ready (exit code {server.poll()}):\n{log.read_text()[-4000:]}")
