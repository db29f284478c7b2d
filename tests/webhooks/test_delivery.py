"""Webhooks of a whole application to a real server, through the guarded way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.helpers import AnsweredLeg

from perhop.app import create_app
from perhop.call.legs import EndReason
from perhop.config import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Server:
    """An HTTP server that accepts everything."""

    url: str = ""
    got: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.put_nowait(({":request": head, **headers}, body))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    server.url = f"http://{host}:{port}/hooks/perhop"
    async with listening:
        yield server


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def settings(url: str, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "server": {"port": 0},
            "webrtc": {"port": 0},
            "echo": True,
            "webhooks": [{"url": url, "secret": SECRET}],
            **more,
        }
    )


async def call_of(app: Any, tenant: str) -> str:
    """A call that begins and ends; its id."""
    services = app.state.services
    agent = services.agents.get("echo")
    call = services.calls.start(AnsweredLeg(), agent=agent, session={}, tenant=tenant)
    call.hang_up(EndReason.CALLER_HANGUP)
    return str(call.id)


@pytest.mark.integration
async def test_calls_are_told_to_a_server_on_the_list() -> None:
    async with receiving() as server, asyncio.timeout(60):
        app = create_app(settings(server.url, outgoing={"hosts": ["127.0.0.1"]}))
        async with app.router.lifespan_context(app):
            call_id = await call_of(app, "red")
            told = [await server.got.get() for _ in range(2)]
            services = app.state.services
            services.calls.start(AnsweredLeg(), agent=services.agents.get("echo"), session={}, tenant="blue")
        # The calls that were live are over now, and that was told before the end.
        told += [server.got.get_nowait() for _ in range(2)]
    events: list[Any] = [OpenAI(api_key="k").webhooks.unwrap(body, headers, secret=SECRET) for headers, body in told]
    assert {headers[":request"] for headers, _ in told} == {"POST /hooks/perhop HTTP/1.1"}
    assert sorted(event.type for event in events[:2]) == ["perhop.call.ended", "perhop.call.started"]
    assert {event.data.call_id for event in events[:2]} == {call_id}
    assert [event.data.reason for event in events[2:] if event.type == "perhop.call.ended"] == ["shutdown"]
    assert len({event.id for event in events}) == 4


@pytest.mark.integration
async def test_a_private_address_that_is_not_on_the_list_is_told_nothing() -> None:
    async with receiving() as server, asyncio.timeout(60):
        app = create_app(settings(server.url))
        async with app.router.lifespan_context(app):
            await call_of(app, "red")
            async with asyncio.timeout(10):
                while 'perhop_webhooks_total{outcome="retried"} 2.0' not in _figures(app):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert server.got.empty()


def _figures(app: Any) -> str:
    return str(app.state.services.metrics.render().decode())
