"""The worker: tells free times, books, moves and cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from perhop.config import Settings
from perhop.config.workers import ResourceSettings
from perhop.tools.function import FunctionTool
from perhop.tools.guard import Guard
from perhop.workers.calendar import bookings
from perhop.workers.calendar.aside import Aside
from perhop.workers.calendar.diary import CALDAV, Diary
from perhop.workers.calendar.feed import Feed
from perhop.workers.calendar.hours import resources_of
from perhop.workers.calendar.sync import Sync
from perhop.workers.calendar.tables import SCHEMA
from perhop.workers.housekeeping import pruning, utc_now
from perhop.workers.sdk import Site, Worker
from perhop.workers.spoken import with_pattern, with_values

__all__ = ["make_worker"]

_SAID = "on {day} at {time}"

_KEEP_PAST = timedelta(days=2)


def make_worker(
    settings: Settings, guard: Guard, *, now: Callable[[], datetime] = utc_now, retry_s: float = 2.0
) -> Worker:
    """The worker ``calendar``.

    Args:
        guard: the way to calendars elsewhere.
        now: the time, with its zone.
        retry_s: before a calendar elsewhere that did not take a booking is tried again; doubled each time, up to an
            hour.
    """
    own = settings.workers.calendar
    resources = resources_of(own.resources)
    aside = Aside()
    diary = Diary(resources, aside, region=own.region, now=now)
    worker = Worker("calendar", version="1.0.0", description="Books appointments", schemas=[SCHEMA])
    for tool in _tools(diary):
        worker.add(_said(tool, own.resources))
    worker.background(pruning("calendar", lambda session: bookings.forget_past(session, now() - _KEEP_PAST)))

    @worker.background
    async def end_aside(site: Site) -> None:  # noqa: ARG001 - it is the end that matters
        try:
            await asyncio.Event().wait()
        finally:
            await aside.close()

    sync = Sync(resources, guard, aside, every_s=own.sync_s, now=now)
    if sync.needed:
        worker.deliver(CALDAV, idempotent=True, attempts=45, retry_s=retry_s, retry_most_s=3600.0)(sync.push)
        worker.background(sync.run)
    if own.feed_port is not None and own.feed_secret is not None:
        feed = Feed(resources, aside, host=own.feed_host, port=own.feed_port, secret=own.feed_secret, now=now)
        worker.background(feed.run)
    return worker


def _said(tool: FunctionTool[..., object], resources: Sequence[ResourceSettings]) -> FunctionTool[..., object]:
    """The same tool, knowing what can be booked: by name if each has one, else by the look of their identifiers."""
    if "resource_id" not in tool.parameters["properties"]:
        return tool
    tool = with_pattern(tool, "resource_id", [one for group in resources for one in group.ids])
    # The names of one tenant are no business of another.
    if len({group.tenant for group in resources}) == 1 and all(len(g.ids) == 1 and g.title for g in resources):
        return with_values(tool, "resource_id", {group.ids[0]: [group.title] for group in resources})
    return tool


def _tools(diary: Diary) -> list[FunctionTool[..., object]]:
    return [
        FunctionTool.of(
            diary.find_free_times,
            title="tell when something is free",
            effect="none",
            samples=[
                "when could I come",
                "what is free on {day}",
                "do you have anything on {day}",
                "when is number {resource_id} free on {day}",
            ],
            say="{summary}",
        ),
        FunctionTool.of(
            diary.book_appointment,
            title="book an appointment",
            effect="once",
            idempotent=True,
            samples=[
                "book an appointment",
                f"book an appointment {_SAID}",
                f"book number {{resource_id}} {_SAID}",
                f"I'd like to see number {{resource_id}} {_SAID}",
                "I'd like to come on {day} at {time}",
                "book a viewing",
                f"book a viewing {_SAID}",
                f"book a viewing of number {{resource_id}} {_SAID}",
            ],
            say="It is booked for {when}. The number of your booking is {booking_id:digits}.",
        ),
        FunctionTool.of(
            diary.reschedule_appointment,
            title="move an appointment",
            effect="once",
            idempotent=True,
            samples=[
                "move my appointment",
                "move my appointment to {day} at {time}",
                "move booking {booking_id} to {day} at {time}",
                "I need another time",
            ],
            say="It is moved to {when}.",
        ),
        FunctionTool.of(
            diary.cancel_appointment,
            title="cancel an appointment",
            effect="once",
            idempotent=True,
            samples=[
                "cancel my appointment",
                "cancel booking {booking_id}",
                "I can't come",
            ],
            say="Your booking for {when} is cancelled.",
        ),
        FunctionTool.of(
            diary.find_appointments,
            title="find your appointments",
            effect="none",
            samples=[
                "when is my appointment",
                "which appointments do I have",
                "find the appointments of {phone}",
            ],
            say=(
                "{#appointments}You have an appointment on {when}. {/appointments}"
                "{^appointments}I find no appointment with this number.{/appointments}"
            ),
        ),
        FunctionTool.of(
            diary.export_calendar,
            title="export a calendar",
            effect="none",
            samples=["export the calendar of {resource_id} from {first_day} to {last_day}"],
            say="These are {count} bookings.",
        ),
    ]
