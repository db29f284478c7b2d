"""Calls are written down in the background, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import delete, select, text
from structlog.testing import capture_logs
from tests.store.databases import Login, open_database
from tests.store.postgres import PostgresServer, find_program

from perhop.store import Database, upgrade
from perhop.store.housekeeping import forget_old
from perhop.store.models import SCHEMA, CallRow, InstanceRow
from perhop.store.recorder import CallRecord, Recorder

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def call(number: int = 1, **changes: object) -> CallRecord:
    record = CallRecord(f"rtc_{number}", "acme", "shop", "oneroof", "local", "webrtc", NOON)
    return replace(record, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def store(database: Database) -> Database:
    await upgrade(database, SCHEMA)
    return database


@asynccontextmanager
async def recording(
    db: Database, *, name: str = "here", now: datetime = NOON, **options: object
) -> AsyncIterator[Recorder]:
    recorder = await Recorder.open(
        db,
        name=name,
        wall=lambda: now,
        group_s=0.0,
        retry_s=(0.01, 0.01),
        **options,  # type: ignore[arg-type]
    )
    try:
        yield recorder
    finally:
        await recorder.close(timeout_s=0.2)


async def calls(db: Database) -> list[CallRow]:
    async with db.session(reading=True) as session:
        return list((await session.execute(select(CallRow).order_by(CallRow.id))).scalars())


@asynccontextmanager
async def busy(db: Database) -> AsyncIterator[None]:
    """Somebody else keeps the table to himself."""
    async with db.session() as session:
        if db.dialect == "postgresql":
            await session.execute(text("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE"))
        yield


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_what_is_noted_of_a_call_is_what_the_table_says_in_the_end(store: Database) -> None:
    async with recording(store) as recorder:
        recorder.record(call())
        await recorder.written()
        recorder.record(call(turns=3, cost=Decimal("0.001234"), input_audio_tokens=250))
        ended = NOON + timedelta(seconds=61.5)
        recorder.record(
            call(turns=4, cost=Decimal("1.5"), ended_at=ended, end_reason="caller_hangup", duration_ms=61_500)
        )
        await recorder.written()
        [row] = await calls(store)
    assert (row.tenant, row.key, row.agent, row.transport) == ("acme", "shop", "oneroof", "webrtc")
    assert (row.turns, row.cost, row.end_reason, row.duration_ms) == (4, Decimal("1.5"), "caller_hangup", 61_500)
    assert (row.started_at, row.ended_at) == (NOON, ended)
    assert row.instance.startswith("run_")


async def test_many_calls_share_their_commits(store: Database) -> None:
    async with recording(store) as recorder:
        for number in range(1200):
            recorder.record(call(number))
        await recorder.written()
        assert recorder.figures.written == 1200
        assert len(await calls(store)) == 1200


async def test_noting_never_waits(store: Database) -> None:
    async with recording(store) as recorder, busy(store):
        began = time.perf_counter()
        for number in range(500):
            recorder.record(call(number))
        assert time.perf_counter() - began < 0.5


async def test_a_database_that_is_away_and_comes_back_has_lost_nothing(store: Database, database_url: str) -> None:
    async with open_database(database_url, query_timeout_s=0.1) as impatient, recording(impatient) as recorder:
        async with busy(store):
            recorder.record(call(1))
            recorder.record(call(2))
            await until(lambda: recorder.figures.down)
            recorder.record(call(2, turns=7))
            recorder.record(call(3))
        await recorder.written()
        assert not recorder.figures.down
        assert recorder.figures.dropped == 0
    assert [(row.id, row.turns) for row in await calls(store)] == [("rtc_1", 0), ("rtc_2", 7), ("rtc_3", 0)]


async def test_a_server_that_refuses_us_for_a_while_has_every_call_afterwards(postgres_login: Login) -> None:
    async with open_database(postgres_login.url) as db:
        await upgrade(db, SCHEMA)
        async with recording(db) as recorder:
            recorder.record(call(1))
            await recorder.written()
            await postgres_login.refuse()
            recorder.record(call(1, turns=2))
            recorder.record(call(2))
            await until(lambda: recorder.figures.down)
            await postgres_login.admit()
            await recorder.written()
            await until(lambda: not recorder.figures.down)
            assert recorder.figures.dropped == 0
        assert [(row.id, row.turns) for row in await calls(db)] == [("rtc_1", 2), ("rtc_2", 0)]


async def test_a_mistake_of_ours_shows_in_the_figures_and_ends_nothing(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("what a caller said")

    async with recording(store) as recorder:
        with capture_logs() as logs, monkeypatch.context() as patch:
            patch.setattr(store, "session", broken)
            recorder.record(call(1))
            await until(lambda: recorder.figures.down)
        await recorder.written()
        await until(lambda: not recorder.figures.down)
        assert [row.id for row in await calls(store)] == ["rtc_1"]
    assert [log["error"] for log in logs if log["log_level"] == "error"] == ["RuntimeError"]


async def test_beyond_its_bound_what_waits_longest_is_dropped_and_counted(store: Database, database_url: str) -> None:
    async with open_database(database_url, query_timeout_s=0.1) as impatient, recording(impatient, queue=3) as recorder:
        async with busy(store):
            for number in range(1, 6):
                recorder.record(call(number))
            await until(lambda: recorder.figures.down)
            assert recorder.figures.waiting == 3
            assert recorder.figures.dropped == 2
        await recorder.written()
    assert [row.id for row in await calls(store)] == ["rtc_3", "rtc_4", "rtc_5"]


async def test_the_end_of_the_process_writes_what_waits(store: Database) -> None:
    async with recording(store) as recorder:
        recorder.record(call(1))
    assert [row.id for row in await calls(store)] == ["rtc_1"]


async def test_the_end_of_the_process_does_not_wait_for_ever(store: Database, database_url: str) -> None:
    async with open_database(database_url, query_timeout_s=0.1) as impatient, recording(impatient) as recorder:
        async with busy(store):
            recorder.record(call(1))
            async with asyncio.timeout(5):
                await recorder.close(timeout_s=0.3)
        assert recorder.figures.dropped == 1


async def test_a_call_that_does_not_fit_takes_no_other_with_it(postgres_url: str) -> None:
    """On SQLite everything fits."""
    async with open_database(postgres_url) as db:
        await upgrade(db, SCHEMA)
        async with recording(db) as recorder:
            recorder.record(call(1))
            recorder.record(call(2, end_reason="x" * 1000))
            recorder.record(call(3))
            await recorder.written()
            assert recorder.figures.dropped == 1
        assert [row.id for row in await calls(db)] == ["rtc_1", "rtc_3"]


async def test_recording_goes_on_when_somebody_deleted_the_row_of_this_run(store: Database) -> None:
    async with recording(store) as recorder:
        async with store.session() as session:
            await session.execute(delete(InstanceRow))
        recorder.record(call(1))
        await recorder.written()
        assert len(await calls(store)) == 1


async def crash(db: Database, name: str, *records: CallRecord, now: datetime = NOON) -> None:
    """A process that records these calls and is gone without ending them."""
    async with recording(db, name=name, now=now) as recorder:
        for record in records:
            recorder.record(record)
        await recorder.written()


async def test_calls_that_were_live_when_the_process_died_are_closed_at_its_next_start(store: Database) -> None:
    over = call(2, ended_at=NOON, end_reason="caller_hangup")
    await crash(store, "here", call(1, started_at=NOON - timedelta(seconds=30)), over)
    async with recording(store, name="here", now=NOON + timedelta(seconds=5)):
        crashed, ended = await calls(store)
    assert (crashed.end_reason, crashed.ended_at, crashed.duration_ms) == ("crashed", NOON, 30_000)
    assert ended.end_reason == "caller_hangup"


async def test_calls_of_another_process_stay_open_while_it_lives(store: Database) -> None:
    await crash(store, "there", call(1))
    async with recording(store, name="here", now=NOON + timedelta(seconds=60)):
        assert [row.end_reason for row in await calls(store)] == [None]
    async with recording(store, name="here", now=NOON + timedelta(seconds=91)):
        assert [row.end_reason for row in await calls(store)] == ["crashed"]


async def test_old_calls_are_forgotten_and_with_them_the_runs_they_lived_in(store: Database) -> None:
    old, fresh = NOON - timedelta(days=100), NOON - timedelta(days=10)
    await crash(store, "a", call(1, started_at=old, ended_at=old, end_reason="caller_hangup"), now=old)
    await crash(store, "b", call(2, started_at=fresh, ended_at=fresh, end_reason="caller_hangup"), now=fresh)
    await crash(store, "c", call(3, started_at=old), now=NOON)
    assert await forget_old(store, before=NOON - timedelta(days=90), dead_before=NOON - timedelta(days=1)) == 1
    assert [row.id for row in await calls(store)] == ["rtc_2", "rtc_3"]
    async with store.session(reading=True) as session:
        assert set((await session.execute(select(InstanceRow.name))).scalars()) == {"b", "c"}


async def test_a_process_that_lives_says_so_and_tidies_up(store: Database) -> None:
    old = NOON - timedelta(days=100)
    await crash(store, "there", call(1), call(2, started_at=old, ended_at=old, end_reason="caller_hangup"))
    later = NOON + timedelta(days=1)
    recorder = await Recorder.open(
        store, name="here", keep_days=90, wall=iter_of(NOON, then=later), group_s=0.0, heartbeat_s=0.01
    )
    async with asyncio.timeout(10):
        while len(await calls(store)) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await recorder.close()
    [left] = await calls(store)
    assert (left.id, left.end_reason, left.ended_at) == ("rtc_1", "crashed", NOON)
    async with store.session(reading=True) as session:
        seen = select(InstanceRow.seen_at).where(InstanceRow.name == "here")
        assert (await session.execute(seen)).scalar_one() == later


def iter_of(first: datetime, *, then: datetime) -> Callable[[], datetime]:
    """A clock that says one thing while a recorder is opened, which asks twice, and another from then on."""
    asked = itertools.count()
    return lambda: first if next(asked) < 2 else then


@pytest.mark.skipif(find_program("postgres") is None, reason="PostgreSQL is not installed: apt-get install postgresql")
async def test_a_server_that_is_killed_under_load_and_started_again_has_every_call() -> None:
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        await server.ready()
        async with open_database(server.url(), connect_timeout_s=1) as db:
            await upgrade(db, SCHEMA)
            async with recording(db) as recorder:
                for number in range(3):
                    for each in range(200):
                        recorder.record(call(number * 1000 + each, turns=each))
                        await asyncio.sleep(0)
                    server.kill()
                    for each in range(200, 400):
                        recorder.record(call(number * 1000 + each, turns=each))
                    await until(lambda: recorder.figures.down)
                    server.start()
                    await server.ready()
                    await recorder.written()
                assert recorder.figures.dropped == 0
            assert {(row.id, row.turns) for row in await calls(db)} == {
                (f"rtc_{number * 1000 + each}", each) for number in range(3) for each in range(400)
            }
    finally:
        server.remove()
