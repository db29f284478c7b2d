"""The worker as a process that is killed while it sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update
from tests.bus.servers import NatsServer, needs_nats
from tests.workers.sdk.processes import WorkerProcess
from tests.workers.sms.provider import ACCOUNT, SENDER, TOKEN, provider

from perhop.store import Database
from perhop.tools import wire
from perhop.tools.base import ToolContext
from perhop.tools.bus import BusError, NatsBus
from perhop.workers.sdk.tables import EffectRow
from perhop.workers.sms.tables import MessageRow

pytestmark = [needs_nats, pytest.mark.integration]


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.open(nats_server.settings(), wait_s=5)
    yield bus
    await bus.close()


async def send(bus: NatsBus) -> None:
    context = ToolContext(call_id="rtc_1", agent="", tenant="default", function_call_id="call_1")
    arguments = json.dumps({"phone": "510 555 0134", "text": "Hello"}).encode()
    await bus.request(
        "perhop.tools.default.send_message", arguments, headers=wire.context_headers(context), timeout_s=10
    )


async def test_a_message_that_a_killed_process_was_sending_is_unknown_and_not_sent_again(
    nats_server: NatsServer, bus: NatsBus, database: Database, database_url: str
) -> None:
    async with provider() as twilio:
        twilio.hold = asyncio.Event()
        environment = {
            "PERHOP_BUS__URL": nats_server.url,
            "PERHOP_WORKER__DATABASE": database_url,
            "PERHOP_OUTGOING__NETWORKS": '["127.0.0.0/8"]',
            "PERHOP_WORKERS__SMS__TWILIO__URL": twilio.url,
            "PERHOP_WORKERS__SMS__TWILIO__ACCOUNT": ACCOUNT,
            "PERHOP_WORKERS__SMS__TWILIO__TOKEN": TOKEN,
            "PERHOP_WORKERS__SMS__TWILIO__SENDER": SENDER,
        }
        dying = WorkerProcess("sms", **environment)
        await dying.start()
        await send(bus)
        await asyncio.wait_for(twilio.arrived.wait(), 10)
        await dying.kill()
        twilio.hold.set()
        async with database.session() as session:  # instead of waiting until the dead process's claim runs out
            await session.execute(update(EffectRow).values(leased_until=EffectRow.created_at))
        following = WorkerProcess("sms", **environment)
        await following.start()
        try:
            async with asyncio.timeout(15):
                while True:
                    async with database.session(reading=True) as session:
                        effect = (await session.scalars(select(EffectRow))).one()
                        message = (await session.scalars(select(MessageRow))).one()
                    if effect.state == "unknown":
                        break
                    await asyncio.sleep(0.05)
            # The same function call again, as a gateway that had no answer would.
            await send(bus)
        except BusError as error:
            raise AssertionError("".join(following.output)) from error
        finally:
            await following.kill()
        assert (message.state, len(twilio.requests)) == ("unknown", 1)
        told = [line for line in following.output if "effect settled" in line]
        assert len(told) == 1
        assert '"unknown"' in told[0]
        assert "Hello" not in "".join([*dying.output, *following.output])
