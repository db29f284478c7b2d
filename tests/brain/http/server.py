"""A small server that speaks the OpenAI shapes over real HTTP, and misbehaves on request."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

__all__ = ["FakeServer", "sse"]


def sse(*chunks: object) -> bytes:
    """Chunks of a completion as server-sent events."""
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


class FakeServer:
    """What it answers is set by the test; what it was asked is kept.

    Attributes:
        pieces: body of the next answers, sent piece by piece.
        statuses: for the next requests, one each; then 200.
        broken: closes the connection after the pieces instead of ending the answer.
        gate: when set, the body is not sent before it is.
    """

    def __init__(self) -> None:
        self.reset()
        self.url = ""
        self._app = FastAPI()
        self._app.post("/v1/chat/completions")(self._json)
        self._app.post("/v1/audio/speech")(self._json)
        self._app.post("/v1/audio/transcriptions")(self._form)

    def reset(self) -> None:
        """As if no test had used it before."""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.files: list[bytes] = []
        self.pieces: list[bytes] = []
        self.statuses: list[int] = []
        self.broken = False
        self.gate: asyncio.Event | None = None
        self.ended = asyncio.Event()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[FakeServer]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server = uvicorn.Server(uvicorn.Config(self._app, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield self
        finally:
            server.should_exit = True
            server.force_exit = True
            await serving
            listener.close()

    async def _json(self, request: Request) -> Response:
        self.requests.append(await request.json())
        return self._answer(request)

    async def _form(self, request: Request) -> Response:
        async with request.form() as form:
            self.requests.append({key: value for key, value in form.items() if isinstance(value, str)})
            file = form["file"]
            assert not isinstance(file, str)
            self.files.append(await file.read())
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        status = self.statuses.pop(0) if self.statuses else 200
        if status != 200:
            return JSONResponse({"error": {"message": "a secret the server should not have told"}}, status)
        return StreamingResponse(self._body(), media_type="text/event-stream")

    async def _body(self) -> AsyncIterator[bytes]:
        try:
            for piece in self.pieces:
                yield piece
                await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.broken:
                raise ConnectionResetError
        finally:
            self.ended.set()
