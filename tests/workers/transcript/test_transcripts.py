"""What was said is kept, found and given out, on both databases and over both buses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from tests.bus.servers import NatsServer, needs_nats
from tests.bus.unique import unique
from tests.workers.calls import BEGIN, Gateway, until

from perhop.config import Settings
from perhop.store import Database, StoreDownError
from perhop.tools.bus import ANY, Bus, Consumer, Message, NatsBus, NotNowError, RemoteError, call_subject
from perhop.tools.guard import Guard
from perhop.workers.call_events import CallEvent, EventReader, consumer_of
from perhop.workers.sdk.tables import EffectRow
from perhop.workers.sdk.testing import WorkerBench, running
from perhop.workers.transcript.book import MAX_BYTES, PAGE, Said, Talk, words_of
from perhop.workers.transcript.formats import as_text, as_vtt
from perhop.workers.transcript.tables import CutRow, TalkRow, TurnRow
from perhop.workers.transcript.worker import make_worker


def worker(now_days: float = 0, **settings: Any) -> Any:
    made = Settings.model_validate({"workers": {"transcript": settings}})
    return make_worker(made, Guard(), now=lambda: BEGIN + timedelta(days=now_days))


@pytest.fixture
async def bench(database: Database, bus: Bus) -> AsyncIterator[WorkerBench]:
    async with running(worker(), database=database, bus=bus) as bench:
        yield bench


async def read(bench: WorkerBench, call_id: str, turns: int, *, begun: bool = False, **options: Any) -> Any:
    """The transcript, once it has so many turns; ``begun``: and it is known when the call began, which another consumer
    tells."""

    async def look() -> Any:
        try:
            return await bench.call("read_transcript", {"call_id": call_id})
        except RemoteError:
            return None

    def there(found: Any) -> bool:
        return found and len(found["content"]["turns"]) >= turns and (found["content"]["agent"] or not begun)

    await until(look, there)
    return await bench.call("read_transcript", {"call_id": call_id, **options})


async def conversation(gateway: Gateway) -> None:
    await gateway.begin()
    await gateway.say(1.5, "agent", "Good morning.", item_id="item_a")
    await gateway.say(4.25, "caller", "Is the <doctor> in & free?", item_id="item_b")
    await gateway.tell("transcript", 6.0, {"type": "cut", "item_id": "item_c", "heard_ms": 800})
    await gateway.say(6.5, "agent", "He is in.\nHe has time at ten.", item_id="item_c")
    await gateway.end(9)


async def test_turns_are_there_as_they_happen_and_in_order(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    await gateway.begin()
    await gateway.say(3, "caller", "second", item_id="item_b")
    await gateway.say(1, "agent", "first", item_id="item_a")
    told = await read(bench, gateway.call_id, 2, begun=True)
    assert [(turn["role"], turn["text"], turn["at_s"]) for turn in told["content"]["turns"]] == [
        ("agent", "first", 1.0),
        ("caller", "second", 3.0),
    ]
    assert (told["content"]["agent"], told["content"]["ended_at"], told["after"]) == ("desk", None, None)
    await gateway.end(7)

    async def ended() -> Any:
        return (await bench.call("read_transcript", {"call_id": gateway.call_id}))["content"]["ended_at"]

    assert await until(ended, bool) == "2026-11-20T09:00:07Z"


async def test_an_event_that_comes_again_is_one_turn(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    event_id = await gateway.say(1, "caller", "once")
    for _ in range(3):
        await gateway.say(1, "caller", "once", event_id=event_id)
    await gateway.say(2, "caller", "twice")
    assert len((await read(bench, gateway.call_id, 2))["content"]["turns"]) == 2


@needs_nats
async def test_what_was_said_while_the_worker_was_away_is_there_when_it_is_back(
    database: Database, shared_nats: NatsServer
) -> None:
    bus = await NatsBus.open(shared_nats.settings(), wait_s=5)
    try:
        gateway = Gateway(bus, unique("rtc"))
        async with running(worker(), database=database, bus=bus):
            await gateway.say(1, "caller", "before")
        await gateway.say(2, "caller", "meanwhile")
        async with running(worker(), database=database, bus=bus) as bench:
            await gateway.say(3, "caller", "after")
            turns = (await read(bench, gateway.call_id, 3))["content"]["turns"]
        assert [turn["text"] for turn in turns] == ["before", "meanwhile", "after"]
    finally:
        await bus.close()


async def test_the_three_formats(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    await conversation(gateway)
    content = (await read(bench, gateway.call_id, 3, begun=True))["content"]
    assert content["turns"][2] == {
        "role": "agent",
        "text": "He is in.\nHe has time at ten.",
        "spoken": True,
        "at": "2026-11-20T09:00:06.500000Z",
        "at_s": 6.5,
        "heard_ms": 800,
    }
    assert (await read(bench, gateway.call_id, 3, format="text"))["content"] == (
        "[00:00:01] Agent: Good morning.\n"
        "[00:00:04] Caller: Is the <doctor> in & free?\n"
        "[00:00:06] Agent: He is in. He has time at ten. [cut off after 0.8 s]\n"
    )
    assert (await read(bench, gateway.call_id, 3, format="vtt"))["content"] == (
        "WEBVTT\n\n"
        "00:00:01.500 --> 00:00:02.500\n<v Agent>Good morning.</v>\n\n"
        "00:00:04.250 --> 00:00:05.983\n<v Caller>Is the &lt;doctor&gt; in &amp; free?</v>\n\n"
        "00:00:06.500 --> 00:00:07.500\n<v Agent>He is in. He has time at ten.</v>\n\n"
    )


@pytest.mark.parametrize("kind", ["json", "text", "vtt"])
async def test_a_long_call_comes_in_pieces_without_gaps(bench: WorkerBench, bus: Bus, kind: str) -> None:
    gateway = Gateway(bus, unique("rtc"))
    for number in range(7):
        # Some at the same moment: the order must not depend on it.
        await gateway.say(number // 3, "caller", f"turn {number} " + "<\1" * (MAX_BYTES // 5))
    await read(bench, gateway.call_id, 2)

    async def pieces() -> list[Any]:
        found, after = [], 0
        while after is not None:
            piece = await bench.call("read_transcript", {"call_id": gateway.call_id, "format": kind, "after": after})
            found.append(piece["content"])
            after = piece["after"]
        return found

    def text(found: list[Any]) -> str:
        return json.dumps(found)

    found = await until(pieces, lambda found: "turn 6" in text(found))
    assert len(found) > 1
    said = text(found)
    assert [said.count(f"turn {number} ") for number in range(7)] == [1] * 7
    assert said.count("WEBVTT") == (1 if kind == "vtt" else 0)


async def search(bench: WorkerBench, words: str, **options: Any) -> list[str]:
    found = await bench.call("search_transcripts", {"words": words, **options})
    return [turn["text"] for turn in found["turns"]]


async def test_what_was_said_is_found_by_its_words(bench: WorkerBench, bus: Bus) -> None:
    one, two = Gateway(bus, unique("rtc")), Gateway(bus, unique("rtc"))
    await one.say(1, "caller", "My CAFÉ is at john.smith@example.com, isn't it?")
    await one.say(2, "agent", "The café opens at nine.")
    await two.say(3600, "caller", "A café again")
    await read(bench, one.call_id, 2)
    await read(bench, two.call_id, 1)
    assert await search(bench, "café") == [
        "A café again",
        "The café opens at nine.",
        "My CAFÉ is at john.smith@example.com, isn't it?",
    ]
    assert await search(bench, "Smith example") == ["My CAFÉ is at john.smith@example.com, isn't it?"]
    assert await search(bench, "cafe") == []
    assert await search(bench, "café nine") == ["The café opens at nine."]
    assert await search(bench, "café", role="agent") == ["The café opens at nine."]
    assert await search(bench, "café", since="2026-11-20T09:30:00Z") == ["A café again"]
    assert await search(bench, "café", until="2026-11-20T09:00:02Z") == [
        "My CAFÉ is at john.smith@example.com, isn't it?"
    ]
    with pytest.raises(RemoteError, match="no words"):
        await search(bench, "?!")


@pytest.mark.parametrize("words", ["' OR 1=1 --", '" OR "1"="1', "caf*", 'NEAR("a" "b")', "words : a", "a:* & !b | c"])
async def test_a_query_is_words_and_nothing_else(bench: WorkerBench, bus: Bus, words: str) -> None:
    gateway = Gateway(bus, unique("rtc"))
    await gateway.say(1, "caller", "café")
    await read(bench, gateway.call_id, 1)
    assert await search(bench, words) == []


async def test_results_come_in_pages(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    for number in range(PAGE + 1):
        await gateway.say(number, "caller", f"pear {number}")
    await read(bench, gateway.call_id, PAGE + 1)
    assert len(await search(bench, "pear")) == PAGE
    assert await search(bench, "pear", page=2) == ["pear 0"]


async def test_a_tenant_sees_its_own_calls_only(bench: WorkerBench, bus: Bus) -> None:
    mine, theirs = Gateway(bus, unique("rtc")), Gateway(bus, unique("rtc"), tenant="other")
    await theirs.say(1, "caller", "a secret plum")
    await mine.say(1, "caller", "a plum")
    await read(bench, mine.call_id, 1)

    async def there() -> Any:
        return (await bench.call("search_transcripts", {"words": "plum"}, tenant="other"))["turns"]

    await until(there, bool)
    assert await search(bench, "plum") == ["a plum"]
    with pytest.raises(RemoteError, match="Nothing of this call"):
        await bench.call("read_transcript", {"call_id": theirs.call_id})
    await bench.call("forget_transcript", {"call_id": theirs.call_id})
    assert await there()


async def counts(database: Database) -> list[int]:
    async with database.session(reading=True) as session:
        return [
            await session.scalar(select(func.count()).select_from(table)) or 0 for table in (TalkRow, TurnRow, CutRow)
        ]


async def test_a_call_can_be_forgotten(bench: WorkerBench, bus: Bus) -> None:
    gateway = Gateway(bus, unique("rtc"))
    await conversation(gateway)
    await read(bench, gateway.call_id, 3)
    assert (await bench.call("forget_transcript", {"call_id": gateway.call_id}))["deleted"] is True
    assert await search(bench, "morning") == []
    assert (await counts(bench.database))[1:] == [0, 0]


async def kept(bus: Bus, *calls: str) -> list[str]:
    """Of these calls, those of which the bus would tell a new consumer anything; the last one has to be among them."""
    found: set[str] = set()
    done = asyncio.Event()

    async def handle(message: Message) -> None:
        found.add(message.subject.split(".")[3])
        if calls[-1] in found:
            done.set()

    consumer = await bus.consume(
        Consumer(name=unique("c"), subject=call_subject("default", ANY, "transcript"), handle=handle)
    )
    await asyncio.wait_for(done.wait(), 20)
    await consumer.close()
    return [call for call in calls if call in found]


@needs_nats
async def test_what_is_forgotten_the_bus_keeps_no_longer_either(database: Database, shared_nats: NatsServer) -> None:
    bus = await NatsBus.open(shared_nats.settings(), wait_s=5)
    try:
        asked, old, there = (Gateway(bus, unique("rtc")) for _ in range(3))
        async with running(worker(keep_days=0), database=database, bus=bus) as bench:
            for gateway in (asked, old, there):
                await gateway.say(0 if gateway is not there else 5 * 86_400, "caller", "my number is")
                await read(bench, gateway.call_id, 1)
            await bench.call("forget_transcript", {"call_id": asked.call_id})
            await until(lambda: effects(database), lambda states: states == ["done"])
        async with running(worker(3, keep_days=2), database=database, bus=bus):
            await until(lambda: counts(database), lambda found: found[0] == 1)
        assert await kept(bus, asked.call_id, old.call_id, there.call_id) == [there.call_id]
    finally:
        await bus.close()


async def effects(database: Database) -> list[str]:
    async with database.session(reading=True) as session:
        return list(await session.scalars(select(EffectRow.state)))


async def test_events_wait_for_a_database_however_long_it_is_away() -> None:
    async def take(event: CallEvent) -> None:
        raise StoreDownError("away")

    consumer = consumer_of("transcript", name="c", reader=EventReader("x"), take=take)
    body = {"id": "e", "at": 1, "data": {"type": "said"}}
    message = Message(call_subject("default", "rtc_1", "transcript"), json.dumps(body).encode())
    with pytest.raises(NotNowError):
        await consumer.handle(message)


async def test_old_calls_are_forgotten_and_newer_ones_are_not(bench: WorkerBench, bus: Bus) -> None:
    old, new = Gateway(bus, unique("rtc")), Gateway(bus, unique("rtc"))
    await conversation(old)
    await conversation(new)
    await new.say(86_400, "caller", "still there")
    await read(bench, old.call_id, 3)
    await read(bench, new.call_id, 4)
    async with running(worker(30.5, keep_days=30), database=bench.database, bus=bus):
        assert await until(lambda: counts(bench.database), lambda found: found[0] == 1) == [1, 4, 1]
    assert await search(bench, "morning") == ["Good morning."]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b'{"id": "x", "at": 1, "data": null}',
        b'{"id": 1, "at": 1, "data": {"type": "said"}}',
        b'{"id": "x", "at": "now", "data": {"type": "said"}}',
        b'{"id": "x", "at": 1e300, "data": {"type": "said"}}',
        b'{"id": "x", "at": 1, "data": {"type": ["said"]}}',
        b'{"id": "x", "at": 1, "data": {"type": "said", "role": "judge", "text": "a", "item_id": "i"}}',
        b'{"id": "x", "at": 1, "data": {"type": "said", "role": "caller", "text": 1, "item_id": "i"}}',
        b'{"id": "x", "at": 1, "data": {"type": "cut", "item_id": "i", "heard_ms": -1}}',
    ],
)
async def test_what_is_no_event_is_passed_over(bench: WorkerBench, bus: Bus, payload: bytes) -> None:
    gateway = Gateway(bus, unique("rtc"))
    await bus.keep(call_subject("default", gateway.call_id, "transcript"), payload, message_id=unique("bad"))
    await gateway.say(1, "caller", "after\0 it")
    turns = (await read(bench, gateway.call_id, 1))["content"]["turns"]
    assert [turn["text"] for turn in turns] == ["after it"]


texts = st.text(max_size=40)


@given(st.lists(st.tuples(st.floats(0, 10_000), texts, st.none() | st.integers(0, 60_000)), max_size=8))
def test_every_conversation_is_valid_webvtt(said: list[tuple[float, str, int | None]]) -> None:
    turns = [
        Said(
            key=number,
            call_id="rtc_1",
            role="agent",
            spoken=True,
            text=text,
            said_at=BEGIN + timedelta(seconds=at),
            heard_ms=heard,
        )
        for number, (at, text, heard) in enumerate(sorted(said, key=lambda one: one[0]))
    ]
    talk = Talk(call_id="rtc_1", agent=None, began_at=BEGIN, ended_at=None, turns=turns, after=None)
    blocks = as_vtt(talk).split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert blocks[-1] == ""
    assert len(blocks) == len(turns) + 2
    for block in blocks[1:-1]:
        times, text = block.split("\n")
        begin, end = times.split(" --> ")
        assert begin < end
        assert "-->" not in text
    assert as_text(talk).count("\n") == len(turns)


@given(st.text(max_size=200))
def test_words_are_their_own_words(text: str) -> None:
    words = words_of(text)
    assert all(word and '"' not in word and not word.isspace() for word in words)
