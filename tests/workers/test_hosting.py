"""Without a bus of its own, ``perhop serve`` is the home of the workers that agents need."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from perhop.config import Settings, StoreSettings
from perhop.errors import PerhopError
from perhop.store import Database
from perhop.tools.bus import InProcessBus, discover
from perhop.tools.guard import Guard
from perhop.workers.hosting import REFERENCE, hosted_workers, make_worker, start_hosted


def settings(*tools: str, **changes: Any) -> Settings:
    return Settings.model_validate({"agents": [{"name": "one", "tools": tools}], **changes})


def names(wanted: Settings) -> list[str]:
    return [worker.name for worker in hosted_workers(wanted, Guard())]


def test_nothing_is_hosted_when_no_agent_needs_it() -> None:
    assert names(settings()) == []
    assert names(settings("builtin:hang_up")) == []


def test_the_workers_of_the_tools_that_agents_name_are_hosted() -> None:
    assert names(settings("bus:search_listings", "bus:book_appointment")) == ["listings", "calendar"]
    assert names(settings("bus:somebody_elses")) == []


def test_with_a_bus_workers_are_processes_of_their_own() -> None:
    assert names(settings("bus:search_listings", bus={"url": "nats://127.0.0.1:4222"})) == []


def test_the_settings_may_name_them() -> None:
    hosted = {"hosted": ["crm", "audit"]}
    assert names(settings("bus:search_listings", workers=hosted)) == ["crm", "audit"]
    assert names(settings("bus:search_listings", workers={"hosted": []})) == []


def test_a_name_that_is_nobodys_is_refused_with_those_there_are() -> None:
    with pytest.raises(PerhopError, match="there are: listings, calendar, crm"):
        names(settings(workers={"hosted": ["cmr"]}))


@pytest.mark.parametrize("name", REFERENCE)
def test_every_worker_is_made_by_its_name(name: str) -> None:
    assert make_worker(name, Settings(), Guard()).name == name


def test_no_two_workers_serve_the_same_tool() -> None:
    tools = [tool for name in REFERENCE for tool in make_worker(name, Settings(), Guard()).tools]
    assert len(tools) == len(set(tools))


async def test_hosted_workers_serve_their_tools_on_the_bus_inside(tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path / 'perhop.db'}")
    database, bus = await Database.open(StoreSettings(url=url)), InProcessBus()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        stack.push_async_callback(bus.close)
        wanted = settings(workers={"hosted": list(REFERENCE)})
        await start_hosted(hosted_workers(wanted, Guard()), wanted, bus=bus, database=database, stack=stack)
        offered = {offer.name for offer in await discover(bus)}
    assert {"search_listings", "book_appointment", "create_lead"} <= offered
