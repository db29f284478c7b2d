"""The worker: keeps what is said as it is said."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Annotated, Literal

import structlog
from pydantic import Field

from perhop.config import Settings
from perhop.store import Database, StoreError
from perhop.tools.bus import Consumer
from perhop.tools.bus.seldom import Seldom
from perhop.tools.errors import ToolError
from perhop.tools.guard import Guard
from perhop.workers.call_events import CallEvent, CallId, EventReader, consumer_of
from perhop.workers.days import Moment
from perhop.workers.housekeeping import EVERY_S, utc_now
from perhop.workers.sdk import Site, Worker, WorkerContext
from perhop.workers.transcript.book import forget, note, outdated, read, search, words_of
from perhop.workers.transcript.formats import as_json, as_text, as_vtt
from perhop.workers.transcript.kept import FORGET, Kept
from perhop.workers.transcript.tables import SCHEMA

__all__ = ["make_worker"]

_log = structlog.get_logger(__name__)

_SNIPPET = 500
_FOR_EVER_S = 100 * 366 * 86_400.0


def make_worker(settings: Settings, guard: Guard, *, now: Callable[[], dt.datetime] = utc_now) -> Worker:  # noqa: ARG001
    """The worker ``transcript``.

    Args:
        guard: not needed.
        now: the time, in UTC.
    """
    own = settings.workers.transcript
    worker = Worker("transcript", version="1.0.0", description="What was said in calls", schemas=[SCHEMA])
    reader, seldom = EventReader("transcript"), Seldom()
    keep = dt.timedelta(seconds=min(settings.bus.keep_s, _FOR_EVER_S))

    async def take(site: Site, event: CallEvent) -> None:
        try:
            async with site.database.session() as session:
                await note(session, event, max_chars=own.max_chars)
        except ValueError:
            if (times := seldom.now("event")) is not None:
                _log.warning("event left out of the transcript: malformed", times=times)

    def consumer(kind: Literal["transcript", "lifecycle"]) -> Callable[[Site], Consumer]:
        def made(site: Site) -> Consumer:
            return consumer_of(kind, name=f"transcript-{kind}", reader=reader, take=lambda event: take(site, event))

        return made

    for kind in ("transcript", "lifecycle"):
        worker.consume(consumer(kind))

    kept = Kept()
    # A day and a half of trying; by itself the bus forgets after bus.keep_s.
    worker.deliver(FORGET, idempotent=True, attempts=45, retry_s=2.0, retry_most_s=3600.0)(kept.deliver)

    @worker.tool(effect="none", title="read a transcript")
    async def read_transcript(
        call_id: CallId,
        format: Literal["json", "text", "vtt"] = "json",  # noqa: A002 - what it is called everywhere
        after: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0,
        *,
        context: WorkerContext,
    ) -> dict[str, object]:
        """Gives out what was said in a call, from its beginning on.

        Args:
            call_id: The call.
            format: JSON, plain text, or WebVTT for players; pieces of the latter two are put together by appending.
            after: Where to go on in a long call: what the piece before had as "after".
        """
        talk = await read(context.session, tenant=context.tenant, call_id=call_id, after=after)
        if talk is None:
            raise ToolError("Nothing of this call is kept.")
        match format:
            case "json":
                content: object = as_json(talk)
            case "text":
                content = as_text(talk)
            case "vtt":
                content = as_vtt(talk, first=after == 0)
        return {"call_id": call_id, "format": format, "content": content, "after": talk.after}

    @worker.tool(effect="none", title="search transcripts")
    async def search_transcripts(
        words: Annotated[str, Field(min_length=1, max_length=300)],
        role: Literal["caller", "agent"] | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        page: Annotated[int, Field(ge=1, le=500)] = 1,
        *,
        context: WorkerContext,
    ) -> dict[str, object]:
        """Finds what was said by its words, the newest first.

        Args:
            words: All of them have to be in what one side said.
            role: Who said it.
            since: Not before.
            until: Before.
            page: Of the results, from 1.
        """
        wanted = words_of(words)
        if not wanted:
            raise ToolError("There are no words in that to look for.")
        found, more = await search(
            context.session, tenant=context.tenant, words=wanted, role=role, since=since, until=until, page=page
        )
        turns = [
            {"call_id": one.call_id, "role": one.role, "text": one.text[:_SNIPPET], "at": one.said_at.isoformat()}
            for one in found
        ]
        return {"turns": turns, "more": more}

    @worker.tool(effect="once", title="forget a call")
    async def forget_transcript(call_id: CallId, *, context: WorkerContext) -> dict[str, object]:
        """Deletes everything that was said in a call.

        Args:
            call_id: The call.
        """
        deleted = await forget(context.session, tenant=context.tenant, call_id=call_id)
        context.effects.add(FORGET, {"call": call_id})
        return {"call_id": call_id, "deleted": deleted}

    @worker.background
    async def keep_house(site: Site) -> None:
        kept.use(site.bus)
        while own.keep_days:
            try:
                await _prune(
                    site.database, kept, before=now() - dt.timedelta(days=own.keep_days), kept_since=now() - keep
                )
            except StoreError:
                _log.warning("old transcripts stay until the database is back")
            await asyncio.sleep(EVERY_S)

    return worker


async def _prune(database: Database, kept: Kept, *, before: dt.datetime, kept_since: dt.datetime) -> None:
    """Forgets calls whose last event is older; those of which the bus may still keep something, there first."""
    while True:
        async with database.session(reading=True) as session:
            old = await outdated(session, before=before)
        gone = [one for one in old if one.seen_at < kept_since or await kept.forget(one.tenant, one.call_id)]
        if not gone:
            return
        async with database.session() as session:
            for one in gone:
                await forget(session, tenant=one.tenant, call_id=one.call_id)
