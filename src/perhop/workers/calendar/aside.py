"""A process beside, for what would hold up the event loop: in `perhop serve` that one paces the audio of all calls.

Reading a calendar takes a third of a millisecond an event, and iCalendar is written as slowly. A thread would not help:
it hands the interpreter back every five milliseconds only.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from perhop.errors import PerhopError
from perhop.workers.calendar.aside_tasks import HEAD
from perhop.workers.calendar.ical import Busy, CalendarError, Entry

__all__ = ["Aside", "AsideError", "Reading"]

_AT_ONCE = 500
"""Bookings in one request."""

_MAX_ANSWER = 64 << 20


class AsideError(PerhopError):
    """The process died or took too long; another one is started for the next request."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a calendar elsewhere has.

    Attributes:
        unread: objects that could not be read, or recur too often.
    """

    busy: Sequence[Busy]
    unread: int


class Aside:
    """Reads and writes calendars in a process of its own: one at most, started when it is first needed.

    Args:
        timeout_s: one request; then the process is killed.
    """

    def __init__(self, *, timeout_s: float = 20.0) -> None:
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def read(self, report: bytes, begin: datetime, end: datetime, *, zone: ZoneInfo, own: str) -> Reading:
        """Reads the answer to a CalDAV report; its arguments are those of
        :func:`~perhop.workers.calendar.ical.busy_times`.

        Raises:
            CalendarError: it is none, or too much.
            AsideError: nobody could read it.
        """
        head = {"begin": begin.timestamp(), "end": end.timestamp(), "zone": str(zone), "own": own}
        told, _ = await self._ask({"do": "busy", **head}, report)
        busy = [
            Busy(uid, datetime.fromtimestamp(starts_at, UTC), datetime.fromtimestamp(ends_at, UTC))
            for uid, starts_at, ends_at in told["busy"]
        ]
        return Reading(busy, told["unread"])

    async def write(self, bookings: Iterable[Entry], *, title: str) -> bytes:
        """Bookings as iCalendar. Raises AsideError."""
        entries = list(bookings)
        calendar = b""
        for start in range(0, max(1, len(entries)), _AT_ONCE):
            body = orjson.dumps(entries[start : start + _AT_ONCE])
            _, piece = await self._ask({"do": "write", "title": title}, body)
            calendar = _joined(calendar, piece)
        return calendar

    async def sequence(self, data: bytes) -> int:
        """The revision of the event in a calendar object; -1 when there is none. Raises as :meth:`read` does."""
        told, _ = await self._ask({"do": "sequence"}, data)
        return int(told["sequence"])

    async def close(self) -> None:
        """Ends the process. Idempotent."""
        self._closed = True
        await self._kill()

    async def _ask(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    told, answer = await self._exchange(orjson.dumps(head), body)
            except (TimeoutError, asyncio.IncompleteReadError, OSError, ValueError) as error:
                await self._kill()
                raise AsideError(f"a calendar could not be read or written ({type(error).__name__})") from None
            except BaseException:
                await self._kill()  # its answer would be taken for that to the next request
                raise
        if "error" in told:
            raise CalendarError(str(told["error"]))
        return told, answer

    async def _exchange(self, head: bytes, body: bytes) -> tuple[dict[str, Any], bytes]:
        process = await self._alive()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(HEAD.pack(len(head), len(body)) + head)
        process.stdin.write(body)
        await process.stdin.drain()
        lengths = HEAD.unpack(await process.stdout.readexactly(HEAD.size))
        if sum(lengths) > _MAX_ANSWER:
            raise ValueError("too long")
        told = orjson.loads(await process.stdout.readexactly(lengths[0]))
        return told, await process.stdout.readexactly(lengths[1])

    async def _alive(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise AsideError("the worker ends")
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "perhop.workers.calendar.aside_tasks"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())


def _joined(calendar: bytes, piece: bytes) -> bytes:
    """One calendar with the events of both."""
    if not calendar:
        return piece
    end = b"END:VCALENDAR\r\n"
    return calendar.removesuffix(end) + piece[piece.index(b"BEGIN:VEVENT") :]
