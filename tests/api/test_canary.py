"""Values that must never be seen again: keys, secrets, offers, words. They go in everywhere and come out nowhere."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest
import structlog
from tests.api.conftest import Serve
from tests.api.helpers import BROKEN_OFFER, OFFER, SDP, bearer, build_world, key
from websockets.asyncio.client import connect

from perhop.config import LogSettings, Settings, TokenSettings
from perhop.telemetry.logs import configure_logging

KEY = "sk-canary-key"
WORD = "canary-word"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    configure_logging(LogSettings(level="debug", format="json"), stream=stream)
    yield stream
    root.handlers, root.level = before
    structlog.reset_defaults()


async def test_nothing_secret_and_nothing_said_is_logged_counted_or_returned_in_errors(
    serve: Serve, log: io.StringIO
) -> None:
    world = build_world(
        Settings(keys=(key(KEY, scopes=("admin",)),), tokens=TokenSettings(allowed_origins=("http://localhost:1",)))
    )
    server = await serve(world)
    session = {"type": "realtime", "instructions": WORD}
    errors: list[str] = []
    async with httpx.AsyncClient(base_url=server.url, headers=bearer(KEY)) as client:
        minted = await client.post("/v1/realtime/client_secrets", json={"session": session})
        secret = minted.json()["value"]
        for request in (
            {"url": "/v1/realtime/client_secrets", "json": {"session": {**session, "speed": WORD}}},
            {"url": "/v1/realtime/client_secrets", "json": {"session": {**session, "tools": [WORD]}}},
            {"url": "/v1/realtime/calls", "content": WORD, "headers": {"Content-Type": "text/plain"}},
            {"url": "/v1/realtime/calls", "content": OFFER, "headers": {**SDP, **bearer(f"{KEY}-wrong")}},
            {"url": "/v1/realtime/calls", "content": OFFER, "headers": {**SDP, **bearer(f"{secret}-wrong")}},
            {"url": "/v1/realtime/calls", "files": {"sdp": (None, OFFER), "session": (None, f"{{{WORD}")}},
            {"url": f"/nowhere?{WORD}"},
        ):
            response = await client.post(**request)  # type: ignore[arg-type]
            assert response.status_code >= 400
            errors.append(response.text)
        await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **bearer(secret)})
        spent = await client.post("/v1/realtime/calls", content=OFFER, headers={**SDP, **bearer(secret)})
        errors.append(spent.text)

        address = f"{server.url.replace('http', 'ws')}/v1/realtime?agent=echo&secret={WORD}"
        async with connect(address, additional_headers=bearer(KEY)) as socket, asyncio.timeout(5):
            assert socket.response is not None
            call_id, resume = socket.response.headers["perhop-call"], socket.response.headers["perhop-resume"]
            content = [{"type": "input_text", "text": WORD}]
            item = {"type": "message", "role": "user", "content": content}
            await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await socket.send(json.dumps({"type": "session.update", "session": session}))
            await socket.send(json.dumps({"type": "response.create"}))
            await socket.send(f"{{{WORD}")
            while "response.done" not in (await socket.recv()):  # type: ignore[operator]
                pass
            socket.transport.abort()
        call = world.services.calls.get(call_id)
        assert call is not None
        async with asyncio.timeout(5):
            while not call.waiting:  # noqa: ASYNC110 - the server's own loop, on the other end of a socket
                await asyncio.sleep(0)
        ways_back = f"{server.url}/api/calls/{call_id}/resume"
        for content, presented in ((BROKEN_OFFER, resume), (OFFER, f"{resume}-wrong"), (OFFER, KEY)):
            refused = await client.post(ways_back, content=content, headers=SDP | bearer(presented))
            assert refused.status_code in {400, 404}
            errors.append(refused.text)
        async with connect(ways_back.replace("http", "ws"), additional_headers=bearer(resume)) as socket:
            await socket.recv()
            errors.append((await client.get(f"/api/calls/{call_id}")).text)

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(WORD)

        world.edge.answer = broken  # type: ignore[assignment,method-assign]
        failed = await client.post("/v1/realtime/calls", content=OFFER, headers=SDP)
        errors.append(failed.text)
        figures = (await client.get("/metrics")).text
        listed = (await client.get("/api/calls")).text
    written = log.getvalue()
    assert "call started" in written
    assert "RuntimeError" in written, "failures are logged, without their message"
    for where in (written, figures, listed, *errors):
        for canary in (KEY, secret, resume, WORD):
            assert canary not in where
