"""The worker: records what happens in calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from perhop.config import Settings
from perhop.tools.bus import Consumer
from perhop.tools.guard import Guard
from perhop.workers.audit.book import read, record
from perhop.workers.audit.tables import SCHEMA
from perhop.workers.call_events import CallEvent, CallId, EventReader, consumer_of
from perhop.workers.days import Moment
from perhop.workers.housekeeping import utc_now
from perhop.workers.sdk import Site, Worker, WorkerContext

__all__ = ["make_worker"]

What = Annotated[str, Field(pattern=r"^[a-z_]{1,30}\.[a-z_]{1,30}$")]


def make_worker(settings: Settings, guard: Guard, *, now: Callable[[], dt.datetime] = utc_now) -> Worker:  # noqa: ARG001
    """The worker ``audit``.

    Args:
        guard: not needed.
        now: the time, in UTC.
    """
    own = settings.workers.audit
    worker = Worker("audit", version="1.0.0", description="What happened in calls", schemas=[SCHEMA])
    reader = EventReader("audit")

    @worker.consume
    def consumer(site: Site) -> Consumer:
        async def take(event: CallEvent) -> None:
            async with site.database.session() as session:
                await record(session, event, now=now())

        return consumer_of("lifecycle", name="audit", reader=reader, take=take, attempts=10_000)

    @worker.tool(effect="none", title="read the audit trail")
    async def audit_trail(
        call_id: CallId | None = None,
        what: What | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        after: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0,
        *,
        context: WorkerContext,
    ) -> dict[str, object]:
        """Tells what happened, who did it, when, and how it went, in the order it was recorded.

        Args:
            call_id: In this call.
            what: Of this kind, such as "tool.ran".
            since: Not before.
            until: Before.
            after: Where to go on: what the answer before had as "after".
        """
        rows, more = await read(
            context.session,
            tenant=context.tenant,
            limit=own.page,
            after=after,
            call_id=call_id,
            what=what,
            since=since,
            until=until,
        )
        events = [
            {
                "key": row.key,
                "call_id": row.call_id,
                "at": row.at.isoformat(),
                "what": row.what,
                "who": row.who,
                "subject": row.subject,
                "outcome": row.outcome,
            }
            for row in rows
        ]
        return {"events": events, "after": rows[-1].key if more else None}

    return worker
