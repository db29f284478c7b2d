"""Exactly one effect, on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from tests.store.databases import open_database
from tests.workers.sdk.ledger import count, create_tables, make_worker

from perhop import WorkerContext
from perhop.store import Database
from perhop.tools.bus import RemoteError
from perhop.workers.sdk.outcomes import Outcomes
from perhop.workers.sdk.testing import running

ADD = {"account": "a", "amount": 5}


async def test_a_repeated_call_gets_the_recorded_outcome_and_has_no_second_effect(database: Database) -> None:
    await create_tables(database)
    async with running(make_worker(), database=database) as bench:
        first = await bench.call("add", ADD, function_call_id="call_1")
        again = await bench.call("add", ADD, function_call_id="call_1")
    # Another process, as after a restart.
    async with running(make_worker(), database=database) as bench:
        later = await bench.call("add", ADD, function_call_id="call_1")
    assert first == again == later
    assert await count(database) == 1


async def test_calls_of_another_tenant_or_another_call_are_other_calls(database: Database) -> None:
    await create_tables(database)
    async with running(make_worker(), database=database) as bench:
        await bench.call("add", ADD, function_call_id="call_1")
        await bench.call("add", ADD, function_call_id="call_1", tenant="other")
        await bench.call("add", ADD, function_call_id="call_1", call_id="rtc_other")
    assert await count(database) == 3


async def test_twenty_at_the_same_time_in_three_processes_have_one_effect(database: Database) -> None:
    await create_tables(database)
    async with (
        running(make_worker(), database=database) as one,
        running(make_worker(), database=database) as two,
        running(make_worker(), database=database) as three,
    ):
        calls = [bench.call("add", ADD, function_call_id="call_1") for bench in (one, two, three) for _ in range(7)]
        answers = await asyncio.gather(*calls)
    assert len({str(answer) for answer in answers}) == 1
    assert await count(database) == 1


async def test_a_refusal_is_recorded_and_leaves_nothing_behind(database: Database) -> None:
    await create_tables(database)
    async with running(make_worker(), database=database) as bench:
        for _ in range(2):
            with pytest.raises(RemoteError, match="overdrawn") as caught:
                await bench.call("add", {"account": "a", "amount": -1}, function_call_id="call_1")
            assert caught.value.code == "tool_failed"
    assert await count(database) == 0


async def test_a_tool_that_breaks_is_rolled_back_and_may_be_called_again(database: Database) -> None:
    await create_tables(database)
    broken = [True, False]

    async def hook(context: WorkerContext) -> None:
        if broken.pop(0):
            raise ZeroDivisionError("Alice")

    async with running(make_worker(hook), database=database) as bench:
        with pytest.raises(RemoteError) as caught:
            await bench.call("add", ADD, function_call_id="call_1")
        assert caught.value.code == "tool_failed"
        assert "Alice" not in str(caught.value)
        assert await count(database) == 0
        await bench.call("add", ADD, function_call_id="call_1")
    assert await count(database) == 1


async def test_the_same_ids_for_something_else_are_refused(database: Database) -> None:
    await create_tables(database)
    async with running(make_worker(), database=database) as bench:
        await bench.call("add", ADD, function_call_id="call_1")
        with pytest.raises(RemoteError) as caught:
            await bench.call("add", {"account": "a", "amount": 6}, function_call_id="call_1")
    assert caught.value.code == "duplicate_call"
    assert await count(database) == 1


async def test_a_tool_that_takes_too_long_is_rolled_back(database: Database) -> None:
    await create_tables(database)

    async def hook(context: WorkerContext) -> None:
        await asyncio.Event().wait()

    async with running(make_worker(hook, timeout_s=0.2), database=database) as bench:
        with pytest.raises(RemoteError) as caught:
            await bench.call("add", ADD, function_call_id="call_1")
    assert caught.value.code == "unavailable"
    assert await count(database) == 0


async def test_a_caller_that_gives_up_does_not_undo_what_was_begun(database: Database) -> None:
    await create_tables(database)
    entered, gate = asyncio.Event(), asyncio.Event()

    async def hook(context: WorkerContext) -> None:
        entered.set()
        await gate.wait()

    async with running(make_worker(hook), database=database) as bench:
        call = asyncio.create_task(bench.call("add", ADD, function_call_id="call_1"))
        await asyncio.wait_for(entered.wait(), 5)
        call.cancel()
        gate.set()
        await bench.call("add", ADD, function_call_id="call_1")
    assert await count(database) == 1


async def test_old_outcomes_are_forgotten_and_new_ones_are_not(database: Database) -> None:
    await create_tables(database)
    async with running(make_worker(), database=database) as bench:
        for number in range(5):
            await bench.call("add", ADD, function_call_id=f"call_{number}")
        outcomes = Outcomes(database, "ledger")
        assert await outcomes.prune(older_than=timedelta(hours=1)) == 0
        assert await outcomes.prune(older_than=timedelta(hours=-1)) == 5
        await bench.call("add", ADD, function_call_id="call_0")
    assert await count(database) == 6


async def test_a_connection_lost_before_the_commit_costs_another_attempt_and_no_second_effect(
    postgres_url: str,
) -> None:
    lost = [True, False]

    async def hook(context: WorkerContext) -> None:
        if lost.pop(0):
            await context.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with open_database(postgres_url) as database:
        await create_tables(database)
        async with running(make_worker(hook), database=database) as bench:
            await bench.call("add", ADD, function_call_id="call_1")
        assert not lost
        assert await count(database) == 1


async def test_connections_lost_again_and_again_are_told_and_nothing_was_done(postgres_url: str) -> None:
    async def hook(context: WorkerContext) -> None:
        await context.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with open_database(postgres_url) as database:
        await create_tables(database)
        async with running(make_worker(hook), database=database) as bench:
            with pytest.raises(RemoteError) as caught:
                await bench.call("add", ADD, function_call_id="call_1")
        assert caught.value.code == "unavailable"
        assert await count(database) == 0
