"""What the process beside does: reads requests, answers each, ends when there are no more. Run as a module."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from struct import Struct
from typing import Any, BinaryIO, Final
from zoneinfo import ZoneInfo

import orjson
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from perhop.workers.calendar import ical

__all__ = ["HEAD", "answer", "serve"]

HEAD: Final = Struct("<II")
"""A request and its answer: the lengths of their head, which is JSON, and of their body; then both."""

MAX_OBJECTS: Final = 5_000
"""Objects of one calendar that are read; further ones are left out."""

OBJECT_S: Final = 0.5
CALENDAR_S: Final = 8.0
"""CPU time for one object, and for all of a calendar, whatever their rules are."""

_TIMES: Final = ("starts_at", "ends_at", "created_at", "updated_at")

_DATA = "{urn:ietf:params:xml:ns:caldav}calendar-data"


def answer(head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """One request.

    ``busy``: a CalDAV report → the time that events take, and how many could not be read. ``write``: bookings →
    iCalendar. ``sequence``: an object → its revision. What cannot be done is ``{"error": …}``.
    """
    try:
        match head["do"]:
            case "busy":
                return _busy(head, body), b""
            case "write":
                entries = [_entry(one) for one in orjson.loads(body)]
                return {}, ical.feed(entries, title=head["title"])
            case _:
                with _at_most(OBJECT_S):
                    return {"sequence": ical.sequence_of(body)}, b""
    except ical.CalendarError as error:
        return {"error": str(error)}, b""


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers until there are no more requests."""
    while len(lengths := requests.read(HEAD.size)) == HEAD.size:
        head_bytes, body_bytes = HEAD.unpack(lengths)
        head, body = answer(orjson.loads(requests.read(head_bytes)), requests.read(body_bytes))
        told = orjson.dumps(head)
        answers.write(HEAD.pack(len(told), len(body)) + told + body)
        answers.flush()


def _busy(head: dict[str, Any], report: bytes) -> dict[str, Any]:
    try:
        root = fromstring(report)
    except (ParseError, DefusedXmlException, ValueError):
        raise ical.CalendarError("the calendar server answered with something else than XML") from None
    objects = [element.text.encode() for element in root.iter(_DATA) if element.text]
    begin, end = (datetime.fromtimestamp(head[name], UTC) for name in ("begin", "end"))
    zone, own = ZoneInfo(head["zone"]), head["own"]
    busy: dict[str, tuple[str, float, float]] = {}
    unread = max(0, len(objects) - MAX_OBJECTS)
    began = time.process_time()
    for data in objects[:MAX_OBJECTS]:
        left_s = CALENDAR_S - (time.process_time() - began)
        try:
            with _at_most(max(0.001, min(OBJECT_S, left_s))):
                found = ical.busy_times([data], begin, end, zone=zone, own=own)
        except ical.CalendarError:
            unread += 1
            continue
        for one in found:
            times = max(one.starts_at, begin).timestamp(), min(one.ends_at, end).timestamp()
            busy[one.uid] = (one.uid, *times)
        if len(busy) > ical.MAX_BUSY:
            raise ical.CalendarError(f"more than {ical.MAX_BUSY} events")
    return {"busy": list(busy.values()), "unread": unread}


def _entry(told: dict[str, Any]) -> ical.Entry:
    times = {name: datetime.fromisoformat(told[name]) for name in _TIMES}
    return ical.Entry(**{**told, **times})


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Ends what takes more CPU time. What is being read was written by others, and no count foresees everything."""

    def over(*_: object) -> None:
        raise ical.CalendarError("an event takes too long to be read")

    signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for whoever started us
    serve(sys.stdin.buffer, sys.stdout.buffer)
