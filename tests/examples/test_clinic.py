"""The clinic: a whole conversation with the built-in mind, and the workers behind it."""

from __future__ import annotations

import json
import re
import string
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.brain.dialogue.talk import Talk
from tests.examples.test_agents import dictionary

from perhop.config import Settings, StoreSettings, load_settings
from perhop.realtime.items import FunctionCallOutputItem
from perhop.store import Database
from perhop.text.verbalise import say_date
from perhop.tools.base import Tool, ToolContext
from perhop.tools.bus import InProcessBus
from perhop.tools.guard import Guard
from perhop.tools.guard.addresses import Reach
from perhop.tools.registry import ToolRegistry
from perhop.tools.runner import ToolRunner
from perhop.tools.services import ToolServices
from perhop.workers.calendar.tables import BookingRow
from perhop.workers.hosting import hosted_workers, start_hosted
from perhop.workers.sdk.tables import EffectRow
from perhop.workers.sms.tables import MessageRow

FOLDER = Path(__file__).parents[2] / "examples" / "clinic"
SETTINGS: Settings = load_settings(FOLDER / "perhop.toml")
[AGENT] = SETTINGS.agents


def tools() -> dict[str, Tool]:
    registry = ToolRegistry(folder=SETTINGS.base_dir, declared=SETTINGS.tools)
    return registry.load_all(AGENT.tools)


def of_workers() -> list[Tool]:
    return [tool for tool in tools().values() if tool.kind == "bus"]


class Desk:
    """A caller, the mind, and the clinic's workers on a bus of the test's own."""

    def __init__(self, runner: ToolRunner, database: Database) -> None:
        self.runner = runner
        self.database = database
        self.tools = tools()
        self.call_id = "rtc_0"
        self.talk = Talk([tool.to_function() for tool in self.tools.values()], today=datetime.now(UTC).date())

    async def say(self, text: str) -> str:
        heard = await self.talk.say(text)
        while len(self.talk.calls) > sum(isinstance(item, FunctionCallOutputItem) for item in self.talk.items):
            number = sum(isinstance(item, FunctionCallOutputItem) for item in self.talk.items) + 1
            name, arguments = self.talk.calls[number - 1]
            context = ToolContext(
                call_id=self.call_id, agent="clinic", tenant="default", function_call_id=f"call_{number}"
            )
            result = await self.runner.run(self.tools[name], json.dumps(arguments), context)
            self.talk.items.append(FunctionCallOutputItem(call_id=f"call_{number}", output=result.output))
            heard = f"{heard} {await self.talk.respond()}".strip()
        return heard


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        database = await Database.open(StoreSettings(), data=tmp_path)
        stack.push_async_callback(database.close)
        bus = InProcessBus()
        stack.push_async_callback(bus.close)
        guard = Guard(Reach(networks=(ip_network("127.0.0.0/8"),)))
        stack.push_async_callback(guard.aclose)
        await start_hosted(hosted_workers(SETTINGS, guard), SETTINGS, bus=bus, database=database, stack=stack)
        runner = ToolRunner(services=ToolServices(bus=bus))
        stack.push_async_callback(runner.close)
        yield Desk(runner, database)


def next_tuesday() -> date:
    """Far enough ahead to be bookable, whenever the test runs."""
    day = datetime.now(UTC).date() + timedelta(days=8)
    return day + timedelta(days=(1 - day.weekday()) % 7)


async def test_a_patient_is_identified_finds_a_time_books_it_and_is_reminded(desk: Desk) -> None:
    day = next_tuesday()
    await desk.say("I am a patient")
    assert await desk.say("510 555 0134") == "I do not know this number yet. I can register you."
    await desk.say("register me")
    asked = await desk.say("Sam Brown")
    assert asked == "I'll register you: under the name Sam Brown, phone number 5 1 0, 5 5 5, 0 1 3 4. Is that right?"
    assert (await desk.say("yes")).startswith("You are registered.")
    assert await desk.say("look me up") == "Thank you, I have found you."
    heard = await desk.say(f"i need to see dr lee on {day:%B} {day.day}".lower())  # as the recogniser writes it
    assert heard.startswith(f"On {say_date(day)} 9 am, 9:20 am or 9:40 am would be possible.")
    asked = await desk.say("book it at ten in the morning")
    assert f"Doctor Lee, on {say_date(day)}, at 10 am" in asked
    assert "Is that right?" in asked
    assert "It is booked for" in await desk.say("yes")
    asked = await desk.say("send me a reminder")
    assert "Is that right?" in asked
    assert "You will get a reminder on the phone that ends in 0 1 3 4." in await desk.say("yes")
    assert "You have an appointment on" in await desk.say("list my appointments")
    async with desk.database.session(reading=True) as session:
        booking = (await session.scalars(select(BookingRow))).one()
        message = (await session.scalars(select(MessageRow))).one()
        effect = (await session.scalars(select(EffectRow).where(EffectRow.key == message.id))).one()
    assert booking.phone == message.phone == "+15105550134"
    assert message.due_at == booking.starts_at - timedelta(days=1)
    # Whoever finds the phone reads neither name nor doctor.
    assert "Doctor" not in (effect.payload or "")
    assert "Brown" not in (effect.payload or "")


async def test_a_time_that_is_taken_is_nobody_elses(desk: Desk) -> None:
    day = next_tuesday()
    for phone, heard in (("510 555 0134", "It is booked"), ("510 555 0135", "already taken")):
        desk.call_id = f"rtc_{phone[-1]}"
        desk.talk = Talk(desk.talk.tools, today=datetime.now(UTC).date())
        await desk.say(f"book an appointment with Doctor Lee on {day:%B} {day.day} at ten in the morning")
        await desk.say(phone)
        assert heard in await desk.say("yes")


@pytest.mark.parametrize("tool", of_workers(), ids=lambda tool: tool.name)
def test_everything_it_handles_is_marked_as_health_data(tool: Tool) -> None:
    assert tool.parameters["x-data"] == "health"
    assert tool.parameters["properties"]
    assert {prop["x-data"] for prop in tool.parameters["properties"].values()} == {"health"}


@pytest.mark.parametrize("tool", of_workers(), ids=lambda tool: tool.name)
def test_a_tool_takes_what_its_worker_takes(tool: Any) -> None:
    served = {name: one for worker in hosted_workers(SETTINGS, Guard()) for name, one in worker.tools.items()}[
        tool.tool or tool.name
    ]
    assert set(tool.parameters["properties"]) <= set(served.parameters["properties"])
    assert set(served.parameters.get("required", ())) <= set(tool.parameters["required"])
    assert tool.effect == served.effect


@pytest.mark.parametrize("tool", of_workers(), ids=lambda tool: tool.name)
def test_every_tool_can_be_talked_to(tool: Tool) -> None:
    schema = tool.parameters
    assert len(schema["x-samples"]) >= 3
    assert schema["x-say"]
    for prop in schema["properties"].values():
        assert prop["description"]
        assert prop["x-prompt"].endswith("?")
    phrases = [*(re.sub(r"\{\w+\}", "", one) for one in schema["x-samples"]), *AGENT.samples]
    words = {word.strip(string.punctuation).lower() for phrase in phrases for word in phrase.split()} - {""}
    assert words <= dictionary(), words - dictionary()


def test_other_models_see_no_markers() -> None:
    for tool in of_workers():
        assert "x-" not in json.dumps(tool.to_function(extensions=False))


def test_it_introduces_itself() -> None:
    assert AGENT.greeting
    assert "911" in (AGENT.instructions or "")
    assert (FOLDER / "README.md").is_file()
