"""A model that callers talk to directly, as Perhop asks it for things over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.api.helpers import bearer, build_world

from perhop.call.agents import Agent
from perhop.config import AgentSettings, UpstreamSettings
from perhop.models.direct import DirectModel


@asynccontextmanager
async def answering(*statuses: int) -> AsyncIterator[tuple[DirectModel, list[str]]]:
    """A model whose HTTP server answers like this, the last one for good; the request lines it got."""
    left, asked = list(statuses), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    model = DirectModel("far", UpstreamSettings(url=url, key=SecretStr("sk-far")), base_dir=Path())
    try:
        yield model, asked
    finally:
        await model.aclose()
        server.close()


async def test_a_hang_up_that_fails_is_tried_again() -> None:
    async with answering(500, 200) as (model, asked):
        model.hang_up("rtc_1")
        await model.aclose()
        assert asked == ["POST /v1/realtime/calls/rtc_1/hangup HTTP/1.1"] * 2


@pytest.mark.parametrize("status", [200, 404, 401])
async def test_a_hang_up_that_is_settled_is_not(status: int) -> None:
    async with answering(status) as (model, asked):
        model.hang_up("rtc_1")
        await model.aclose()
        assert len(asked) == 1


def test_pages_are_sent_where_they_can_reach_the_model() -> None:
    inside = UpstreamSettings(url="http://10.0.0.7/v1", public_url="https://voice.example.com/v1/")
    assert DirectModel("far", inside, base_dir=Path()).calls_url == "https://voice.example.com/v1/realtime/calls"
    plain = UpstreamSettings()
    assert DirectModel("far", plain, base_dir=Path()).calls_url == "https://api.openai.com/v1/realtime/calls"


@pytest.mark.parametrize(("status", "answered"), [(401, 502), (429, 503), (500, 503)])
async def test_a_model_that_gives_no_secret_is_told_apart_from_a_wrong_request(status: int, answered: int) -> None:
    async with answering(status) as (model, _):
        world = build_world(agents=(Agent(name="desk", model="echo", route="direct"),))
        world.services.direct = {"echo": model}
        async with world.client(headers=bearer("any")) as client:
            response = await client.post("/v1/realtime/client_secrets", json={"agent": "desk"})
        assert response.status_code == answered
        assert "sk-far" not in response.text


async def test_a_model_that_takes_no_direct_calls_here_is_said_so() -> None:
    world = build_world(agents=(Agent(name="desk", model="echo", route="direct"),))
    async with world.client(headers=bearer("any")) as client:
        response = await client.post("/v1/realtime/client_secrets", json={"agent": "desk"})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "model_unavailable")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"route": "direct"}, "somewhere else"),
        ({"route": "direct", "model": "far", "fallback_models": ["near"]}, "no fallback_models"),
        ({"supervised": True}, "route = 'direct'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AgentSettings.model_validate({"name": "desk", **settings})
