"""Effects are on record before they are sent, and the record survives whoever made it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from structlog.contextvars import bound_contextvars, get_contextvars
from tests.bus.conftest import until
from tests.store.databases import open_database

from perhop.config.store import StoreSettings
from perhop.store import Database, StoreDownError, downgrade, upgrade
from perhop.tools.base import ToolContext
from perhop.tools.effects.ledger import EffectRecord, EffectsDownError, EffectState
from perhop.tools.effects.recovery import KEEP, EffectRecovery
from perhop.tools.effects.rows import EffectRows
from perhop.tools.effects.store import StoreLedger
from perhop.tools.effects.tables import SCHEMA, EffectRow


def record(
    number: int = 1, *, deadline: float = 4e9, arguments: str | None = None, call: str = "rtc_1"
) -> EffectRecord:
    context = ToolContext(call_id=call, agent="desk", tenant="acme", function_call_id=f"call_{number}")
    return EffectRecord(context=context, tool="book", deadline=deadline, arguments=arguments)


@pytest.fixture
async def tables(database: Database) -> Database:
    await upgrade(database, SCHEMA)
    return database


async def states(database: Database) -> dict[str, str]:
    async with database.session(reading=True) as session:
        return {row.function_call_id: row.state for row in await session.scalars(select(EffectRow))}


async def test_a_record_is_there_when_begin_returns(tables: Database) -> None:
    ledger = StoreLedger(tables)
    assert await ledger.begin(record()) is None
    assert await states(tables) == {"call_1": "pending"}
    await ledger.close()


async def test_the_same_effect_is_not_begun_twice_even_by_another_process(tables: Database) -> None:
    first, second = StoreLedger(tables), StoreLedger(tables)
    assert await first.begin(record()) is None
    assert await second.begin(record()) is EffectState.PENDING
    first.end(record().key, EffectState.DONE)
    await first.close()
    assert await second.begin(record()) is EffectState.DONE
    await second.close()


class LosesAnswers(EffectRows):
    """Of a database that goes away with its first answer: the rows may be there or not."""

    def __init__(self, database: Database, *, after: bool) -> None:
        super().__init__(database)
        self._after = after
        self._times = 1

    async def add(self, records: Sequence[EffectRecord], *, now: datetime) -> dict[str, EffectState]:
        self._times, lost = 0, self._times > 0
        if not lost or self._after:
            known = await super().add(records, now=now)
        if lost:
            raise StoreDownError("away")
        return known


@pytest.mark.parametrize("after", [False, True])
async def test_whoever_fails_to_record_an_effect_does_not_refuse_the_one_another_run_sent(
    tables: Database, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    sender = StoreLedger(tables)
    assert await sender.begin(record(1)) is None
    monkeypatch.setattr("perhop.tools.effects.store.EffectRows", lambda database: LosesAnswers(database, after=after))
    other = StoreLedger(tables)
    refused = await asyncio.gather(other.begin(record(1)), other.begin(record(2)), return_exceptions=True)
    assert [type(answer) for answer in refused] == [EffectsDownError, EffectsDownError]
    await other.close()
    assert await states(tables) == {"call_1": "pending"} | ({"call_2": "refused"} if after else {})
    sender.end(record(1).key, EffectState.DONE)
    await sender.close()
    assert (await states(tables))["call_1"] == "done"


async def test_only_one_of_many_that_begin_the_same_effect_at_once_may_send_it(tables: Database) -> None:
    ledgers = [StoreLedger(tables) for _ in range(5)]
    answers = await asyncio.gather(*(ledger.begin(record()) for ledger in ledgers))
    assert answers.count(None) == 1
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_what_gathers_during_a_commit_is_committed_together(tables: Database) -> None:
    ledger = StoreLedger(tables)
    assert await asyncio.gather(*(ledger.begin(record(n)) for n in range(150))) == [None] * 150
    for n in range(150):
        ledger.end(record(n).key, EffectState.DONE)
    await ledger.close()
    assert ledger.commits <= 4
    assert set((await states(tables)).values()) == {"done"}


async def test_what_writes_records_of_all_calls_bears_the_name_of_none(tables: Database) -> None:
    names: list[dict[str, object]] = []

    def now() -> datetime:
        names.append(dict(get_contextvars()))
        return datetime.now(UTC)

    ledger = StoreLedger(tables, now=now)
    with bound_contextvars(call_id="rtc_1"):
        await ledger.begin(record())
    await ledger.close()
    assert names == [{}]


async def test_no_record_waits_behind_an_outcome(postgres_url: str) -> None:
    async with open_database(postgres_url) as tables:
        await upgrade(tables, SCHEMA)
        ledger = StoreLedger(tables)
        await ledger.begin(record(1))
        async with tables.session() as session:
            await session.execute(select(EffectRow).where(EffectRow.key == record(1).key).with_for_update())
            ledger.end(record(1).key, EffectState.DONE)
            for number in range(2, 10):
                assert await ledger.begin(record(number)) is None
        await ledger.close()
        assert (await states(tables))["call_1"] == "done"


async def test_a_connection_that_the_database_closed_while_it_lay_idle_costs_no_effect(postgres_url: str) -> None:
    async with open_database(postgres_url) as tables:
        await upgrade(tables, SCHEMA)
        ledger = StoreLedger(tables)
        assert await ledger.begin(record(1)) is None
        async with tables.driver() as idle, tables.driver() as other:
            await other.execute("SELECT pg_terminate_backend($1)", idle.get_server_pid())
        await until(idle.is_closed)
        assert await ledger.begin(record(2)) is None
        assert await ledger.begin(record(2)) is EffectState.PENDING
        await ledger.close()


async def test_of_a_group_only_what_was_there_before_is_refused(tables: Database) -> None:
    first, second = StoreLedger(tables), StoreLedger(tables)
    for number in (3, 7):
        await first.begin(record(number))
    answers = await asyncio.gather(*(second.begin(record(number)) for number in range(10)))
    assert [number for number, answer in enumerate(answers) if answer is not None] == [3, 7]
    assert second.commits == 1
    await asyncio.gather(first.close(), second.close())


async def test_an_outcome_is_final(tables: Database) -> None:
    ledger = StoreLedger(tables)
    await ledger.begin(record())
    ledger.end(record().key, EffectState.DONE)
    ledger.end(record().key, EffectState.UNKNOWN)
    await ledger.close()
    assert await states(tables) == {"call_1": "done"}
    assert not await ledger.settle(record().key, EffectState.UNKNOWN)


async def test_arguments_are_kept_only_until_the_outcome_is_known(tables: Database) -> None:
    ledger = StoreLedger(tables)
    await ledger.begin(record(1, arguments='{"a":1}', deadline=1.0))
    await ledger.begin(record(2, arguments='{"a":2}', deadline=1.0))
    assert [one.arguments for one in await ledger.left_open()] == ['{"a":1}', '{"a":2}']
    ledger.end(record(1).key, EffectState.DONE)
    await ledger.settle(record(2).key, EffectState.REFUSED)
    await ledger.close()
    async with tables.session(reading=True) as session:
        assert set(await session.scalars(select(EffectRow.arguments))) == {None}


async def test_who_gives_up_waiting_sends_nothing_and_the_record_says_so(tables: Database) -> None:
    ledger = StoreLedger(tables)
    beginning = asyncio.create_task(ledger.begin(record()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    await ledger.close()
    assert (await states(tables)).get("call_1") in (None, "refused")


async def test_without_a_database_nothing_is_begun_and_outcomes_wait_for_it(database: Database) -> None:
    ledger = StoreLedger(database)  # no table: every statement fails
    with pytest.raises(EffectsDownError):
        await ledger.begin(record())
    await upgrade(database, SCHEMA)
    assert await ledger.begin(record(2)) is None
    ledger.end(record(2).key, EffectState.DONE)
    await ledger.close()
    assert await states(database) == {"call_2": "done"}


async def test_a_database_that_hangs_is_not_waited_for(tables: Database) -> None:
    ledger = StoreLedger(tables, patience_s=0.05)
    async with tables.session() as session:  # on SQLite nobody else can write now
        if tables.dialect == "postgresql":
            await session.execute(text("LOCK TABLE effects IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(EffectsDownError, match="in time"):
            await ledger.begin(record())
    await ledger.close()
    assert (await states(tables)).get("call_1") in (None, "refused")


async def test_effects_that_a_crash_left_open_are_settled_once(tables: Database) -> None:
    ledger = StoreLedger(tables)
    await ledger.begin(record(1, deadline=1.0))
    await ledger.begin(record(2, deadline=1.0, arguments="{}"))
    await ledger.begin(record(3, deadline=1.0, arguments="{}"))
    await ledger.begin(record(4))
    asked: list[str] = []
    reported: list[tuple[str, EffectState]] = []

    async def ask(one: EffectRecord) -> EffectState | None:
        asked.append(one.context.function_call_id)
        if one.arguments is None:
            return EffectState.UNKNOWN
        return EffectState.DONE if one.context.function_call_id == "call_2" else None

    recovery = EffectRecovery(
        ledger, ask, report=lambda one, state: reported.append((one.context.function_call_id, state)), give_up_s=4e9
    )
    assert await recovery.sweep() == 2
    assert await recovery.sweep() == 0
    assert asked == ["call_1", "call_2", "call_3", "call_3"], "what has no answer yet is asked again"
    assert reported == [("call_1", EffectState.UNKNOWN), ("call_2", EffectState.DONE)]
    assert await states(tables) == {"call_1": "unknown", "call_2": "done", "call_3": "pending", "call_4": "pending"}
    await ledger.close()


async def test_who_never_answers_is_given_up(tables: Database) -> None:
    ledger = StoreLedger(tables)
    await ledger.begin(record(1, deadline=1.0, arguments="{}"))

    async def ask(_: EffectRecord) -> None:
        return None

    clock = [datetime.now(UTC)]
    recovery = EffectRecovery(ledger, ask, give_up_s=60.0, now=lambda: clock[0])
    clock[0] += timedelta(seconds=59)
    assert await recovery.sweep() == 0, "however long nobody was there to ask"
    clock[0] += timedelta(seconds=2)
    assert await recovery.sweep() == 1
    assert await states(tables) == {"call_1": "unknown"}
    await ledger.close()


async def test_whatever_goes_wrong_while_it_looks_the_next_look_settles_what_is_open(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = StoreLedger(tables)
    await ledger.begin(record(1, deadline=1.0, arguments="{}"))
    asked = asyncio.Event()

    async def ask(_: EffectRecord) -> EffectState:
        asked.set()
        return EffectState.DONE

    left_open, failures = ledger.left_open, [ProgrammingError("SELECT", None, Exception()), RuntimeError("a mistake")]

    async def fail_first() -> list[EffectRecord]:
        if failures:
            raise failures.pop()
        return await left_open()

    monkeypatch.setattr(ledger, "left_open", fail_first)
    recovery = EffectRecovery(ledger, ask, every_s=0.01)
    recovery.start()
    await asyncio.wait_for(asked.wait(), 10)
    await recovery.close()
    await ledger.close()


async def test_old_records_are_forgotten_and_open_ones_kept(tables: Database) -> None:
    ledger = StoreLedger(tables)
    await ledger.begin(record(1))
    await ledger.begin(record(2))
    await ledger.settle(record(1).key, EffectState.DONE)
    await ledger.forget(datetime.now(UTC) - KEEP)
    assert len(await states(tables)) == 2
    await ledger.forget(datetime.now(UTC) + timedelta(seconds=1))
    assert await states(tables) == {"call_2": "pending"}
    await ledger.close()


async def test_the_tables_go_up_and_down(tables: Database) -> None:
    await downgrade(tables, SCHEMA)
    await upgrade(tables, SCHEMA)
    assert await states(tables) == {}


async def test_records_outlive_the_database_object(tmp_path: object) -> None:
    settings = StoreSettings.model_validate({"url": f"sqlite:///{tmp_path}/a.db"})
    database = await Database.open(settings)
    await upgrade(database, SCHEMA)
    await StoreLedger(database).begin(record(deadline=1.0))
    await database.close()  # as a crash would: no outcome was written
    database = await Database.open(settings)
    (left,) = await StoreLedger(database).left_open()
    assert left.key == record().key
    await database.close()
