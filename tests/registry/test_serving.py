"""The whole of Perhop with a registry: what is changed over REST takes calls, and is there after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from perhop.app import create_app
from perhop.config import Settings

AGENTS = [{"name": "second", "model": "echo"}, {"name": "first", "model": "echo"}]


@asynccontextmanager
async def running(folder: Path, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    given = Settings.model_validate(
        {"server": {"port": 0, "data": folder}, "webrtc": {"port": 0}, "agents": AGENTS, **more}
    )
    app = create_app(given)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client,
    ):
        yield client


async def names(client: httpx.AsyncClient) -> list[str]:
    return [agent["name"] for agent in (await client.get("/api/agents")).json()]


async def test_an_agent_made_over_rest_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, echo=True) as client:
        assert await names(client) == ["second", "first", "echo"]
        made = await client.put("/api/agents/another", json={"instructions": "Be brief.", "voice": "cedar"})
        assert made.status_code == 200
        secret = await client.post("/v1/realtime/client_secrets", json={"agent": "another"})
        assert secret.json()["session"]["instructions"] == "Be brief."
        assert (await client.delete("/api/agents/second", headers={"If-Match": "*"})).status_code == 204
    async with running(tmp_path) as client:
        assert await names(client) == ["first", "another"]
        assert (await client.get("/api/config")).json()["agent"] == "first"


@pytest.mark.parametrize(
    ("definition", "param"),
    [
        ({"turn_detection": {"type": "telepathy"}}, "session.audio.input.turn_detection.type"),
        ({"session": {"audio": {"output": {"speed": 99}}}}, "session.audio.output.speed"),
    ],
)
async def test_a_session_that_no_call_could_have_is_refused(
    tmp_path: Path, definition: dict[str, Any], param: str
) -> None:
    async with running(tmp_path) as client:
        refused = await client.put("/api/agents/another", json=definition)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def tools_of_a_call(client: httpx.AsyncClient, agent: str) -> list[str]:
    made = await client.post("/v1/realtime/client_secrets", json={"agent": agent})
    return [tool["name"] for tool in made.json()["session"].get("tools", [])]


async def test_an_agent_made_over_rest_has_its_workers_with_the_next_call(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        made = await client.put("/api/agents/lead", json={"tools": ["bus:create_lead", "bus:book_appointment"]})
        assert (made.status_code, made.json()["problem"]) == (200, None)
        assert await tools_of_a_call(client, "lead") == ["create_lead", "book_appointment"]
        assert "perhop_worker_calls_total" in (await client.get("/metrics")).text, "they count where calls are counted"
    async with running(tmp_path) as client:
        assert await tools_of_a_call(client, "lead") == ["create_lead", "book_appointment"], "also after a restart"


@pytest.mark.parametrize("hosted", [None, ["crm"]])
async def test_tools_that_nobody_serves_are_a_problem_that_is_told(tmp_path: Path, hosted: list[str] | None) -> None:
    workers = {} if hosted is None else {"workers": {"hosted": hosted}}
    async with running(tmp_path, **workers) as client:
        tools = ["bus:create_lead", "bus:tell_fortunes", *(["bus:send_message"] if hosted else [])]
        made = await client.put("/api/agents/lead", json={"tools": tools})
        assert made.status_code == 200
        problem = (await client.get("/api/agents/lead")).json()["problem"]
        assert problem == made.json()["problem"]
        missing = ", ".join(tools[1:])
        assert problem == f"tools: no worker has offered {missing} yet; calls do without until one does"
        assert await tools_of_a_call(client, "lead") == ["create_lead"]
