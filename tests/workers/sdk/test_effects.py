"""Effects outside the database, on both databases."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from perhop import ToolError, Worker, WorkerContext
from perhop.store import Database, StoreDownError, StoreError, upgrade
from perhop.tools.bus import RemoteError
from perhop.workers.sdk import Effect, NotSentError, RefusedError, Settled, host
from perhop.workers.sdk.delivery import Delivery
from perhop.workers.sdk.dispatch import Dispatcher
from perhop.workers.sdk.tables import SCHEMA, EffectRow
from perhop.workers.sdk.testing import running

Send = Callable[[Effect], Awaitable[str | None]]


class Provider:
    """Sends messages; an idempotent one recognises keys."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.seen: list[Effect] = []
        self.sent: Counter[str] = Counter()

    async def send(self, effect: Effect) -> str | None:
        self.seen.append(effect)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if not isinstance(outcome, NotSentError | RefusedError):
            self.sent[effect.key] += 1
        if outcome is not None:
            raise outcome
        return f"id-{len(self.seen)}"


def make_worker(send: Send, *, idempotent: bool = True, refuse: bool = False) -> tuple[Worker, asyncio.Queue[Settled]]:
    worker = Worker("sender")
    settled: asyncio.Queue[Settled] = asyncio.Queue()

    async def note(session: AsyncSession, effect: Effect, outcome: Settled) -> None:
        settled.put_nowait(outcome)

    worker.deliver("sms", idempotent=idempotent, retry_s=0.01, attempts=3, settled=note)(send)

    @worker.tool(effect="once")
    async def text(to: str, context: WorkerContext) -> str:
        """Sends a message."""
        key = context.effects.add("sms", {"to": to})
        if refuse:
            raise ToolError("This number opted out.")
        return key

    return worker, settled


def pending(worker: str, *, due_at: datetime) -> EffectRow:
    now = datetime.now(UTC)
    return EffectRow(
        key="k" * 64,
        worker=worker,
        channel="sms",
        tenant="t",
        call_id="rtc_1",
        function_call_id="call_1",
        payload="{}",
        state="pending",
        attempts=0,
        due_at=due_at,
        created_at=now,
        updated_at=now,
    )


async def rows(database: Database) -> list[EffectRow]:
    async with database.session(reading=True) as session:
        return list(await session.scalars(select(EffectRow)))


async def next_of(settled: asyncio.Queue[Settled]) -> Settled:
    return await asyncio.wait_for(settled.get(), 10)


async def test_an_effect_is_delivered_once_with_its_key_and_its_payload_is_forgotten(database: Database) -> None:
    provider = Provider()
    worker, settled = make_worker(provider.send)
    async with running(worker, database=database) as bench:
        keys = {await bench.call("text", {"to": "+1"}, function_call_id="call_1") for _ in range(3)}
        assert (await next_of(settled)).state == "done"
    [effect] = provider.seen
    assert keys == {effect.key}
    assert (effect.payload, effect.attempt, effect.function_call_id) == ({"to": "+1"}, 1, "call_1")
    [row] = await rows(database)
    assert (row.state, row.reference, row.payload) == ("done", "id-1", None)


async def test_a_tool_that_refuses_has_no_effect_outside_either(database: Database) -> None:
    provider = Provider()
    worker, _ = make_worker(provider.send, refuse=True)
    async with running(worker, database=database) as bench:
        with pytest.raises(RemoteError):
            await bench.call("text", {"to": "+1"})
    assert await rows(database) == []


async def test_what_was_certainly_not_sent_is_sent_again_with_any_provider(database: Database) -> None:
    provider = Provider(NotSentError("no connection"))
    worker, settled = make_worker(provider.send, idempotent=False)
    async with running(worker, database=database) as bench:
        await bench.call("text", {"to": "+1"})
        assert (await next_of(settled)).state == "done"
    assert [effect.attempt for effect in provider.seen] == [1, 2]
    assert list(provider.sent.values()) == [1]


async def test_in_doubt_a_provider_that_knows_keys_is_asked_again_with_the_same(database: Database) -> None:
    provider = Provider(TimeoutError(), ConnectionResetError())
    worker, settled = make_worker(provider.send)
    async with running(worker, database=database) as bench:
        await bench.call("text", {"to": "+1"})
        assert (await next_of(settled)).state == "done"
    assert len({effect.key for effect in provider.seen}) == 1
    assert [effect.attempt for effect in provider.seen] == [1, 2, 3]


async def test_in_doubt_a_provider_without_keys_is_never_asked_again(database: Database) -> None:
    provider = Provider(TimeoutError())
    worker, settled = make_worker(provider.send, idempotent=False)
    async with running(worker, database=database) as bench:
        await bench.call("text", {"to": "+1"})
        assert (await next_of(settled)).state == "unknown"
    assert await Dispatcher(database, "sender", worker.deliveries).counts() == {("sms", "unknown"): 1}
    [row] = await rows(database)
    assert (row.state, row.error) == ("unknown", "TimeoutError")
    assert row.payload is not None
    assert len(provider.seen) == 1


async def test_a_refusal_and_too_many_attempts_are_failures(database: Database) -> None:
    provider = Provider(RefusedError("bad number"), *(NotSentError("down") for _ in range(3)))
    worker, settled = make_worker(provider.send)
    async with running(worker, database=database) as bench:
        await bench.call("text", {"to": "+1"})
        assert (await next_of(settled)).state == "failed"
        await bench.call("text", {"to": "+2"})
        assert (await next_of(settled)).state == "failed"
    assert len(provider.seen) == 4
    assert not provider.sent


@pytest.mark.parametrize(
    "outcomes",
    [
        (TimeoutError(), NotSentError("away"), NotSentError("away")),
        (NotSentError("away"), TimeoutError(), RefusedError("bad number")),
    ],
    ids=["not sent", "refused"],
)
async def test_what_an_attempt_left_in_doubt_is_never_a_failure(
    database: Database, outcomes: tuple[Exception, ...]
) -> None:
    provider = Provider(*outcomes)
    worker, settled = make_worker(provider.send)
    async with running(worker, database=database) as bench:
        await bench.call("text", {"to": "+1"})
        assert (await next_of(settled)).state == "unknown"
    [row] = await rows(database)
    assert (row.state, row.payload) == ("unknown", '{"to": "+1"}')
    assert len(provider.seen) == 3


@pytest.mark.parametrize(("attempts", "seen"), [(1, 2), (2, 1)])
async def test_what_a_dead_process_was_sending_is_never_a_failure(database: Database, attempts: int, seen: int) -> None:
    provider = Provider(NotSentError("away"), NotSentError("away"))
    worker, settled = make_worker(provider.send)
    await upgrade(database, SCHEMA)
    past = datetime.now(UTC) - timedelta(minutes=5)
    async with database.session() as session:
        row = pending("sender", due_at=past)
        row.state, row.attempts, row.leased_until = "sending", attempts, past
        session.add(row)
    async with running(worker, database=database):
        assert (await next_of(settled)).state == "unknown"
    [row] = await rows(database)
    assert (row.state, row.payload, len(provider.seen)) == ("unknown", "{}", seen)


@pytest.mark.parametrize(("idempotent", "state", "sent"), [(True, "done", 1), (False, "unknown", 0)])
async def test_an_effect_a_dead_process_was_sending_is_sent_again_or_becomes_unknown(
    database: Database, *, idempotent: bool, state: str, sent: int
) -> None:
    provider = Provider()
    worker, settled = make_worker(provider.send, idempotent=idempotent)
    await upgrade(database, SCHEMA)
    past = datetime.now(UTC) - timedelta(minutes=5)
    async with database.session() as session:
        session.add(
            EffectRow(
                key="k" * 64,
                worker="sender",
                channel="sms",
                tenant="t",
                call_id="rtc_1",
                function_call_id="call_1",
                payload="{}",
                state="sending",
                attempts=1,
                due_at=past,
                leased_until=past,
                created_at=past,
                updated_at=past,
            )
        )
    async with running(worker, database=database):
        assert (await next_of(settled)).state == state
    assert len(provider.seen) == sent


async def test_three_processes_deliver_each_effect_once(database: Database) -> None:
    provider = Provider()
    worker, settled = make_worker(provider.send)
    async with running(worker, database=database) as bench:
        others = [Dispatcher(database, "sender", worker.deliveries, poll_s=0.01) for _ in range(2)]
        for other in others:
            other.start()
        await asyncio.gather(*(bench.call("text", {"to": f"+{n}"}) for n in range(30)))
        for _ in range(30):
            assert (await next_of(settled)).state == "done"
        for other in others:
            await other.close()
    assert len(provider.sent) == 30
    assert set(provider.sent.values()) == {1}


@pytest.mark.parametrize("error", [StoreDownError("away"), StoreError("refused"), RuntimeError("a mistake")])
async def test_whatever_goes_wrong_while_it_looks_the_next_look_finds_what_is_due(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    provider = Provider()
    worker, settled = make_worker(provider.send)
    await upgrade(database, SCHEMA)
    dispatcher = Dispatcher(database, "sender", worker.deliveries, poll_s=0.01)
    failed = asyncio.Event()

    async def fail(*_: object) -> None:
        failed.set()
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(dispatcher, "_anything_due", fail)
        dispatcher.start()
        await failed.wait()
    async with database.session() as session:
        session.add(pending("sender", due_at=datetime.now(UTC)))
    assert (await next_of(settled)).state == "done"
    await dispatcher.close()


@pytest.mark.parametrize("error", [StoreDownError("away"), StoreError("refused"), RuntimeError("a mistake")])
async def test_housekeeping_goes_on_whatever_goes_wrong(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    turns: asyncio.Queue[None] = asyncio.Queue()

    async def fail(_: Dispatcher) -> None:
        turns.put_nowait(None)
        raise error

    monkeypatch.setattr(host, "_HOUSEKEEPING_S", 0.01)
    monkeypatch.setattr(Dispatcher, "counts", fail)
    worker, _ = make_worker(Provider().send)
    async with running(worker, database=database):
        for _ in range(3):
            await asyncio.wait_for(turns.get(), 10)


async def test_an_effect_due_later_waits(database: Database) -> None:
    now = datetime.now(UTC)
    clock = [now]
    provider = Provider()
    await upgrade(database, SCHEMA)
    delivery = Delivery(channel="sms", send=provider.send, idempotent=True)
    dispatcher = Dispatcher(database, "later", {"sms": delivery}, poll_s=0.01, now=lambda: clock[0])
    async with database.session() as session:
        session.add(pending("later", due_at=now + timedelta(hours=1)))
    assert await dispatcher._take(10) == []
    clock[0] = now + timedelta(hours=2)
    [effect] = await dispatcher._take(10)
    assert effect.attempt == 1
    async with database.session() as session:
        await session.execute(update(EffectRow).values(state="done"))
    await dispatcher.prune(older_than=timedelta(hours=-3))
    assert await rows(database) == []


async def test_an_effect_nobody_delivers_is_an_error_of_the_tool(database: Database) -> None:
    worker = Worker("silent")

    @worker.tool
    async def text(context: WorkerContext) -> None:
        """Sends a message."""
        context.effects.add("sms", {})

    async with running(worker, database=database) as bench:
        with pytest.raises(RemoteError):
            await bench.call("text")
    assert await rows(database) == []
