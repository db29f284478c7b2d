"""What ``bench/tools.py`` asks the workers for, and how the same function is run without them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass

from perhop.store import Database
from perhop.tools import Tool, ToolContext
from perhop.tools.base import Effect, JsonObject
from perhop.tools.kinds.bus import BusTool
from perhop.tools.services import ToolServices
from perhop.workers.audit.book import record
from perhop.workers.call_events import CallEvent
from perhop.workers.sdk import Outbox, Worker, WorkerContext
from perhop.workers.transcript.book import note

__all__ = ["CONFIG", "TENANT", "Ask", "Inside", "asks", "over_bus", "phone", "seed"]

TENANT = "default"
RESOURCES = 200
TALKS, KEPT = 3_000, 10
"""Calls whose transcripts there are, to be deleted and to be read."""

_HOURS = '{ days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], begin = "00:00", until = "00:00" }'
CONFIG = f"""
[workers.calendar]
resources = [{{ ids = {json.dumps([f"room-{number}" for number in range(RESOURCES)])}, hours = [{_HOURS}] }}]

[workers.sms]
per_hour = 1000
per_day = 10000
per_tenant_hour = 1000000
"""
"""Enough to book, day and night; everything else as it comes."""


@dataclass(frozen=True)
class Ask:
    """One tool of one worker.

    Attributes:
        arguments: of the n-th call; no two bookings are of the same time.
    """

    worker: str
    tool: str
    arguments: Callable[[int], JsonObject]


def _day(number: int) -> str:
    return str(dt.datetime.now(dt.UTC).date() + dt.timedelta(days=number))


def _booking(number: int) -> JsonObject:
    hour, room = divmod(number, RESOURCES)
    return {
        "resource_id": f"room-{room}",
        "day": _day(1 + hour // 24 % 58),
        "time": f"{hour % 24:02}:00",
        "name": "Robin",
        "phone": phone(number),
    }


def phone(number: int) -> str:
    """Somebody's."""
    return f"+1510{2_000_000 + number % 7_000_000}"


def asks(*, contact_id: int, message_id: str) -> dict[Effect, tuple[Ask, ...]]:
    """By effect. Listings and audit change nothing for callers: they have no tool with an effect.

    Args:
        contact_id: of somebody to note things about.
        message_id: of a text message that was sent.
    """
    note_ = {"contact_id": contact_id, "text": "Call back on Monday."}
    return {
        "none": (
            Ask("crm", "find_contact", lambda _: {"phone": phone(1)}),
            Ask("calendar", "find_free_times", lambda n: {"resource_id": f"room-{n % RESOURCES}", "day": _day(3)}),
            Ask("listings", "listing_details", lambda _: {"listing_id": "101"}),
            Ask("sms", "message_state", lambda _: {"message_id": message_id}),
            Ask("transcript", "read_transcript", lambda n: {"call_id": f"rtc_kept_{n % KEPT}"}),
            Ask("audit", "audit_trail", lambda n: {"call_id": f"rtc_kept_{n % KEPT}"}),
        ),
        "once": (
            Ask("crm", "add_note", lambda _: note_),
            Ask("calendar", "book_appointment", _booking),
            Ask("sms", "send_message", lambda n: {"phone": phone(n), "text": "See you on Monday."}),
            Ask("transcript", "forget_transcript", lambda n: {"call_id": f"rtc_told_{n % TALKS}"}),
        ),
    }


async def seed(database: Database) -> None:
    """Transcripts and an audit trail, as the workers write them when calls happen."""
    now = dt.datetime.now(dt.UTC)
    async with database.session() as session:
        for number in range(TALKS + KEPT):
            call_id = f"rtc_told_{number}" if number < TALKS else f"rtc_kept_{number - TALKS}"
            said = {"item_id": "item_1", "role": "caller", "text": "I would like to see a garden.", "spoken": True}
            event = CallEvent(id="1", tenant=TENANT, call_id=call_id, at=now, type="said", data=said)
            await note(session, event, max_chars=2_000)
            if number >= TALKS:
                started = CallEvent(id="2", tenant=TENANT, call_id=call_id, at=now, type="started", data={"agent": "a"})
                await record(session, started, now=now)


def over_bus(tool: Tool) -> BusTool:
    """A worker's tool as the gateway has it."""
    return BusTool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        effect=tool.effect,
        timeout_s=600 if tool.name == "hang" else 10,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Inside(Tool):
    """A worker's tool in this process: in the same kind of transaction of the same database, and nothing else."""

    tool: Tool
    worker: Worker
    database: Database

    @classmethod
    def of(cls, tool: Tool, worker: Worker, database: Database) -> Inside:
        return cls(
            name=tool.name,
            description="",
            parameters=tool.parameters,
            effect="none",  # to the runner: nothing is recorded
            tool=tool,
            worker=worker,
            database=database,
        )

    def validate(self, arguments: JsonObject) -> JsonObject:
        return self.tool.validate(arguments)

    async def execute(self, values: JsonObject, context: ToolContext, *, services: ToolServices) -> object:
        if not self.worker.needs_session(self.tool):
            return await self.tool.execute(values, context, services=services)
        async with self.database.session(reading=self.tool.effect == "none") as session:
            outbox = Outbox(self.worker.name, frozenset(self.worker.deliveries), context, session)
            given = WorkerContext(
                call_id=context.call_id,
                agent=context.agent,
                tenant=context.tenant,
                function_call_id=context.function_call_id,
                session=session,
                outbox=outbox,
            )
            return await self.tool.execute(values, given, services=services)
