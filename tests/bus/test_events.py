"""Events of calls: in order and once, whatever becomes of the bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.bus.conftest import until
from tests.bus.servers import NatsServer, needs_nats
from tests.store.databases import database, database_url, postgres_server, postgres_url, sqlite_url

from perhop.store import Database, StoreDownError, StoreError, upgrade
from perhop.tools.bus import BusDownError, BusPayloadError, Consumer, InProcessBus, Message, NatsBus
from perhop.tools.bus.events import CallEvents
from perhop.tools.bus.outbox import EventOutbox, KeptEvent
from perhop.tools.bus.tables import SCHEMA

__all__ = ["database", "database_url", "postgres_server", "postgres_url", "sqlite_url"]


class FakeBus(InProcessBus):
    """Takes messages, or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.doubtful = 0
        self.kept: dict[str, bytes] = {}
        self.published: list[str] = []
        self.too_large = b""

    @property
    def connected(self) -> bool:
        return not self.down

    async def keep(
        self, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> None:
        if self.down:
            raise BusDownError("down")
        if self.too_large and self.too_large in payload:
            raise BusPayloadError("too large")
        self.kept.setdefault(message_id, payload)
        if self.doubtful:
            self.doubtful -= 1
            raise BusDownError("the answer was lost", delivered=True)

    async def publish(self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        if self.down:
            raise BusDownError("down")
        self.published.append(subject)

    def numbers(self) -> list[int]:
        return [json.loads(payload)["data"]["n"] for payload in self.kept.values()]


@pytest.fixture
async def outbox(database: Database) -> EventOutbox:
    await upgrade(database, SCHEMA)
    return EventOutbox(database)


@pytest.fixture
async def bus() -> AsyncIterator[FakeBus]:
    bus = FakeBus()
    yield bus
    await bus.close()


def say(events: CallEvents, *numbers: int) -> None:
    for number in numbers:
        events.emit("acme", "rtc_1", "transcript", {"n": number})


def kept(number: int) -> KeptEvent:
    payload = json.dumps({"data": {"n": number}}).encode()
    return KeptEvent(subject="perhop.calls.a.rtc_1.transcript", message_id=f"m{number}", payload=payload)


async def test_events_reach_a_bus_that_is_up_in_order_without_touching_the_store(bus: FakeBus) -> None:
    events = CallEvents(bus)
    events.start()
    say(events, 1, 2, 3)
    events.emit("acme", "rtc_1", "stats", {"rtt": 1})
    await events.settled()
    assert bus.numbers() == [1, 2, 3]
    assert bus.published == ["perhop.calls.acme.rtc_1.stats"]
    first = json.loads(next(iter(bus.kept.values())))
    assert (first["tenant"], first["call_id"], first["kind"]) == ("acme", "rtc_1", "transcript")
    await events.close()


async def test_events_of_an_outage_wait_in_the_store_and_come_later_in_order_and_once(
    bus: FakeBus, outbox: EventOutbox
) -> None:
    events = CallEvents(bus, outbox, retry_s=0.01)
    events.start()
    say(events, 1)
    await until(lambda: not events.figures.spooling)
    bus.down = True
    say(events, 2, 3)
    await events.settled()
    say(events, 4)
    await events.settled()
    assert len(await outbox.first(10)) == 3
    assert bus.numbers() == [1]
    bus.down = False
    say(events, 5)
    await until(lambda: not events.figures.spooling)
    say(events, 6)
    await events.settled()
    assert bus.numbers() == [1, 2, 3, 4, 5, 6]
    assert await outbox.first(10) == []
    assert events.figures.dropped == 0
    await events.close()


async def test_an_answer_that_was_lost_makes_the_same_message_come_again_not_another(
    bus: FakeBus, outbox: EventOutbox
) -> None:
    events = CallEvents(bus, outbox, retry_s=0.01)
    events.start()
    await until(lambda: not events.figures.spooling)
    bus.doubtful = 1
    say(events, 1, 2)
    await events.settled()
    await until(lambda: not events.figures.spooling)
    assert bus.numbers() == [1, 2]
    await events.close()


async def test_what_a_former_process_left_goes_first(bus: FakeBus, outbox: EventOutbox) -> None:
    await outbox.add([kept(1), kept(2)])
    events = CallEvents(bus, outbox, retry_s=0.01)
    say(events, 3)
    events.start()
    await until(lambda: not events.figures.spooling)
    await events.settled()
    assert bus.numbers() == [1, 2, 3]
    await events.close()


async def test_a_process_that_ends_during_an_outage_saves_what_it_has(bus: FakeBus, outbox: EventOutbox) -> None:
    bus.down = True
    events = CallEvents(bus, outbox, retry_s=0.01)
    events.start()
    say(events, *range(500))
    await events.close()
    waiting = await outbox.first(1000)
    assert [json.loads(event.payload)["data"]["n"] for event in waiting] == list(range(500))


async def test_statistics_of_an_outage_are_forgotten(bus: FakeBus, outbox: EventOutbox) -> None:
    events = CallEvents(bus, outbox, retry_s=0.01)
    events.start()
    bus.down = True
    events.emit("acme", "rtc_1", "stats", {})
    await events.settled()
    assert await outbox.first(10) == []
    await events.close()


async def test_a_message_the_bus_never_takes_does_not_stop_the_others(bus: FakeBus) -> None:
    bus.too_large = b'"n":2'
    events = CallEvents(bus)
    events.start()
    say(events, 1, 2, 3)
    await events.settled()
    assert bus.numbers() == [1, 3]
    assert events.figures.dropped == 1
    await events.close()


async def test_without_bus_and_store_memory_is_bounded_and_the_oldest_go(bus: FakeBus) -> None:
    bus.down = True
    events = CallEvents(bus, queue=3, retry_s=0.01)
    events.start()
    say(events, 1, 2, 3, 4, 5)
    bus.down = False
    await events.settled()
    assert bus.numbers() == [3, 4, 5]
    assert events.figures.dropped == 2
    await events.close()


@pytest.mark.parametrize("error", [StoreDownError("away"), StoreError("refused"), RuntimeError("a mistake")])
async def test_a_store_that_fails_as_well_costs_memory_not_order(
    bus: FakeBus, outbox: EventOutbox, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    away = True
    tried = asyncio.Event()
    add = outbox.add

    async def maybe(events: Any) -> int:
        tried.set()
        if away:
            raise error
        return await add(events)

    monkeypatch.setattr(outbox, "add", maybe)
    bus.down = True
    events = CallEvents(bus, outbox, retry_s=0.01)
    events.start()
    say(events, 1, 2)
    await tried.wait()
    away, bus.down = False, False
    say(events, 3)
    await asyncio.wait_for(events.settled(), 10)
    await until(lambda: not events.figures.spooling)
    assert bus.numbers() == [1, 2, 3]
    await events.close()


async def test_the_outbox_is_bounded_and_the_oldest_go(database: Database) -> None:
    await upgrade(database, SCHEMA)
    outbox = EventOutbox(database, limit=3)
    assert await outbox.add([kept(n) for n in range(5)]) == 2
    assert [event.message_id for event in await outbox.first(10)] == ["m2", "m3", "m4"]
    assert await outbox.add([kept(4)]) == 0


async def test_one_process_at_a_time_delivers(database: Database) -> None:
    await upgrade(database, SCHEMA)
    now = [datetime.now(UTC)]
    one, two = (EventOutbox(database, now=lambda: now[0]) for _ in range(2))
    assert await one.take_turn()
    assert await one.take_turn()
    assert not await two.take_turn()
    now[0] += timedelta(minutes=2)
    assert await two.take_turn()
    assert not await one.take_turn()
    await two.end_turn()
    assert await one.take_turn()


@needs_nats
@pytest.mark.integration
async def test_over_nats_events_survive_outages_in_order_and_once(nats_server: NatsServer, outbox: EventOutbox) -> None:
    bus = await NatsBus.open(nats_server.settings(), wait_s=5)
    got: list[int] = []

    async def take(message: Message) -> None:
        got.append(json.loads(message.payload)["data"]["n"])

    await bus.consume(Consumer(name="t", subject="perhop.calls.*.*.transcript", handle=take))
    events = CallEvents(bus, outbox, retry_s=0.05)
    events.start()
    say(events, *range(20))
    await until(lambda: len(got) == 20)
    nats_server.kill()
    say(events, *range(20, 40))
    await events.settled()
    nats_server.start()
    say(events, *range(40, 60))
    await until(lambda: len(got) >= 60, timeout_s=20)
    await events.close()
    await bus.close()
    assert got == list(range(60))
    assert await outbox.first(1) == []
