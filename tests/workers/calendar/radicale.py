"""A real CalDAV server for tests: Radicale on a free loopback port, its calendars in a temporary folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.bus.servers import _free_port

USER, PASSWORD = "clinic", "s3cret-pass"


@dataclass
class Radicale:
    """A server that runs, and can be stopped and started again with what it has.

    Attributes:
        folder: configuration, storage and log.
    """

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{USER}"

    def start(self) -> None:
        self.port = self.port or _free_port()
        users = self.folder / "users"
        users.write_text(f"{USER}:{PASSWORD}\n")
        command = [sys.executable, "-m", "radicale", "--config", "", "--server-hosts", f"127.0.0.1:{self.port}"]
        command += ["--auth-type", "htpasswd", "--auth-htpasswd-filename", str(users)]
        command += ["--auth-htpasswd-encryption", "plain", "--auth-delay", "0"]
        command += ["--storage-filesystem-folder", str(self.folder / "collections")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/", timeout=1)
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError(f"Radicale did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None

    def make_calendar(self, name: str) -> str:
        """The URL of a new, empty calendar."""
        response = httpx.request("MKCALENDAR", f"{self.url}/{name}/", auth=(USER, PASSWORD))
        assert response.status_code == 201, response.text
        return f"{self.url}/{name}/"

    def put(self, calendar: str, uid: str, *lines: str) -> None:
        """Adds an event as a person would."""
        event = ["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20261101T000000Z", *lines, "END:VEVENT"]
        body = "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test", *event, "END:VCALENDAR", ""])
        response = httpx.put(f"{calendar}{uid}.ics", content=body.encode(), auth=(USER, PASSWORD))
        assert response.status_code in (201, 204), response.text

    def delete(self, calendar: str, uid: str) -> None:
        assert httpx.delete(f"{calendar}{uid}.ics", auth=(USER, PASSWORD)).status_code in (200, 204)

    def objects(self, calendar: str) -> list[str]:
        """The whole of every object in a calendar."""
        folder = self.folder / "collections" / "collection-root" / USER / calendar.rstrip("/").rpartition("/")[2]
        return [path.read_text() for path in sorted(folder.glob("*.ics"))]


@pytest.fixture(scope="session")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radicale]:
    """One server for all tests; who wants it stopped starts it again."""
    if importlib.util.find_spec("radicale") is None:
        pytest.skip("Radicale is not installed (pip install radicale)")
    server = Radicale(tmp_path_factory.mktemp("radicale"))
    server.start()
    yield server
    server.stop()
