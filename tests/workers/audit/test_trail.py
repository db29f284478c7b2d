"""What happened is recorded, and stays as it was recorded, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from tests.bus.unique import unique
from tests.workers.calls import BEGIN, Gateway, until

from perhop.config import Settings
from perhop.store import Database, downgrade, upgrade
from perhop.tools.bus import Bus
from perhop.tools.guard import Guard
from perhop.workers.audit.tables import SCHEMA, AuditRow
from perhop.workers.audit.worker import make_worker
from perhop.workers.sdk.testing import WorkerBench, running


@pytest.fixture
async def bench(database: Database, bus: Bus) -> AsyncIterator[WorkerBench]:
    settings = Settings.model_validate({"workers": {"audit": {"page": 3}}})
    async with running(make_worker(settings, Guard(), now=lambda: BEGIN), database=database, bus=bus) as bench:
        yield bench


async def trail(bench: WorkerBench, gateway: Gateway, events: int, **options: Any) -> list[tuple[str, str, str, str]]:
    """What happened in a call, once that many events are there."""

    async def look() -> list[Any]:
        found: list[Any] = []
        after: int | None = 0
        while after is not None:
            arguments = {"call_id": gateway.call_id, "after": after, **options}
            answer = await bench.call("audit_trail", arguments, tenant=gateway.tenant)
            found += answer["events"]
            after = answer["after"]
        return found

    found = await until(look, lambda found: len(found) >= events)
    return [(one["what"], one["who"], one["subject"], one["outcome"]) for one in found]


async def test_who_did_what_and_how_it_went(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    await gateway.begin()
    await gateway.tell("lifecycle", 1, {"type": "tool", "name": "book", "ok": True, "code": None, "ms": 12})
    await gateway.tell("lifecycle", 2, {"type": "tool", "name": "book", "ok": False, "code": "timeout", "ms": 12})
    await gateway.tell("lifecycle", 3, {"type": "turn", "number": 1, "outcome": "answered"})
    await gateway.tell("lifecycle", 4, {"type": "renewed", "forced": False, "gap_ms": 3})
    await gateway.tell("lifecycle", 5, {"type": "failed_over", "model": "azure"})
    await gateway.tell("lifecycle", 6, {"type": "something_new", "text": "what somebody said"})
    await gateway.end(9)
    assert await trail(bench, gateway, 6) == [
        ("call.started", "key:web", "desk", "ok"),
        ("tool.ran", "agent:desk", "book", "ok"),
        ("tool.ran", "agent:desk", "book", "timeout"),
        ("model.renewed", "perhop", "", "ok"),
        ("model.failed_over", "perhop", "azure", "ok"),
        ("call.ended", "perhop", "", "caller_hangup"),
    ]
    assert len(await trail(bench, gateway, 2, what="tool.ran")) == 2
    assert len(await trail(bench, gateway, 1, since="2026-11-20T09:00:08Z")) == 1
    assert len(await trail(bench, gateway, 1, until="2026-11-20T09:00:01Z")) == 1


async def test_what_somebody_said_has_no_way_in(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    said = "My name is Ann and I have a cough"
    await gateway.begin(agent=said, key=said)
    await gateway.tell("lifecycle", 1, {"type": "tool", "name": said, "ok": False, "code": said, "result": said})
    await gateway.tell("transcript", 2, {"type": "said", "role": "caller", "text": said, "item_id": "i"})
    await gateway.end(3, reason=said)
    assert await trail(bench, gateway, 3) == [
        ("call.started", "anonymous", "", "ok"),
        ("tool.ran", "agent", "", "failed"),
        ("call.ended", "perhop", "", "unknown"),
    ]
    async with bench.database.session(reading=True) as session:
        everything = (await session.execute(text("SELECT * FROM audit_events"))).all()
    assert said not in repr(everything)


async def test_an_event_that_comes_again_is_recorded_once(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    event_id = await gateway.begin()
    data = {"type": "started", "agent": "another", "transport": "webrtc", "key": "web"}
    await gateway.tell("lifecycle", 0, data, event_id=event_id)
    await gateway.end(1)
    assert [what for what, *_ in await trail(bench, gateway, 2)] == ["call.started", "call.ended"]


async def test_a_tenant_sees_its_own_trail_only(bench: WorkerBench, bus: Bus) -> None:
    theirs = Gateway(bus, unique("rtc"), tenant="other")
    await theirs.begin()
    await trail(bench, theirs, 1)
    assert (await bench.call("audit_trail", {"call_id": theirs.call_id}))["events"] == []


_ROW = "(tenant, call_id, event_id, at, what, who, subject, outcome, recorded_at)"
_VALUES = "('t', 'rtc_1', 'e1', '2026-11-20', 'call.started', 'forged', '', 'ok', '2026-11-20')"

_UPSERT = "ON CONFLICT (tenant, call_id, event_id) DO UPDATE SET who = excluded.who"
_COPY = "SELECT key, tenant, call_id, 'e2', at, what, 'forged', subject, outcome, recorded_at FROM audit_events"

CHANGES = [
    "UPDATE audit_events SET outcome = 'ok'",
    "UPDATE audit_events SET outcome = 'ok' WHERE key = 1",
    "DELETE FROM audit_events",
    "DELETE FROM audit_events WHERE call_id = 'rtc_1'",
    f"INSERT INTO audit_events {_ROW} VALUES {_VALUES} {_UPSERT}",
]
CHANGES_OF = {
    "sqlite": [
        *CHANGES,
        f"INSERT OR REPLACE INTO audit_events {_ROW} VALUES {_VALUES}",
        f"REPLACE INTO audit_events {_ROW} VALUES {_VALUES}",
        f"INSERT OR REPLACE INTO audit_events {_COPY}",
        "UPDATE OR REPLACE audit_events SET who = 'forged'",
    ],
    "postgresql": [
        *CHANGES,
        "TRUNCATE audit_events",
        "DELETE FROM audit_events WHERE key = 12345",
        "SET session_replication_role = replica; DELETE FROM audit_events",
        "WITH gone AS (DELETE FROM audit_events RETURNING *) SELECT count(*) FROM gone",
        "MERGE INTO audit_events USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    ],
}


async def test_the_database_itself_refuses_every_change(database: Database) -> None:
    await upgrade(database, SCHEMA)
    async with database.session() as session:
        await session.execute(text(f"INSERT INTO audit_events {_ROW} VALUES {_VALUES.replace('forged', 'me')}"))
    for change in CHANGES_OF[database.dialect]:
        with pytest.raises(DBAPIError) as refused:
            async with database.session() as session:
                for statement in change.split("; "):
                    await session.execute(text(statement))
        assert "append-only" in str(refused.value.orig), change
        async with database.session(reading=True) as session:
            [row] = (await session.execute(select(AuditRow.key, AuditRow.who, AuditRow.event_id))).all()
        assert tuple(row) == (1, "me", "e1")


async def test_going_back_leaves_nothing_behind(database: Database) -> None:
    await upgrade(database, SCHEMA)
    await downgrade(database, SCHEMA)
    await upgrade(database, SCHEMA)
