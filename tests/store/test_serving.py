"""The store as the whole application uses it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from tests.api.helpers import AnsweredLeg
from tests.store.databases import open_database

from perhop.app import create_app
from perhop.call.budget import BudgetExceededError
from perhop.call.legs import EndReason
from perhop.config import Settings
from perhop.schemas import SCHEMAS
from perhop.store import NotMigratedError, current, upgrade

pytestmark = pytest.mark.integration


def settings(folder: Path, **more: Any) -> Settings:
    return Settings.model_validate({"server": {"port": 0, "data": folder}, "webrtc": {"port": 0}, "echo": True, **more})


@asynccontextmanager
async def running(given: Settings) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    app = create_app(given)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield app.state.services, client


async def make_tables(url: str) -> None:
    async with open_database(url) as db:
        for schema in SCHEMAS:
            await upgrade(db, schema)


def start_call(services: Any) -> Any:
    agent = services.agents.get("echo")
    return services.calls.start(AnsweredLeg(), agent=agent, session={}, tenant="default", key="k")


async def history(client: httpx.AsyncClient, *, calls: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            found = (await client.get("/api/calls/history")).json()["calls"]
            if len(found) == calls and all(call["ended_at"] for call in found):
                return list(found)
            await asyncio.sleep(0.02)


async def test_a_file_is_brought_up_to_date_by_itself(tmp_path: Path, sqlite_url: str) -> None:
    async with running(settings(tmp_path, store={"url": sqlite_url})):
        pass
    async with open_database(sqlite_url) as db:
        assert [await current(db, schema) for schema in SCHEMAS] == [schema.head for schema in SCHEMAS]


async def test_a_server_without_the_tables_is_refused_with_what_to_do(tmp_path: Path, postgres_url: str) -> None:
    given = settings(tmp_path, store={"url": postgres_url})
    with pytest.raises(NotMigratedError, match="run: perhop db upgrade"):
        async with running(given):
            pass
    await make_tables(postgres_url)
    async with running(given):
        pass


async def test_a_call_is_in_the_history_with_its_end_and_is_still_there_after_a_restart(
    tmp_path: Path, database_url: str
) -> None:
    await make_tables(database_url)
    given = settings(tmp_path, store={"url": database_url})
    async with running(given) as (services, client):
        call = start_call(services)
        call.hang_up(EndReason.API_HANGUP)
        [shown] = await history(client, calls=1)
        assert (shown["id"], shown["agent"], shown["key"], shown["end_reason"]) == (call.id, "echo", "k", "api_hangup")
        assert "perhop_store_up 1.0" in (await client.get("/metrics")).text
    async with running(given) as (_, client):
        assert (await client.get(f"/api/calls/{call.id}")).json()["ended"] == "api_hangup"


async def test_calls_that_live_when_the_server_is_stopped_end_in_the_history_too(
    tmp_path: Path, database_url: str
) -> None:
    await make_tables(database_url)
    given = settings(tmp_path, store={"url": database_url})
    async with running(given) as (services, _):
        start_call(services)
    async with running(given) as (_, client):
        [shown] = await history(client, calls=1)
    assert shown["end_reason"] == "shutdown"


async def test_what_was_used_today_counts_after_a_restart(tmp_path: Path) -> None:
    given = settings(tmp_path, budget={"day_tokens": 1})
    async with running(given) as (services, client):
        call = start_call(services)
        call.spending.used.transcription_tokens = 5
        call.hang_up(EndReason.API_HANGUP)
        await history(client, calls=1)
    async with running(given) as (services, _):
        with pytest.raises(BudgetExceededError, match="after midnight"):
            start_call(services)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def process(folder: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """``perhop serve`` on this port, ready; killed afterwards if it still runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERHOP_")}
    command = [sys.executable, "-m", "perhop", "serve", "--echo", "--port", str(port), "--data", str(folder)]
    with (folder / "log").open("ab") as log:
        started = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while True:
                assert started.returncode is None, (folder / "log").read_text()
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def test_a_call_whose_process_is_killed_is_closed_as_crashed_at_the_next_start(tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}/api/calls/history"
    async with (
        process(tmp_path, port) as serving,
        httpx.AsyncClient() as client,
        websockets.connect(f"ws://127.0.0.1:{port}/v1/realtime?agent=echo") as caller,
    ):
        assert json.loads(await caller.recv())["type"] == "session.created"
        async with asyncio.timeout(10):
            while not (await client.get(base)).json()["calls"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        serving.kill()
        await serving.wait()
    async with process(tmp_path, port), httpx.AsyncClient() as client:
        [shown] = (await client.get(base)).json()["calls"]
    assert shown["end_reason"] == "crashed"
    assert shown["ended_at"] is not None
