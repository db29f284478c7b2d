"""One Roof with real workers: the same conversation, over the bus inside the process and over NATS."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from tests.brain.dialogue.talk import Talk

from perhop.config import Settings, StoreSettings, load_settings
from perhop.realtime.items import FunctionCallOutputItem
from perhop.store import Database
from perhop.tools.base import ToolContext
from perhop.tools.bus import Bus, discover
from perhop.tools.guard import Guard
from perhop.tools.registry import ToolRegistry
from perhop.tools.runner import ToolRunner
from perhop.tools.services import ToolServices
from perhop.workers.calendar.tables import BookingRow
from perhop.workers.calendar.worker import make_worker as make_calendar
from perhop.workers.hosting import hosted_workers, start_hosted

FILE = Path(__file__).parents[2] / "examples" / "oneroof" / "workers.toml"
TODAY = date(2026, 11, 23)
MONDAY_NOON = datetime(2026, 11, 23, 20, tzinfo=UTC)


class Caller:
    """Talks to the built-in model, whose function calls workers answer."""

    def __init__(self, talk: Talk, runner: ToolRunner, tools: Any) -> None:
        self.talk = talk
        self.runner = runner
        self.tools = tools
        self.answered = 0

    async def say(self, text: str) -> str:
        said = [await self.talk.say(text)]
        while self.answered < len(self.talk.calls):
            name, arguments = self.talk.calls[self.answered]
            self.answered += 1
            call_id = f"call_{self.answered}"
            context = ToolContext("rtc_1", "oneroof", "default", call_id)
            result = await self.runner.run(self.tools[name], json.dumps(arguments), context)
            self.talk.items.append(FunctionCallOutputItem(call_id=call_id, output=result.output))
            said.append(await self.talk.respond())
        return " ".join(said).strip()


@pytest.fixture
def settings() -> Settings:
    return load_settings(FILE)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(StoreSettings(url=SecretStr(f"sqlite:///{tmp_path / 'perhop.db'}")))
    yield database
    await database.close()


@pytest.fixture
async def caller(settings: Settings, bus: Bus, database: Database) -> AsyncIterator[Caller]:
    guard = Guard()
    workers = [
        make_calendar(settings, guard, now=lambda: MONDAY_NOON) if worker.name == "calendar" else worker
        for worker in hosted_workers(settings, guard)
    ]
    async with AsyncExitStack() as stack:
        await start_hosted(workers, settings, bus=bus, database=database, stack=stack)
        await bus.flush()
        registry = ToolRegistry(folder=settings.base_dir)
        (agent,) = settings.agents
        tools = registry.load_all(agent.tools)
        offers = await discover(bus)
        for offered in registry.offered:
            offered.take(offers)
        runner = ToolRunner(services=ToolServices(bus=bus))
        stack.push_async_callback(runner.close)
        talk = Talk([tool.to_function() for tool in tools.values()], today=TODAY)
        yield Caller(talk, runner, tools)


def test_all_six_workers_are_hosted(settings: Settings) -> None:
    hosted = [worker.name for worker in hosted_workers(settings, Guard())]
    assert hosted == ["listings", "calendar", "crm", "sms", "transcript", "audit"]


async def test_every_tool_of_the_agent_is_offered(settings: Settings, caller: Caller) -> None:
    (agent,) = settings.agents
    assert [f"bus:{name}" for name in caller.tools] == list(agent.tools)


async def test_a_home_is_found_and_its_viewing_booked(caller: Caller, database: Database) -> None:
    found = await caller.say("I'm looking for a two bedroom in Oakland")
    assert "I have three two bedroom homes in Oakland." in found
    assert "601 Telegraph Avenue" in found
    asked = await caller.say("book a viewing of the first one on Friday at ten in the morning")
    booked = asked + await caller.say("yes")
    assert "It is booked for Friday, November 27th at 10 am." in booked
    assert [name for name, _ in caller.talk.calls] == ["search_listings", "book_appointment"]
    async with database.session(reading=True) as session:
        booking = (await session.scalars(select(BookingRow))).one()
    assert (booking.resource, booking.starts_at) == ("home-107", datetime(2026, 11, 27, 18, tzinfo=UTC))


@pytest.mark.parametrize("which", ["the first one", "it"])
async def test_a_home_can_be_booked_after_more_was_told_of_it(caller: Caller, which: str) -> None:
    await caller.say("I'm looking for a two bedroom in Oakland")
    await caller.say("tell me more about the first one")
    asked = await caller.say(f"book a viewing of {which} on Friday at ten in the morning")
    assert "601 Telegraph Avenue" in asked
    assert "It is booked for Friday, November 27th at 10 am." in await caller.say("yes")


async def test_another_home_of_the_list_can_be_booked_after_more_was_told_of_one(caller: Caller) -> None:
    await caller.say("I'm looking for a two bedroom in Oakland")
    await caller.say("tell me more about the first one")
    assert "412 Grand Avenue" in await caller.say("book a viewing of the second one on Friday at ten in the morning")


async def test_a_time_that_was_offered_can_be_booked_by_pointing_at_it(caller: Caller) -> None:
    await caller.say("I'm looking for a two bedroom in Oakland")
    assert "9 am" in await caller.say("when is the second one free on Friday")
    asked = await caller.say("book the first one")
    assert "412 Grand Avenue, Lake Merritt, on Friday, November 27th, at 9 am" in asked


async def test_more_is_told_of_a_home_that_was_listed(caller: Caller) -> None:
    await caller.say("I'm looking for a one bedroom in Alameda")
    assert "square feet" in await caller.say("tell me more about the first one")
