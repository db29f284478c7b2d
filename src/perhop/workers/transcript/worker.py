"""The worker: keeps what is said as it is said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Literal

import structlog
from pydantic import Field

from perhop.config import Settings
from perhop.tools.bus import Consumer, Message
from perhop.tools.bus.seldom import Seldom
from perhop.tools.errors import ToolError
from perhop.tools.guard import Guard
from perhop.workers.call_events import CallId, EventReader, every_call
from perhop.workers.days import Moment
from perhop.workers.housekeeping import pruning, utc_now
from perhop.workers.sdk import Site, Worker, WorkerContext
from perhop.workers.transcript.book import forget, note, prune, read, search, words_of
from perhop.workers.transcript.formats import as_json, as_text, as_vtt
from perhop.workers.transcript.tables import SCHEMA

__all__ = ["make_worker"]

_log = structlog.get_logger(__name__)

_SNIPPET = 500


def make_worker(settings: Settings, guard: Guard, *, now: Callable[[], dt.datetime] = utc_now) -> Worker:  # noqa: ARG001
    """The worker ``transcript``.

    Args:
        guard: not needed.
        now: the time, in UTC.
    """
    own = settings.workers.transcript
    worker = Worker("transcript", version="1.0.0", description="What was said in calls", schemas=[SCHEMA])
    reader, seldom = EventReader("transcript"), Seldom()

    async def take(site: Site, message: Message) -> None:
        event = reader.read(message)
        if event is None:
            return
        try:
            async with site.database.session() as session:
                await note(session, event, max_chars=own.max_chars)
        except ValueError:
            if (times := seldom.now("event")) is not None:
                _log.warning("event left out of the transcript: malformed", times=times)

    def consumer(kind: Literal["transcript", "lifecycle"]) -> Callable[[Site], Consumer]:
        def made(site: Site) -> Consumer:
            async def handle(message: Message) -> None:
                await take(site, message)

            # A database that is away for long: an event waits some ten minutes before it is given up.
            return Consumer(
                name=f"transcript-{kind}",
                subject=every_call(kind),
                handle=handle,
                attempts=600,
                timeout_s=15.0,
                retry_wait_s=1.0,
            )

        return made

    for kind in ("transcript", "lifecycle"):
        worker.consume(consumer(kind))

    @worker.tool(effect="none", title="read a transcript")
    async def read_transcript(
        call_id: CallId,
        format: Literal["json", "text", "vtt"] = "json",  # noqa: A002 - what it is called everywhere
        after: Annotated[int, Field(ge=0)] = 0,
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
        return {"call_id": call_id, "deleted": await forget(context.session, tenant=context.tenant, call_id=call_id)}

    if own.keep_days:
        keep = dt.timedelta(days=own.keep_days)
        worker.background(pruning("transcript", lambda session: prune(session, before=now() - keep)))

    return worker
