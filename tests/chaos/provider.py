"""A provider of effects in a process of its own: ``python -m tests.chaos.provider FILE``; prints its port.

``POST /charges`` knows idempotency keys: the same key again is answered as the first time and has no further effect.
``POST /letters`` knows none: every request is an effect. Each effect is on disk before it is answered, and the answer
is held back for a moment, so that whoever is killed then has had an effect it does not know of.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["effects"]

HELD_BACK_S = 0.01

_TABLE = """
CREATE TABLE IF NOT EXISTS effects (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, number TEXT NOT NULL, key TEXT UNIQUE, requests INTEGER NOT NULL)
"""


def effects(file: Path, kind: str) -> dict[str, int]:
    """How many effects of this kind there were, by number."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT number, count(*) FROM effects WHERE kind = ? GROUP BY number", (kind,))
        return dict(rows.fetchall())


def repeated(file: Path, kind: str) -> int:
    """How many requests came with a key that was known."""
    with closing(sqlite3.connect(file)) as database:
        (count,) = database.execute("SELECT coalesce(sum(requests - 1), 0) FROM effects WHERE kind = ?", (kind,))
        return int(count[0])


class _Book:
    """What there was, on disk."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(_TABLE)

    def write(self, kind: str, number: str, key: str | None) -> int:
        with self._lock:
            found = self._database.execute(
                "INSERT INTO effects (kind, number, key, requests) VALUES (?, ?, ?, 1) "
                "ON CONFLICT (key) DO UPDATE SET requests = requests + 1 RETURNING id",
                (kind, number, key),
            ).fetchone()
        return int(found[0])


def _handler(book: _Book) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = self.headers["Idempotency-Key"]
            if self.path == "/charges" and not key:
                self._answer(400, {"detail": "Idempotency-Key is missing"})
                return
            kind = self.path.strip("/")
            book.write(kind, body["number"], key if kind == "charges" else None)
            time.sleep(HELD_BACK_S)
            self._answer(200, {"number": body["number"]})

        def _answer(self, status: int, value: dict[str, object]) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked was killed, or has given up."""


def main() -> None:
    server = _Server(("127.0.0.1", 0), _handler(_Book(Path(sys.argv[1]))))
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
