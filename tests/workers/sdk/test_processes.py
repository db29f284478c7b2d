"""Workers as processes on a real bus: killed between effect and answer, and ended in good order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update
from tests.bus.servers import NatsServer, needs_nats
from tests.workers.sdk.ledger import count, create_tables
from tests.workers.sdk.processes import WorkerProcess

from perhop.store import Database
from perhop.tools import wire
from perhop.tools.base import ToolContext
from perhop.tools.bus import BusError, NatsBus
from perhop.workers.sdk.tables import EffectRow

pytestmark = [needs_nats, pytest.mark.integration]


@pytest.fixture
async def bus(shared_nats: NatsServer) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.open(shared_nats.settings(), wait_s=5)
    yield bus
    await bus.close()


def process(server: NatsServer, database_url: str, sent: Path, crash: str = "") -> WorkerProcess:
    return WorkerProcess(
        "tests.workers.sdk.crashing:worker",
        PERHOP_BUS__URL=server.url,
        PERHOP_WORKER__DATABASE=database_url,
        CRASH=crash,
        SENT=str(sent),
    )


async def ask(bus: NatsBus, tool: str, arguments: dict[str, object], *, timeout_s: float = 5.0) -> object:
    context = ToolContext(call_id="rtc_1", agent="", tenant="t", function_call_id="call_1")
    headers = wire.context_headers(context)
    payload = json.dumps(arguments).encode()
    return json.loads(await bus.request(f"perhop.tools.t.{tool}", payload, headers=headers, timeout_s=timeout_s))


ADD = {"account": "a", "amount": 1}


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_a_worker_killed_between_effect_and_answer_has_the_effect_once(
    shared_nats: NatsServer, bus: NatsBus, database: Database, database_url: str, tmp_path: Path, moment: str
) -> None:
    await create_tables(database)
    sent = tmp_path / "sent"
    dying = process(shared_nats, database_url, sent, crash=moment)
    await dying.start()
    with pytest.raises(BusError) as caught:
        await ask(bus, "add", ADD, timeout_s=1.0)
    assert caught.value.delivered
    assert await dying.ended() == -9
    assert await count(database) == (0 if moment == "before commit" else 1)
    next_one = process(shared_nats, database_url, sent)
    await next_one.start()
    try:
        first = await ask(bus, "add", ADD)
        assert await ask(bus, "add", ADD) == first
        assert await count(database) == 1
        await states(database, {"idempotent": "done", "blind": "done"})
    finally:
        await next_one.kill()
    assert sorted(line.split()[0] for line in sent.read_text().splitlines()) == ["blind", "idempotent"]


@pytest.mark.parametrize(
    ("moment", "expected", "times"),
    [
        ("sending idempotent", {"idempotent": "done"}, 2),
        ("sending blind", {"blind": "unknown"}, 1),
    ],
)
async def test_a_worker_killed_while_sending_sends_again_only_where_keys_are_known(
    shared_nats: NatsServer,
    bus: NatsBus,
    database: Database,
    database_url: str,
    tmp_path: Path,
    moment: str,
    expected: dict[str, str],
    times: int,
) -> None:
    await create_tables(database)
    sent = tmp_path / "sent"
    dying = process(shared_nats, database_url, sent, crash=moment)
    await dying.start()
    with contextlib.suppress(BusError):  # it may die before it answers
        await ask(bus, "add", ADD)
    assert await dying.ended() == -9
    async with database.session() as session:  # instead of waiting until the dead process's claim runs out
        await session.execute(
            update(EffectRow).where(EffectRow.state == "sending").values(leased_until=EffectRow.created_at)
        )
    next_one = process(shared_nats, database_url, sent)
    await next_one.start()
    try:
        await states(database, expected)
    finally:
        await next_one.kill()
    lines = [line for line in sent.read_text().splitlines() if line.split()[0] in expected]
    assert len(lines) == times
    assert len(set(lines)) == 1


async def states(database: Database, expected: dict[str, str]) -> None:
    async with asyncio.timeout(15):
        while True:
            async with database.session(reading=True) as session:
                found = {row.channel: row.state for row in await session.scalars(select(EffectRow))}
            if found.items() >= expected.items():
                return
            await asyncio.sleep(0.05)


async def test_a_worker_tells_of_its_health_and_ends_in_good_order(
    shared_nats: NatsServer, bus: NatsBus, sqlite_url: str, tmp_path: Path
) -> None:
    from pydantic import SecretStr

    from perhop.config import StoreSettings

    database = await Database.open(StoreSettings(url=SecretStr(sqlite_url)))
    await create_tables(database)
    await database.close()
    worker = process(shared_nats, sqlite_url, tmp_path / "sent")
    await worker.start()
    try:
        await ask(bus, "add", ADD)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{worker.port}") as client:
            assert (await client.get("/healthz")).json() == {"ok": True}
            assert (await client.get("/readyz")).json() == {"ok": True, "missing": []}
            metrics = (await client.get("/metrics")).text
        assert 'perhop_worker_calls_total{outcome="done",tool="add",worker="ledger"} 1.0' in metrics
        worker.terminate()
        assert await worker.ended() == 0
    finally:
        await worker.kill()
    assert "rtc_1" not in "".join(line for line in worker.output if "effect settled" not in line)


async def test_a_worker_without_a_bus_says_so() -> None:
    worker = WorkerProcess("tests.workers.sdk.crashing:worker")
    with pytest.raises(RuntimeError, match=r"bus\.url"):
        await worker.start()
