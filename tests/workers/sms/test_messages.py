"""Text messages, on both databases and over both buses, with a provider that can break."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import select, update
from tests.workers.sms.provider import ACCOUNT, SENDER, TOKEN, Provider, provider

from perhop.config import Settings
from perhop.store import Database
from perhop.text.verbalise import say_date
from perhop.tools.bus import Bus, RemoteError
from perhop.tools.guard import Guard
from perhop.tools.guard.addresses import Reach
from perhop.workers.sdk.tables import EffectRow
from perhop.workers.sdk.testing import WorkerBench, running
from perhop.workers.sms.tables import MessageRow, OptOutRow
from perhop.workers.sms.worker import make_worker

PHONE = "+15105550134"
PUBLIC = "https://sms.example"
START = datetime(2098, 11, 26, 12, 0, tzinfo=UTC)
"""Long after the tests run: nothing that waits becomes due by itself."""


class Clock:
    """The time, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


Open = Callable[..., Awaitable[WorkerBench]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def twilio() -> AsyncIterator[Provider]:
    async with provider() as made:
        yield made


def settings_of(twilio: Provider | None, port: int | None, timeout_s: float, **changes: Any) -> Settings:
    sms: dict[str, Any] = dict(changes)
    if twilio is not None:
        sms["twilio"] = {"url": twilio.url, "account": ACCOUNT, "token": TOKEN, "sender": SENDER}
        sms["twilio"]["timeout_s"] = timeout_s
        if port is not None:
            sms["twilio"]["callback_url"] = PUBLIC
            sms["callback_port"] = port
    return Settings.model_validate({"workers": {"sms": sms}})


@pytest.fixture
async def opened(database: Database, bus: Bus, clock: Clock) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_worker(
            twilio: Provider | None = None, port: int | None = None, *, timeout_s: float = 10.0, **changes: Any
        ) -> WorkerBench:
            guard = Guard(Reach(networks=(ip_network("127.0.0.0/8"),)))
            stack.push_async_callback(guard.aclose)
            worker = make_worker(settings_of(twilio, port, timeout_s, **changes), guard, now=clock)
            return await stack.enter_async_context(running(worker, database=database, bus=bus))

        yield open_worker


async def state(bench: WorkerBench, message_id: str, *expected: str) -> MessageRow:
    """The message, once it is in one of these states."""
    async with asyncio.timeout(15):
        while True:
            async with bench.database.session(reading=True) as session:
                row = await session.get_one(MessageRow, message_id)
            if row.state in expected:
                return row
            await asyncio.sleep(0.02)


async def send(bench: WorkerBench, phone: str = PHONE, text: str = "Hello", **options: Any) -> Any:
    return await bench.call("send_message", {"phone": phone, "text": text}, **options)


async def test_a_message_is_handed_to_the_provider_once(opened: Open, twilio: Provider) -> None:
    bench = await opened(twilio)
    answers = [await send(bench, "(510) 555-0134", "Grüße & more", function_call_id="call_x") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0]["ending"], answers[0]["state"]) == ("0134", "queued")
    row = await state(bench, answers[0]["message_id"], "accepted")
    assert (row.reference, row.phone, row.text) == ("SM1", PHONE, None)
    assert twilio.requests == [{"To": PHONE, "From": SENDER, "Body": "Grüße & more"}]
    told = await bench.call("message_state", {"message_id": row.id})
    assert told["state"] == "accepted"
    with pytest.raises(RemoteError, match="no such message"):
        await bench.call("message_state", {"message_id": row.id}, tenant="other")


async def test_without_a_provider_messages_stay_here_to_be_looked_at(opened: Open) -> None:
    bench = await opened()
    sent = await send(bench, text="Look at me")
    assert (await state(bench, sent["message_id"], "kept")).text == "Look at me"


@pytest.mark.parametrize(
    ("phone", "says"),
    [
        ("555-0134", "no complete phone number"),
        ("+1 000 000 0000", "no complete phone number"),
        ("+1 900 555 1234", "cannot get text messages"),
        ("+49 151 12345678", "that country"),
        ("+1 510 555 0134; DROP", "phone"),
    ],
)
async def test_a_number_that_cannot_be_texted_is_refused(opened: Open, twilio: Provider, phone: str, says: str) -> None:
    bench = await opened(twilio)
    with pytest.raises(RemoteError, match=says):
        await send(bench, phone)
    assert twilio.requests == []


async def test_other_countries_can_be_allowed(opened: Open, twilio: Provider) -> None:
    bench = await opened(twilio, countries=["US", "DE"])
    sent = await send(bench, "+49 151 12345678")
    assert (await state(bench, sent["message_id"], "accepted")).phone == "+4915112345678"


async def test_a_number_gets_so_many_messages_an_hour_and_a_day(opened: Open, clock: Clock) -> None:
    bench = await opened(per_hour=2, per_day=3)
    for _ in range(2):
        await send(bench)
    with pytest.raises(RemoteError, match="as many messages as we may send"):
        await send(bench)
    await send(bench, "+15105550135")
    clock.now += timedelta(minutes=61)
    await send(bench)
    with pytest.raises(RemoteError, match="as many"):
        await send(bench)
    clock.now += timedelta(hours=24)
    await send(bench)


def numbers(count: int) -> list[str]:
    return [f"+1510555{1000 + number}" for number in range(count)]


async def test_a_call_sends_so_many_messages_whatever_numbers_it_names(opened: Open, clock: Clock) -> None:
    bench = await opened(per_call=3)
    for phone in numbers(3):
        await send(bench, phone, call_id="rtc_1")
    clock.now += timedelta(hours=2)
    for tool, more in (("send_message", {"text": "Hi"}), ("send_reminder", {"day": "2098-12-24", "time": "10:00"})):
        with pytest.raises(RemoteError, match="No more text messages can be sent in this call") as refused:
            await bench.call(tool, {"phone": PHONE, **more}, call_id="rtc_1")
        assert refused.value.code == "tool_failed"
    await send(bench, call_id="rtc_2")
    await send(bench, call_id="rtc_1", tenant="other")


async def test_all_calls_of_a_tenant_send_so_many_messages_an_hour(opened: Open, clock: Clock) -> None:
    bench = await opened(per_tenant_hour=4)
    outcomes = await asyncio.gather(
        *(send(bench, phone, call_id=f"rtc_{phone}") for phone in numbers(9)), return_exceptions=True
    )
    assert sum(isinstance(one, dict) for one in outcomes) == 4
    refused = {str(one) for one in outcomes if isinstance(one, RemoteError)}
    assert refused == {
        "Too many text messages were sent in the last hour. Tell the caller now, or offer to send it later."
    }
    await send(bench, tenant="other")
    clock.now += timedelta(minutes=61)
    await send(bench)


async def test_of_many_at_once_no_more_than_allowed_get_through(opened: Open) -> None:
    bench = await opened(per_hour=3)
    outcomes = await asyncio.gather(*(send(bench) for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(one, dict) for one in outcomes) == 3
    assert all(isinstance(one, dict | RemoteError) for one in outcomes)


async def test_what_was_certainly_not_sent_is_sent_again(opened: Open, twilio: Provider) -> None:
    twilio.answers = [(429, 20429)]
    bench = await opened(twilio)
    sent = await send(bench)
    await tried_in_vain(bench)
    await due(bench, sent["message_id"])
    await state(bench, sent["message_id"], "accepted")
    assert len(twilio.requests) == 2


async def tried_in_vain(bench: WorkerBench) -> None:
    """Until the first attempt is over, and the effect waits for the second."""
    async with asyncio.timeout(10):
        while True:
            async with bench.database.session(reading=True) as session:
                effect = (await session.scalars(select(EffectRow))).one()
            if effect.error is not None:
                assert (effect.state, effect.attempts) == ("pending", 1)
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_in_doubt_a_message_is_unknown_and_never_sent_again(opened: Open, twilio: Provider, status: int) -> None:
    twilio.answers = [(status, 0)]
    bench = await opened(twilio)
    sent = await send(bench, function_call_id="call_x")
    await state(bench, sent["message_id"], "unknown")
    assert await send(bench, function_call_id="call_x") == sent
    assert len(twilio.requests) == 1


async def test_a_provider_that_hangs_leaves_it_unknown(opened: Open, twilio: Provider) -> None:
    twilio.hold = asyncio.Event()
    bench = await opened(twilio, timeout_s=1.0)
    sent = await send(bench)
    await state(bench, sent["message_id"], "unknown")
    assert twilio.arrived.is_set()
    assert len(twilio.requests) == 1


async def test_a_refusal_is_final_and_has_the_providers_code(opened: Open, twilio: Provider) -> None:
    twilio.answers = [(400, 21211)]
    bench = await opened(twilio)
    row = await state(bench, (await send(bench))["message_id"], "failed")
    assert row.error == "21211"


async def test_whoever_died_while_sending_leaves_it_unknown(opened: Open, twilio: Provider) -> None:
    """As a process that was killed leaves it: being sent, by nobody any more."""
    twilio.hold = asyncio.Event()
    bench = await opened(twilio)
    sent = await send(bench)
    await asyncio.wait_for(twilio.arrived.wait(), 10)
    await bench.host.close(grace_s=0)
    async with bench.database.session() as session:
        await session.execute(update(EffectRow).values(state="sending", leased_until=EffectRow.created_at, error=None))
        await session.execute(update(MessageRow).values(state="sending"))
    twilio.hold.set()
    again = await opened(twilio)
    await state(again, sent["message_id"], "unknown")
    assert len(twilio.requests) == 1


async def test_somebody_who_said_stop_at_the_provider_is_remembered(opened: Open, twilio: Provider) -> None:
    twilio.answers = [(400, 21610)]
    bench = await opened(twilio)
    await state(bench, (await send(bench))["message_id"], "failed")
    with pytest.raises(RemoteError, match="does not want text messages"):
        await send(bench)
    assert len(twilio.requests) == 1


async def test_a_caller_can_stop_messages_also_those_that_wait(opened: Open, twilio: Provider, clock: Clock) -> None:
    bench = await opened(twilio)
    reminder = await remind(bench)
    assert await bench.call("stop_messages", {"phone": PHONE}) == {"ending": "0134"}
    with pytest.raises(RemoteError, match="does not want"):
        await send(bench)
    await due(bench, reminder["message_id"])
    row = await state(bench, reminder["message_id"], "failed")
    assert row.error == "opted_out"
    assert twilio.requests == []


async def remind(bench: WorkerBench, day: str = "2098-12-01", time: str = "09:30:00") -> Any:
    arguments = {"phone": PHONE, "day": day, "time": time, "about": "your check-up with Doctor Lee"}
    return await bench.call("send_reminder", arguments)


async def due(bench: WorkerBench, message_id: str) -> None:
    """Instead of waiting for days."""
    async with bench.database.session() as session:
        await session.execute(update(EffectRow).where(EffectRow.key == message_id).values(due_at=EffectRow.created_at))
    bench.host.wake()


async def test_a_reminder_waits_until_the_day_before(opened: Open, twilio: Provider) -> None:
    bench = await opened(twilio, timezone="America/Los_Angeles")
    reminder = await remind(bench)
    assert (reminder["sent_on"], reminder["day"]) == ("2098-11-30", "2098-12-01")
    async with bench.database.session(reading=True) as session:
        [effect] = await session.scalars(select(EffectRow))
    assert effect.due_at == datetime(2098, 11, 30, 17, 30, tzinfo=UTC)
    await due(bench, reminder["message_id"])
    await state(bench, reminder["message_id"], "accepted")
    assert twilio.requests[0]["Body"] == (
        f"Reminder: your check-up with Doctor Lee, {say_date(date(2098, 12, 1))} at 9:30 am. "
        "Reply STOP to get no messages."
    )


async def test_nobody_is_reminded_of_what_is_over(opened: Open) -> None:
    bench = await opened()
    with pytest.raises(RemoteError, match="already over"):
        await remind(bench, day="2098-11-25")


async def test_a_cancelled_reminder_is_not_sent(opened: Open, twilio: Provider) -> None:
    bench = await opened(twilio)
    reminder = await remind(bench)
    with pytest.raises(RemoteError, match="no such message"):
        await bench.call("cancel_message", {"message_id": reminder["message_id"]}, tenant="other")
    await bench.call("cancel_message", {"message_id": reminder["message_id"]})
    await due(bench, reminder["message_id"])
    assert await settled(bench) == "failed"
    assert (await state(bench, reminder["message_id"], "cancelled")).state == "cancelled"
    assert twilio.requests == []


async def settled(bench: WorkerBench) -> str:
    """What became of the only effect."""
    async with asyncio.timeout(10):
        while True:
            async with bench.database.session(reading=True) as session:
                effect = (await session.scalars(select(EffectRow))).one()
            if effect.state not in ("pending", "sending"):
                return effect.state
            await asyncio.sleep(0.02)


async def test_a_message_on_its_way_cannot_be_cancelled(opened: Open, twilio: Provider) -> None:
    bench = await opened(twilio)
    sent = await send(bench)
    await state(bench, sent["message_id"], "accepted")
    with pytest.raises(RemoteError, match="already on its way"):
        await bench.call("cancel_message", {"message_id": sent["message_id"]})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def tell(twilio: Provider, port: int, url: str, form: dict[str, str], **options: Any) -> int:
    here = f"http://127.0.0.1:{port}{urlsplit(url).path}"
    async with asyncio.timeout(10):
        while True:
            try:
                return await twilio.tell(url, here, form, **options)
            except httpx.ConnectError:  # it does not listen yet
                await asyncio.sleep(0.02)


async def test_the_provider_tells_how_a_message_fares(opened: Open, twilio: Provider) -> None:
    port = free_port()
    bench = await opened(twilio, port)
    message_id = (await send(bench))["message_id"]
    await state(bench, message_id, "accepted")
    url = twilio.requests[0]["StatusCallback"]
    assert url == f"{PUBLIC}/sms/status/{message_id}"
    for status, expected in (("delivered", "delivered"), ("sent", "delivered"), ("teleported", "delivered")):
        assert await tell(twilio, port, url, {"MessageSid": "SM1", "MessageStatus": status}) == 204
        await state(bench, message_id, expected)
    assert await tell(twilio, port, f"{PUBLIC}/sms/status/none", {"MessageStatus": "sent"}) == 404


async def test_what_was_unknown_is_known_when_the_provider_tells(opened: Open, twilio: Provider) -> None:
    twilio.answers = [(500, 0)]
    port = free_port()
    bench = await opened(twilio, port)
    message_id = (await send(bench))["message_id"]
    await state(bench, message_id, "unknown")
    form = {"MessageSid": "SM9", "MessageStatus": "undelivered", "ErrorCode": "30003"}
    assert await tell(twilio, port, twilio.requests[0]["StatusCallback"], form) == 204
    row = await state(bench, message_id, "undelivered")
    assert (row.reference, row.error) == ("SM9", "30003")


async def test_stop_and_start_are_the_phones_own(opened: Open, twilio: Provider) -> None:
    port = free_port()
    bench = await opened(twilio, port)
    url = f"{PUBLIC}/sms/inbound"
    assert await tell(twilio, port, url, {"From": PHONE, "To": SENDER, "Body": " stop. "}) == 200
    with pytest.raises(RemoteError, match="does not want"):
        await send(bench)
    assert await tell(twilio, port, url, {"From": PHONE, "To": SENDER, "Body": "when do you start?"}) == 200
    with pytest.raises(RemoteError, match="does not want"):
        await send(bench)
    assert await tell(twilio, port, url, {"From": PHONE, "To": SENDER, "Body": "START"}) == 200
    await state(bench, (await send(bench))["message_id"], "accepted")


async def test_what_the_provider_did_not_sign_changes_nothing(opened: Open, twilio: Provider) -> None:
    port = free_port()
    bench = await opened(twilio, port)
    message_id = (await send(bench))["message_id"]
    await state(bench, message_id, "accepted")
    url = twilio.requests[0]["StatusCallback"]
    form = {"MessageStatus": "failed"}
    assert await tell(twilio, port, url, form, token="other") == 403
    here = f"http://127.0.0.1:{port}{urlsplit(url).path}"
    assert await twilio.tell("https://elsewhere.example/sms", here, form) == 403
    stop = {"From": PHONE, "To": SENDER, "Body": "STOP" + "!" * 70_000}
    assert await tell(twilio, port, f"{PUBLIC}/sms/inbound", stop) == 403
    assert (await state(bench, message_id, "accepted")).state == "accepted"
    async with bench.database.session(reading=True) as session:
        assert (await session.scalars(select(OptOutRow))).all() == []
