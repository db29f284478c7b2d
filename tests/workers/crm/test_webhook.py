"""Another system is told of contacts and leads, signed, until it takes them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select
from tests.tools.guard.servers import HttpServer, Seen, guard, http_server

from perhop.config import Settings
from perhop.store import Database
from perhop.workers.crm.worker import make_worker
from perhop.workers.sdk.tables import EffectRow
from perhop.workers.sdk.testing import WorkerBench, running

KEY = b"0123456789abcdef01234567"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
ANN = {"phone": "510 555 0134", "name": "Ann"}


class Receiver:
    """Answers with each of these in turn, then with 204."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.taken = asyncio.Condition()
        self.count = 0

    async def __call__(self, _: Seen, writer: asyncio.StreamWriter) -> None:
        answer = self.answers.pop(0) if self.answers else "204 No Content"
        writer.write(f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n".encode())
        async with self.taken:
            self.count += 1
            self.taken.notify_all()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(10), self.taken:
            await self.taken.wait_for(lambda: self.count >= count)


@asynccontextmanager
async def told(
    receiver: Receiver, database: Database, *, tenant: str | None = None
) -> AsyncIterator[tuple[WorkerBench, HttpServer]]:
    async with http_server(receiver) as server:
        webhook = {"url": server.url(path="/hook"), "secret": SECRET, "tenant": tenant}
        settings = Settings.model_validate({"workers": {"crm": {"webhook": webhook}}})
        async with running(make_worker(settings, guard(), retry_s=0.01), database=database) as bench:
            yield bench, server


async def settled(bench: WorkerBench, count: int) -> list[str]:
    """The states of effects once none of them is on its way."""
    async with asyncio.timeout(10):
        while True:
            async with bench.database.session(reading=True) as session:
                states = list(await session.scalars(select(EffectRow.state)))
            if len(states) == count and not {"pending", "sending"} & set(states):
                return states
            await asyncio.sleep(0.02)


async def test_a_contact_and_a_lead_are_told_with_a_signature(database: Database) -> None:
    receiver = Receiver()
    async with told(receiver, database) as (bench, server):
        await bench.call("create_lead", {"subject": "a house", **ANN})
        await receiver.has(2)
        assert await settled(bench, 2) == ["done", "done"]
    events = {}
    for seen in server.seen:
        stamp, name = seen.headers["webhook-timestamp"], seen.headers["webhook-id"]
        signed = f"{name}.{stamp}.".encode() + seen.body
        mac = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert seen.headers["webhook-signature"] == f"v1,{mac}"
        event = json.loads(seen.body)
        assert event["id"] == name
        events[event["type"]] = event["data"]
    assert set(events) == {"perhop.crm.contact.created", "perhop.crm.lead.created"}
    assert events["perhop.crm.lead.created"]["phone"] == "+15105550134"
    assert events["perhop.crm.lead.created"]["call_id"] == "rtc_test"


async def test_what_is_not_taken_is_sent_again_under_the_same_id(database: Database) -> None:
    receiver = Receiver("503 Busy", "500 Broken")
    async with told(receiver, database) as (bench, server):
        await bench.call("remember_contact", ANN)
        await receiver.has(3)
        assert await settled(bench, 1) == ["done"]
    assert len({seen.headers["webhook-id"] for seen in server.seen}) == 1
    assert len({seen.body for seen in server.seen}) == 1


async def test_a_receiver_that_is_gone_is_left_alone(database: Database) -> None:
    receiver = Receiver("410 Gone")
    async with told(receiver, database) as (bench, server):
        await bench.call("remember_contact", ANN)
        await receiver.has(1)
        assert await settled(bench, 1) == ["failed"]
    assert len(server.seen) == 1


async def test_a_repetition_a_known_contact_and_a_refused_call_tell_nothing(database: Database) -> None:
    receiver = Receiver()
    async with told(receiver, database) as (bench, server):
        for _ in range(2):
            await bench.call("remember_contact", ANN, function_call_id="call_1")
        await bench.call("remember_contact", ANN)
        await bench.call("find_contact", {"phone": "510 555 0134"})
        await receiver.has(1)
        assert await settled(bench, 1) == ["done"]
    assert len(server.seen) == 1


async def test_other_tenants_are_not_told(database: Database) -> None:
    receiver = Receiver()
    async with told(receiver, database, tenant="other") as (bench, server):
        await bench.call("remember_contact", ANN)
        await bench.call("remember_contact", ANN, tenant="other")
        await receiver.has(1)
        assert await settled(bench, 1) == ["done"]
    assert [json.loads(seen.body)["data"]["tenant"] for seen in server.seen] == ["other"]
