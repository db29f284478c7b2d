"""Without a bus of its own, ``perhop serve`` is the home of the workers that agents need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from perhop.config import Settings, StoreSettings
from perhop.errors import PerhopError
from perhop.store import Database
from perhop.tools.bus import Bus, InProcessBus, discover
from perhop.tools.guard import Guard
from perhop.tools.kinds.offered import OfferedTool
from perhop.workers.home import Home
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


@asynccontextmanager
async def at_home(folder: Path, wanted: Settings, bus: Bus, **patience: float) -> AsyncIterator[tuple[Home, Database]]:
    url = SecretStr(f"sqlite:///{folder / 'perhop.db'}")
    database, guard = await Database.open(StoreSettings(url=url)), Guard()
    home = await Home.open(wanted, guard, bus=bus, database=database, **patience)
    try:
        yield home, database
    finally:
        await home.close()
        await guard.aclose()
        await database.close()


async def test_a_worker_moves_in_when_its_tools_are_wanted(tmp_path: Path) -> None:
    bus, lead = InProcessBus(), OfferedTool("create_lead", "default")
    async with at_home(tmp_path, settings(), bus) as (home, _):
        assert home.workers == []
        await asyncio.gather(*(home.prepare([lead]) for _ in range(3)))
        assert home.workers == ["crm"], "once"
        assert list(lead.tools) == ["create_lead"], "and says what its tool is"
        await home.prepare([lead, OfferedTool("tell_fortunes", "default"), OfferedTool("add_note", "default")])
        assert home.workers == ["crm"]
    await bus.close()


@pytest.mark.parametrize("fixed", [{"workers": {"hosted": ["audit"]}}, {"bus": {"url": "nats://127.0.0.1:4222"}}])
async def test_nobody_moves_in_where_the_settings_say_who_is_there(tmp_path: Path, fixed: dict[str, Any]) -> None:
    bus, lead = InProcessBus(), OfferedTool("create_lead", "default")
    async with at_home(tmp_path, settings(**fixed), bus) as (home, _):
        await home.prepare([lead])
        assert "crm" not in home.workers
        assert not lead.tools
    await bus.close()


async def test_a_worker_that_could_not_move_in_tries_again(tmp_path: Path) -> None:
    bus, lead = InProcessBus(), OfferedTool("create_lead", "default")
    in_the_way = tmp_path / "folder"
    in_the_way.write_text("")
    wanted = settings(worker={"database": f"sqlite:///{in_the_way}/x.db"})
    async with at_home(tmp_path, wanted, bus, patience_s=0.05, retry_s=0.05) as (home, _):
        await home.prepare([lead])
        assert (list(home.workers), dict(lead.tools)) == ([], {})
        in_the_way.unlink()
        async with asyncio.timeout(10):
            while not lead.tools:
                await home.prepare([lead])
        assert home.workers == ["crm"]
    await bus.close()
