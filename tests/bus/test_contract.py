"""What both buses do alike."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from tests.bus.conftest import OpenBus
from tests.bus.unique import unique

from perhop.tools.bus import (
    Bus,
    BusBusyError,
    BusDownError,
    BusPayloadError,
    BusTimeoutError,
    Consumer,
    Endpoint,
    Message,
    NotNowError,
    NoWorkerError,
    RemoteError,
    Service,
)


def service(name: str, subject: str, respond: object, **options: object) -> Service:
    return Service(name=name, endpoints=[Endpoint(name="one", subject=subject, respond=respond)], **options)  # type: ignore[arg-type]


async def echo(message: Message) -> bytes:
    return message.payload


async def test_a_request_reaches_whoever_serves_its_subject_with_its_headers(bus: Bus) -> None:
    tool = unique("tool")
    seen: list[Message] = []

    async def respond(message: Message) -> bytes:
        seen.append(message)
        return b"pong"

    await bus.serve(service("s", f"perhop.tools.*.{tool}", respond))
    await bus.flush()
    assert await bus.request(f"perhop.tools.acme.{tool}", b"ping", headers={"Trace": "abc"}) == b"pong"
    assert seen[0].subject == f"perhop.tools.acme.{tool}"
    assert (seen[0].payload, seen[0].headers["Trace"]) == (b"ping", "abc")


async def test_a_subject_nobody_serves_is_known_at_once(bus: Bus) -> None:
    began = time.monotonic()
    with pytest.raises(NoWorkerError) as caught:
        await bus.request(f"perhop.tools.acme.{unique('none')}", b"", timeout_s=30)
    assert time.monotonic() - began < 1
    assert not caught.value.delivered


async def test_a_request_without_an_answer_ends_at_its_timeout(bus: Bus) -> None:
    subject = unique("perhop.tools.acme.slow")
    gate = asyncio.Event()

    async def respond(message: Message) -> bytes:
        await gate.wait()
        return b""

    await bus.serve(service("s", subject, respond))
    await bus.flush()
    with pytest.raises(BusTimeoutError) as caught:
        await bus.request(subject, b"", timeout_s=0.05)
    assert caught.value.delivered
    gate.set()


async def test_an_error_of_the_server_reaches_whoever_asked_by_code(bus: Bus) -> None:
    subject = unique("perhop.tools.acme.broken")

    async def respond(message: Message) -> bytes:
        raise RemoteError("busy", "come back\nlater")

    await bus.serve(service("s", subject, respond))
    await bus.flush()
    with pytest.raises(RemoteError, match="come back") as caught:
        await bus.request(subject, b"")
    assert caught.value.code == "busy"


async def test_a_broken_server_answers_without_telling_what_its_exception_says(bus: Bus) -> None:
    subject = unique("perhop.tools.acme.broken")

    async def respond(message: Message) -> bytes:
        raise ValueError("the caller's name is Alice")

    await bus.serve(service("s", subject, respond))
    await bus.flush()
    with pytest.raises(RemoteError) as caught:
        await bus.request(subject, b"")
    assert caught.value.code == "internal"
    assert "Alice" not in str(caught.value)


async def test_requests_are_answered_at_the_same_time_not_one_after_the_other(bus: Bus) -> None:
    subject = unique("perhop.tools.acme.barrier")
    together = asyncio.Barrier(5)

    async def respond(message: Message) -> bytes:
        await together.wait()
        return message.payload

    await bus.serve(service("s", subject, respond))
    await bus.flush()
    answers = await asyncio.gather(*(bus.request(subject, b"%d" % n, timeout_s=5) for n in range(5)))
    assert answers == [b"0", b"1", b"2", b"3", b"4"]


async def test_replicas_share_the_requests(open_bus: OpenBus) -> None:
    subject = unique("perhop.tools.acme.shared")
    bus = await open_bus()
    counts: Counter[int] = Counter()

    def replica(number: int) -> Service:
        async def respond(message: Message) -> bytes:
            counts[number] += 1
            return b""

        return service("shared", subject, respond)

    for number in range(3):
        await bus.serve(replica(number))
    await bus.flush()
    for _ in range(60):
        await bus.request(subject, b"")
    assert sum(counts.values()) == 60
    assert len(counts) == 3
    assert min(counts.values()) >= 5


async def test_more_requests_than_a_service_takes_are_refused_not_queued(bus: Bus) -> None:
    subject = unique("perhop.tools.acme.full")
    gate, entered = asyncio.Event(), asyncio.Event()

    async def respond(message: Message) -> bytes:
        entered.set()
        await gate.wait()
        return b"done"

    await bus.serve(service("s", subject, respond, max_running=1))
    await bus.flush()
    first = asyncio.create_task(bus.request(subject, b""))
    await asyncio.wait_for(entered.wait(), 5)
    with pytest.raises(RemoteError) as caught:
        await bus.request(subject, b"")
    assert caught.value.code == "busy"
    gate.set()
    assert await first == b"done"


async def test_more_unanswered_requests_than_may_be_are_refused(open_bus: OpenBus) -> None:
    bus = await open_bus(max_requests=1)
    subject = unique("perhop.tools.acme.many")
    gate, entered = asyncio.Event(), asyncio.Event()

    async def respond(message: Message) -> bytes:
        entered.set()
        await gate.wait()
        return b""

    await bus.serve(service("s", subject, respond))
    await bus.flush()
    first = asyncio.create_task(bus.request(subject, b""))
    await asyncio.wait_for(entered.wait(), 5)
    with pytest.raises(BusBusyError) as caught:
        await bus.request(subject, b"")
    assert not caught.value.delivered
    gate.set()
    await first


async def test_a_message_that_is_too_large_is_not_sent(open_bus: OpenBus) -> None:
    bus = await open_bus(max_payload_bytes=1024)
    for send in (bus.request("a.b", bytes(1025)), bus.publish("a.b", bytes(1025))):
        with pytest.raises(BusPayloadError):
            await send


async def test_a_service_that_closes_finishes_what_it_began_and_takes_nothing_new(bus: Bus) -> None:
    subject = unique("perhop.tools.acme.drain")
    gate, entered = asyncio.Event(), asyncio.Event()

    async def respond(message: Message) -> bytes:
        entered.set()
        await gate.wait()
        return b"finished"

    handle = await bus.serve(service("s", subject, respond))
    await bus.flush()
    asking = asyncio.create_task(bus.request(subject, b""))
    await asyncio.wait_for(entered.wait(), 5)
    closing = asyncio.create_task(handle.close(grace_s=5))
    async with asyncio.timeout(5):
        while True:
            try:
                await bus.request(subject, b"", timeout_s=0.2)
            except NoWorkerError:
                break
            except BusTimeoutError:
                continue
    gate.set()
    assert await asking == b"finished"
    await closing
    await handle.close()


async def test_subscribers_get_what_matches_in_order(bus: Bus) -> None:
    call = unique("rtc")
    got: list[bytes] = []
    all_there = asyncio.Event()

    async def handle(message: Message) -> None:
        got.append(message.payload)
        if len(got) == 20:
            all_there.set()

    await bus.subscribe(f"perhop.calls.*.{call}.>", handle)
    await bus.flush()
    for number in range(20):
        await bus.publish(f"perhop.calls.acme.{call}.stats", b"%d" % number)
        await bus.publish(f"perhop.calls.acme.{call}x.stats", b"other")
    await asyncio.wait_for(all_there.wait(), 5)
    assert got == [b"%d" % number for number in range(20)]


async def test_of_a_group_one_gets_each_message(bus: Bus) -> None:
    subject = unique("perhop.calls.acme.group")
    got: Counter[int] = Counter()
    done = asyncio.Event()

    def member(number: int) -> object:
        async def handle(message: Message) -> None:
            got[number] += 1
            if sum(got.values()) == 40:
                done.set()

        return handle

    for number in range(2):
        await bus.subscribe(subject, member(number), group="g")  # type: ignore[arg-type]
    await bus.flush()
    for _ in range(40):
        await bus.publish(subject, b"")
    await asyncio.wait_for(done.wait(), 5)
    await bus.flush()
    assert sum(got.values()) == 40
    assert len(got) == 2


async def test_a_subscriber_that_raises_gets_the_next_message(bus: Bus) -> None:
    subject = unique("perhop.calls.acme.raise")
    second = asyncio.Event()

    async def handle(message: Message) -> None:
        if message.payload == b"1":
            raise ValueError
        second.set()

    await bus.subscribe(subject, handle)
    await bus.flush()
    await bus.publish(subject, b"1")
    await bus.publish(subject, b"2")
    await asyncio.wait_for(second.wait(), 5)


async def test_a_closed_subscription_hears_nothing_more(bus: Bus) -> None:
    subject = unique("perhop.calls.acme.closed")
    got: list[bytes] = []
    other = asyncio.Event()

    async def handle(message: Message) -> None:
        got.append(message.payload)

    async def handle_other(message: Message) -> None:
        other.set()

    handle_one = await bus.subscribe(subject, handle)
    await bus.subscribe(subject, handle_other)
    await handle_one.close()
    await bus.flush()
    await bus.publish(subject, b"1")
    await asyncio.wait_for(other.wait(), 5)
    assert got == []


async def test_kept_messages_reach_a_consumer_in_order_and_once(bus: Bus) -> None:
    call = unique("rtc")
    got: list[bytes] = []
    done = asyncio.Event()

    async def handle(message: Message) -> None:
        got.append(message.payload)
        if len(got) == 10:
            done.set()

    consumer = Consumer(name=unique("c"), subject=f"perhop.calls.*.{call}.transcript", handle=handle)
    await bus.consume(consumer)
    for number in range(10):
        for _ in range(2):
            await bus.keep(f"perhop.calls.acme.{call}.transcript", b"%d" % number, message_id=f"{call}-{number}")
    await asyncio.wait_for(done.wait(), 10)
    assert got == [b"%d" % number for number in range(10)]


async def test_a_kept_message_comes_again_until_it_was_taken(bus: Bus) -> None:
    call = unique("rtc")
    attempts: list[bytes] = []
    done = asyncio.Event()

    async def handle(message: Message) -> None:
        attempts.append(message.payload)
        if len(attempts) < 3:
            raise ConnectionError
        if message.payload == b"second":
            done.set()

    await bus.consume(
        Consumer(name=unique("c"), subject=f"perhop.calls.*.{call}.transcript", handle=handle, retry_wait_s=0.05)
    )
    for number, payload in enumerate((b"first", b"second")):
        async with asyncio.timeout(10):
            while True:
                try:
                    await bus.keep(f"perhop.calls.acme.{call}.transcript", payload, message_id=f"{call}-{number}")
                    break
                except BusDownError:
                    continue
    await asyncio.wait_for(done.wait(), 10)
    assert attempts == [b"first", b"first", b"first", b"second"]


async def test_a_message_nobody_can_take_is_given_up_and_the_next_one_comes(bus: Bus) -> None:
    call = unique("rtc")
    attempts: list[bytes] = []
    done = asyncio.Event()

    async def handle(message: Message) -> None:
        attempts.append(message.payload)
        if message.payload == b"poison":
            raise ValueError
        done.set()

    await bus.consume(
        Consumer(
            name=unique("c"),
            subject=f"perhop.calls.*.{call}.transcript",
            handle=handle,
            attempts=2,
            retry_wait_s=0.05,
        )
    )
    for number, payload in enumerate((b"poison", b"good")):
        async with asyncio.timeout(10):
            while True:
                try:
                    await bus.keep(f"perhop.calls.acme.{call}.transcript", payload, message_id=f"{call}-{number}")
                    break
                except BusDownError:
                    continue
    await asyncio.wait_for(done.wait(), 10)
    assert attempts == [b"poison", b"poison", b"good"]


async def test_a_message_that_has_to_wait_is_never_given_up(bus: Bus) -> None:
    call = unique("rtc")
    attempts: list[bytes] = []
    done = asyncio.Event()

    async def handle(message: Message) -> None:
        attempts.append(message.payload)
        if len(attempts) <= 5:
            raise NotNowError("the database is away")
        done.set()

    subject = f"perhop.calls.acme.{call}.transcript"
    consumer = Consumer(name=unique("c"), subject=subject, handle=handle, attempts=1, retry_wait_s=0.02)
    await bus.consume(consumer)
    async with asyncio.timeout(10):
        while True:
            try:
                await bus.keep(subject, b"patient", message_id=call)
                break
            except BusDownError:
                continue
    await asyncio.wait_for(done.wait(), 10)
    assert attempts == [b"patient"] * 6


async def test_what_was_forgotten_reaches_nobody_any_more(bus: Bus) -> None:
    gone, there = unique("rtc"), unique("rtc")
    for call in (gone, there):
        await bus.keep(f"perhop.calls.acme.{call}.transcript", call.encode(), message_id=call)
    await bus.forget(f"perhop.calls.acme.{gone}.transcript")
    got: list[bytes] = []
    done = asyncio.Event()

    async def handle(message: Message) -> None:
        if message.payload in (gone.encode(), there.encode(), b"last"):
            got.append(message.payload)
        if message.payload == b"last":
            done.set()

    await bus.consume(Consumer(name=unique("c"), subject="perhop.calls.acme.*.transcript", handle=handle))
    await bus.keep(f"perhop.calls.acme.{there}.transcript", b"last", message_id=f"{there}-2")
    await asyncio.wait_for(done.wait(), 20)
    assert gone.encode() not in got


async def test_services_tell_what_they_serve(bus: Bus) -> None:
    name = unique("crm")
    await bus.serve(
        Service(
            name=name,
            version="1.2.3",
            description="Contacts",
            endpoints=[
                Endpoint(name="find", subject=unique("a.b"), respond=echo, metadata={"tool": '{"name": "find"}'})
            ],
        )
    )
    await bus.flush()
    found = {info.name: info for info in await bus.services(timeout_s=0.3)}
    assert found[name].version == "1.2.3"
    assert found[name].description == "Contacts"
    assert found[name].endpoints == {"find": {"tool": '{"name": "find"}'}}


async def test_a_closed_bus_says_so(open_bus: OpenBus) -> None:
    bus = await open_bus()
    await bus.close()
    await bus.close()
    assert not bus.connected
    with pytest.raises(BusDownError):
        await bus.request("a.b", b"")
    with pytest.raises(BusDownError):
        await bus.publish("a.b", b"")
    with pytest.raises(BusDownError):
        await bus.serve(service("s", "a.b", echo))
