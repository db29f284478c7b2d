"""What a worker answers to what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.workers.sdk.ledger import count, create_tables, make_worker

from perhop import ToolUnavailableError, Worker, WorkerContext
from perhop.config import StoreSettings
from perhop.store import Database
from perhop.tools.bus import InProcessBus, NoWorkerError, RemoteError, discover
from perhop.tools.errors import ToolConflictError, ToolDefinitionError
from perhop.workers.sdk.testing import WorkerBench, running


@pytest.fixture
async def file_database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(StoreSettings(url=f"sqlite:///{tmp_path / 'w.db'}"))  # type: ignore[arg-type]
    await create_tables(database)
    yield database
    await database.close()


@pytest.fixture
async def bench(file_database: Database) -> AsyncIterator[WorkerBench]:
    async with running(make_worker(), database=file_database) as bench:
        yield bench


async def test_a_tool_without_effect_answers_with_its_result(bench: WorkerBench) -> None:
    await bench.call("add", {"account": "a", "amount": 2})
    await bench.call("add", {"account": "a", "amount": 3})
    assert await bench.call("total", {"account": "a"}) == 5
    assert await bench.call("ping") == "pong"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"account": "a"},
        {"account": "a", "amount": "5"},
        {"account": "a", "amount": 5.5},
        {"account": "a", "amount": None},
        {"account": ["a"], "amount": 5},
        {"account": "a", "amount": 5, "context": {}},
        {"account": "a", "amount": 5, "session": "x"},
        {"account": "a", "amount": 2**70},
    ],
)
async def test_wrong_arguments_are_refused_before_anything_runs(
    bench: WorkerBench, arguments: dict[str, object]
) -> None:
    with pytest.raises(RemoteError) as caught:
        await bench.call("add", arguments)
    assert caught.value.code == "invalid_arguments"
    assert await count(bench.database) == 0


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b"null", b'{"account": "a", "account": "b"}'])
async def test_a_request_that_is_no_object_is_refused(bench: WorkerBench, payload: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        await bench.bus.request("perhop.tools.default.add", payload)
    assert caught.value.code == "invalid_arguments"


async def test_an_effect_without_ids_is_refused(bench: WorkerBench) -> None:
    with pytest.raises(RemoteError, match="ids"):
        await bench.call("add", {"account": "a", "amount": 1}, call_id="")


async def test_ids_that_are_too_long_are_refused(bench: WorkerBench) -> None:
    with pytest.raises(RemoteError) as caught:
        await bench.call("add", {"account": "a", "amount": 1}, function_call_id="x" * 201)
    assert caught.value.code == "invalid_arguments"


async def test_a_tenant_in_the_headers_that_is_not_the_subjects_is_refused(bench: WorkerBench) -> None:
    with pytest.raises(RemoteError) as caught:
        await bench.bus.request("perhop.tools.acme.ping", b"{}", headers={"Perhop-Tenant": "other"})
    assert caught.value.code == "invalid_arguments"


async def test_a_worker_for_some_tenants_is_not_there_for_others(tmp_path: Path) -> None:
    worker = Worker("private", tenants=["acme", "two.parts"])

    @worker.tool(effect="none")
    async def tenant(context: WorkerContext) -> str:
        """Says who asks."""
        return context.tenant

    async with running(worker, database=tmp_path) as bench:
        assert await bench.call("tenant", tenant="acme") == "acme"
        assert await bench.call("tenant", tenant="two.parts") == "two.parts"
        with pytest.raises(NoWorkerError):
            await bench.call("tenant", tenant="else")


async def test_no_more_run_at_once_than_may_and_no_more_wait(tmp_path: Path) -> None:
    worker = Worker("busy", concurrency=2)
    gate, running_now, most = asyncio.Event(), 0, 0
    entered = asyncio.Semaphore(0)

    @worker.tool(effect="none")
    async def wait() -> str:
        """Waits."""
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        entered.release()
        await gate.wait()
        running_now -= 1
        return "done"

    async with running(worker, database=tmp_path) as bench:
        calls = [asyncio.create_task(bench.call("wait")) for _ in range(4)]
        for _ in range(2):
            await asyncio.wait_for(entered.acquire(), 5)
        with pytest.raises(RemoteError) as caught:
            await bench.call("wait")
        assert caught.value.code == "busy"
        gate.set()
        assert await asyncio.gather(*calls) == ["done"] * 4
    assert most == 2


async def test_what_a_tool_relies_on_being_away_is_told_as_that(tmp_path: Path) -> None:
    worker = Worker("away")

    @worker.tool(effect="none")
    async def look() -> str:
        """Looks."""
        raise ToolUnavailableError("The listings are away.")

    async with running(worker, database=tmp_path) as bench:
        with pytest.raises(RemoteError, match="listings") as caught:
            await bench.call("look")
    assert caught.value.code == "unavailable"


async def test_a_tool_without_effect_cannot_write(file_database: Database) -> None:
    worker = Worker("sneaky")

    @worker.tool(effect="none")
    async def look(context: WorkerContext) -> str:
        """Has effects that it did not declare."""
        context.effects.add("sms", {})
        return "done"

    async with running(worker, database=file_database) as bench:
        with pytest.raises(RemoteError) as caught:
            await bench.call("look")
    assert caught.value.code == "tool_failed"


async def test_workers_tell_the_bus_what_they_offer(file_database: Database) -> None:
    bus = InProcessBus()
    async with (
        running(make_worker(), database=file_database, bus=bus),
        running(make_worker(), database=file_database, bus=bus),
    ):
        offers = {offer.name: offer for offer in await discover(bus, timeout_s=0)}
    assert set(offers) == {"add", "ping", "total"}
    add = offers["add"]
    assert (add.worker, add.version, add.tenant, add.replicas) == ("ledger", "1.2.3", "*", 2)
    assert (add.effect, add.timeout_s) == ("once", 5.0)
    assert set(add.parameters["properties"]) == {"account", "amount"}


async def test_a_closed_worker_finishes_what_it_began(file_database: Database) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def hook(context: WorkerContext) -> None:
        entered.set()
        await gate.wait()

    async with running(make_worker(hook), database=file_database) as bench:
        call = asyncio.create_task(bench.call("add", {"account": "a", "amount": 1}))
        await asyncio.wait_for(entered.wait(), 5)
        closing = asyncio.create_task(bench.host.close(grace_s=5))
        await asyncio.sleep(0)
        gate.set()
        assert await call
        await closing
        with pytest.raises(NoWorkerError):
            await bench.call("ping")


def test_a_function_in_a_thread_cannot_have_a_session() -> None:
    worker = Worker("threads")
    with pytest.raises(ToolDefinitionError, match="async"):

        @worker.tool
        def add(context: WorkerContext) -> None:
            """Adds."""


def test_names_are_checked_when_a_worker_is_written() -> None:
    worker = Worker("twice")

    def one() -> None:
        """One."""

    worker.tool(one)
    with pytest.raises(ToolConflictError):
        worker.tool(one)
    for wrong in ({"name": "Big"}, {"name": "ok", "version": "1"}, {"name": "ok", "concurrency": 0}):
        with pytest.raises(ToolDefinitionError):
            Worker(**wrong)  # type: ignore[arg-type]
