"""``perhop serve`` in a process of its own, with everything that can be seen of it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.frames import OFFENCES_FILE

__all__ = ["Gateway", "eventually", "gateway"]

ROOT = Path(__file__).parents[2]
_START_S = 60.0
_SECRET = "whsec_" + "A" * 32


async def eventually(condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """Waits for what another process does in its own time; returns what the condition returned."""
    deadline = time.monotonic() + within_s
    while not (found := await asyncio.to_thread(condition)):
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        await asyncio.sleep(0.02)
    return found


class Gateway:
    """A server that runs.

    Attributes:
        url: its base URL.
        process: of the server.
        hooks: webhooks that it sent, in the order they came.
    """

    def __init__(
        self, folder: Path, settings: str, hooks: list[dict[str, Any]], hook_port: int, *, inspected: bool
    ) -> None:
        self.hooks = hooks
        self._log = folder / "log"
        (folder / "perhop.toml").write_text(
            f"""{settings}
[log]
format = "json"
[outgoing]
networks = ["127.0.0.0/8"]
[[webhooks]]
url = "http://127.0.0.1:{hook_port}/"
secret = "{_SECRET}"
""",
            encoding="utf-8",
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
        environment[OFFENCES_FILE] = str(folder / "offences")
        environment["PYTHONPATH"] = str(ROOT)
        module = "tests.frames" if inspected else "perhop"
        command = [sys.executable, "-m", module, "serve", "--echo", "--port", "0", "--data", str(folder)]
        with self._log.open("wb") as sink:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=sink, stderr=sink)
        self.url = self._wait()
        self._http = httpx.Client(base_url=self.url, timeout=10)

    @property
    def ws(self) -> str:
        """The address of its WebSocket."""
        return f"{self.url.replace('http', 'ws', 1)}/v1/realtime"

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def live(self) -> list[dict[str, Any]]:
        """Calls that live, as the API shows them."""
        found: list[dict[str, Any]] = self._http.get("/api/calls").raise_for_status().json()
        return found

    def log(self, event: str) -> list[dict[str, Any]]:
        """Lines of the log about this event."""
        return [line for line in self.lines() if line["event"] == event]

    def lines(self) -> list[dict[str, Any]]:
        """All of the log that is in its format."""
        return [json.loads(line) for line in self._log.read_text("utf-8").splitlines() if line.startswith("{")]

    def figure(self, name: str, **labels: str) -> float:
        """One figure of ``/metrics``; 0 when it is not there."""
        for family in text_string_to_metric_families(self._http.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

    def told(self, kind: str, call_id: str) -> dict[str, Any] | None:
        """The webhook of this type about this call."""
        return next((hook for hook in self.hooks if hook["type"] == kind and hook["data"]["call_id"] == call_id), None)

    async def ended(self, call_id: str, *, within_s: float = 10.0) -> str:
        """Waits for the end of a call; returns the reason that webhook, API, log and metrics agree on."""
        hook = await eventually(lambda: self.told("perhop.call.ended", call_id), within_s=within_s)
        reason: str = hook["data"]["reason"]
        transport = hook["data"]["transport"]
        line = next(line for line in self.log("call ended") if line["call_id"] == call_id)
        assert line["reason"] == reason
        assert line["tenant"] == "default"
        if self.process.poll() is None:
            shown = await asyncio.to_thread(self._http.get, f"/api/calls/{call_id}")
            assert shown.json()["ended"] == reason
            same = [each["data"] for each in self.hooks if each["type"] == "perhop.call.ended"]
            count = sum((each["reason"], each["transport"]) == (reason, transport) for each in same)
            figure = await asyncio.to_thread(
                self.figure, "perhop_calls_ended_total", reason=reason, transport=transport
            )
            assert figure >= count >= 1
        return reason

    def close(self) -> None:
        self._http.close()
        self.process.kill()
        self.process.wait()

    def _wait(self) -> str:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"https?://127\.0\.0\.1:\d+", self._log.read_text("utf-8", errors="replace"))
            if found:
                return found.group()
            time.sleep(0.02)
        raise RuntimeError(f"it does not start ({self.process.poll()}):\n{self._log.read_text('utf-8')[-3000:]}")


@contextmanager
def gateway(folder: Path, settings: str = "", *, inspected: bool = True) -> Iterator[Gateway]:
    """Starts a server with these settings, and a receiver of its webhooks.

    Args:
        inspected: every frame it sends is looked at, which costs time that a measurement has not.
    """
    folder.mkdir(exist_ok=True)
    hooks: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hooks.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
    try:
        server = Gateway(folder, settings, hooks, receiver.server_port, inspected=inspected)
        try:
            yield server
        finally:
            server.close()
    finally:
        receiver.shutdown()
        receiver.server_close()
