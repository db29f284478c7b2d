"""NATS that goes away and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.bus.conftest import until
from tests.bus.servers import NatsServer, needs_nats

from perhop.config.bus import BusSettings
from perhop.tools.bus import (
    BusDownError,
    BusError,
    BusTimeoutError,
    Consumer,
    Endpoint,
    Message,
    NatsBus,
    Service,
)

pytestmark = [needs_nats, pytest.mark.integration]


async def echo(message: Message) -> bytes:
    return message.payload


ECHO = Service(name="echo", endpoints=[Endpoint(name="echo", subject="perhop.tools.*.echo", respond=echo)])
SUBJECT = "perhop.tools.acme.echo"


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.open(nats_server.settings(), wait_s=5)
    yield bus
    await bus.close()


async def until_down(bus: NatsBus) -> None:
    await until(lambda: not bus.connected)


async def test_requests_fail_clearly_and_at_once_while_the_bus_is_down(nats_server: NatsServer, bus: NatsBus) -> None:
    await bus.serve(ECHO)
    await bus.flush()
    nats_server.kill()
    await until_down(bus)
    for send in (bus.request(SUBJECT, b""), bus.publish(SUBJECT, b""), bus.keep(SUBJECT, b"", message_id="1")):
        began = time.monotonic()
        with pytest.raises(BusDownError, match="down") as caught:
            await send
        assert time.monotonic() - began < 0.5
        assert not caught.value.delivered


async def test_a_request_that_waits_when_the_bus_dies_fails_within_a_second(
    nats_server: NatsServer, bus: NatsBus
) -> None:
    entered = asyncio.Event()

    async def hang(message: Message) -> bytes:
        entered.set()
        await asyncio.Event().wait()
        return b""

    endpoint = Endpoint(name="hang", subject="perhop.tools.*.hang", respond=hang)
    await bus.serve(Service(name="hang", endpoints=[endpoint]))
    await bus.flush()
    request = asyncio.create_task(bus.request("perhop.tools.acme.hang", b"", timeout_s=30))
    await asyncio.wait_for(entered.wait(), 5)
    nats_server.kill()
    began = time.monotonic()
    with pytest.raises(BusDownError) as caught:
        await request
    assert time.monotonic() - began < 1
    assert caught.value.delivered


async def test_everything_goes_on_after_a_restart(nats_server: NatsServer, bus: NatsBus) -> None:
    heard, kept = asyncio.Event(), asyncio.Queue[bytes]()

    async def hear(message: Message) -> None:
        heard.set()

    async def take(message: Message) -> None:
        kept.put_nowait(message.payload)

    await bus.serve(ECHO)
    await bus.subscribe("perhop.calls.>", hear)
    await bus.consume(Consumer(name="c", subject="perhop.calls.*.*.transcript", handle=take))
    await bus.keep("perhop.calls.acme.rtc_1.transcript", b"before", message_id="1")
    assert await asyncio.wait_for(kept.get(), 10) == b"before"
    for number in range(3):
        heard.clear()
        nats_server.kill()
        await until_down(bus)
        nats_server.start()
        async with asyncio.timeout(5):
            await bus.wait_connected()
        await bus.flush()
        assert await bus.request(SUBJECT, b"again") == b"again"
        async with asyncio.timeout(10):
            while True:
                try:
                    await bus.keep("perhop.calls.acme.rtc_1.transcript", b"%d" % number, message_id=f"n{number}")
                    break
                except BusDownError:
                    await asyncio.sleep(0.05)
        await asyncio.wait_for(heard.wait(), 5)
        assert await asyncio.wait_for(kept.get(), 10) == b"%d" % number
    assert kept.empty()


async def test_a_server_that_lost_its_storage_gets_its_stream_again(nats_server: NatsServer, bus: NatsBus) -> None:
    await bus.keep("perhop.calls.acme.rtc_1.transcript", b"before", message_id="1")
    nats_server.kill()
    nats_server.forget()
    await until_down(bus)
    nats_server.start()
    await asyncio.wait_for(bus.wait_connected(), 5)
    await bus.keep("perhop.calls.acme.rtc_1.transcript", b"after", message_id="2")


async def test_a_bus_that_is_not_there_yet_is_used_once_it_is(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    server.stop()
    bus = await NatsBus.open(server.settings(), wait_s=0.1)
    try:
        assert not bus.connected
        await bus.serve(ECHO)
        with pytest.raises(BusDownError):
            await bus.request(SUBJECT, b"")
        server.start()
        await asyncio.wait_for(bus.wait_connected(), 5)
        await bus.flush()
        assert await bus.request(SUBJECT, b"hello") == b"hello"
    finally:
        await bus.close()
        server.stop()


async def test_a_server_that_hangs_costs_a_timeout_and_is_then_noticed(nats_server: NatsServer) -> None:
    bus = await NatsBus.open(nats_server.settings(ping_s=0.1, connect_timeout_s=0.2), wait_s=5)
    try:
        await bus.serve(ECHO)
        await bus.flush()
        nats_server.pause()
        with pytest.raises((BusTimeoutError, BusDownError)):
            await bus.request(SUBJECT, b"", timeout_s=0.2)
        await until_down(bus)
        nats_server.resume()
        await asyncio.wait_for(bus.wait_connected(), 5)
    finally:
        await bus.close()


async def test_a_long_outage_is_logged_a_few_times_not_once_an_attempt(nats_server: NatsServer) -> None:
    bus = await NatsBus.open(nats_server.settings(reconnect_wait_s=0.05), wait_s=5)
    try:
        with capture_logs() as logs:
            nats_server.kill()
            await until_down(bus)
            await asyncio.sleep(1.0)  # a score of attempts
        assert sum(entry["event"] == "bus lost" for entry in logs) == 1
        assert len(logs) <= 4
    finally:
        await bus.close()


async def test_a_request_that_comes_too_late_is_not_begun(bus: NatsBus) -> None:
    began: list[Message] = []

    async def note(message: Message) -> bytes:
        began.append(message)
        return b""

    endpoint = Endpoint(name="late", subject="perhop.tools.*.late", respond=note)
    await bus.serve(Service(name="late", endpoints=[endpoint]))
    await bus.flush()
    assert await bus.request("perhop.tools.acme.late", b"") == b""
    bus._wall = lambda: time.time() - 60
    with pytest.raises(BusError, match="too late"):
        await bus.request("perhop.tools.acme.late", b"")
    assert len(began) == 1


async def test_a_server_without_jetstream_still_carries_requests(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, jetstream=False)
    server.start()
    bus = await NatsBus.open(server.settings(), wait_s=5)
    plain = await NatsBus.open(server.settings(jetstream=False), wait_s=5)
    try:
        await bus.serve(ECHO)
        await bus.flush()
        assert await bus.request(SUBJECT, b"x") == b"x"
        with capture_logs() as logs, pytest.raises(BusDownError, match="JetStream"):
            await bus.keep("perhop.calls.acme.rtc_1.transcript", b"", message_id="1")
        assert [entry["event"] for entry in logs] == ["events of calls cannot be kept"]
        await plain.keep("perhop.calls.acme.rtc_1.transcript", b"", message_id="1")
    finally:
        await bus.close()
        await plain.close()
        server.stop()


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"url": "http://x"},
        {"url": "nats://user:secret@host"},
        {"user": "x"},
        {"nkey": "a", "creds": "b"},
        {"tls_cert": "a"},
    ):
        with pytest.raises(ValueError, match=r"must|give|begin") as caught:
            BusSettings(**wrong)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)
