"""A real PostgreSQL of the tests' own: in a temporary folder, on a Unix socket, gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import asyncpg

__all__ = ["PostgresServer", "find_program"]

_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    # Commits are written as they are in production; only what costs time and protects nothing here is off.
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "autovacuum": "off",
    "recovery_init_sync_method": "syncfs",
    "log_min_messages": "fatal",
}

_READY_S = 30.0


def find_program(name: str) -> str | None:
    """A program of PostgreSQL; Debian keeps the server's out of the PATH, one folder a version."""
    found = shutil.which(name)
    if found is not None:
        return os.path.realpath(found)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(versions[-1]) if versions else None


_SWEEP = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""


class PostgresServer:
    """A server that can be started, killed and started again; its data stays until :meth:`remove`.

    Args:
        fsync: commits wait until the disk has them. Without it a machine that loses its power loses commits; a process
            that is killed loses none.
        connections: at once, at most.
    """

    def __init__(self, *, fsync: bool = True, connections: int = 100) -> None:
        self._settings = _SETTINGS | {"fsync": "on" if fsync else "off", "max_connections": str(connections)}
        self._free: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="perhop-pg-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        # It refuses to run as root; whoever is not root runs it as themselves.
        self._user = _unprivileged() if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def url(self, name: str = "postgres") -> str:
        """The address of one database on it."""
        return f"postgresql+asyncpg://perhop@/{name}?host={self.folder}"

    def initialise(self) -> None:
        """Makes its data folder."""
        initdb = find_program("initdb")
        assert initdb is not None
        # fmt: off
        command = [initdb, "-D", str(self.folder / "data"), "-U", "perhop", "-A", "trust", "-E", "UTF8",
                   "--locale=C", "--no-sync", "--no-instructions"]
        # fmt: on
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **self._as_user())

    def start(self) -> None:
        """Starts it; :meth:`ready` waits until it answers."""
        postgres = find_program("postgres")
        assert postgres is not None
        command = [postgres, "-D", str(self.folder / "data"), "-k", str(self.folder)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self._log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            command, cwd=self.folder, stdout=self._log, stderr=self._log, **self._as_user()
        )

    async def ready(self) -> None:
        """Waits until it answers."""
        async with asyncio.timeout(_READY_S):
            while True:
                assert self.running, (self.folder / "log").read_text()
                try:
                    connection = await asyncpg.connect(host=str(self.folder), user="perhop", database="postgres")
                except (OSError, asyncpg.CannotConnectNowError):
                    await asyncio.sleep(0.02)
                    continue
                await connection.close()
                return

    async def new_database(self) -> str:
        """Makes an empty database; its address."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        connection = await asyncpg.connect(host=str(self.folder), user="perhop", database="postgres")
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return self.url(name)

    @asynccontextmanager
    async def lent_database(self) -> AsyncIterator[str]:
        """The address of an empty database, which others get afterwards, swept.

        One of its own for each test would be a copy of 7 MB in 300 files, and as many files to delete at the end.
        """
        url = self._free.pop() if self._free else await self.new_database()
        name = url.partition("@/")[2].partition("?")[0]
        connection = await asyncpg.connect(host=str(self.folder), user="perhop", database=name)
        try:
            await connection.execute(_SWEEP)
        finally:
            await connection.close()
        yield url
        self._free.append(url)

    def stop(self) -> None:
        """Ends it cleanly, connections included."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Ends it as a crash does: it writes nothing more and recovers at the next start."""
        self._end(signal.SIGQUIT)

    def crash(self) -> None:
        """Ends every process of it by SIGKILL, as the kernel does when memory runs out."""
        assert self._process is not None
        processes = [self._process.pid, *_children(self._process.pid)]
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end(signal.SIGKILL)
        # While one of them has its memory, no new server starts; they are not our children, so only a look tells.
        deadline = time.monotonic() + 10
        while any(_parent(pid) is not None for pid in processes):
            assert time.monotonic() < deadline, "a killed process does not end"
            time.sleep(0.002)

    def remove(self) -> None:
        """Ends it and deletes everything."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {}
        import pwd

        entry = pwd.getpwnam(self._user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _unprivileged() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _children(parent: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent(int(entry.name)) == parent]


def _parent(pid: int) -> int | None:
    """The parent of a process; None once it has ended."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(parent) if state not in "ZX" else None
