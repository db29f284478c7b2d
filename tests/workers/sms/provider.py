"""A provider as Twilio, on loopback: takes messages, tells what becomes of them, and can break in several ways."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from perhop.workers.sdk.http import LocalServer
from perhop.workers.sms.twilio import signature

ACCOUNT, TOKEN, SENDER = "AC0123", "auth-token", "+15105550100"


@dataclass
class Provider:
    """What it got, and how it answers.

    Attributes:
        answers: status and error code of the next answers; then messages are taken.
        hold: set by a test that wants requests to hang.
    """

    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    answers: list[tuple[int, int]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def take(self, request: Request) -> Response:
        expected = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}":
            return JSONResponse({"code": 20003, "message": "Authenticate"}, status_code=401)
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return JSONResponse({"code": 21603}, status_code=400)
        form = dict(parse_qsl((await request.body()).decode(), strict_parsing=True))
        if not {"To", "From", "Body"} <= set(form):
            return JSONResponse({"code": 21604}, status_code=400)
        self.requests.append(form)
        self.arrived.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.answers:
            status, code = self.answers.pop(0)
            return JSONResponse({"code": code, "message": "no", "status": status}, status_code=status)
        return JSONResponse({"sid": f"SM{len(self.requests)}", "status": "queued"}, status_code=201)

    async def tell(self, url: str, here: str, form: dict[str, str], *, token: str = TOKEN) -> int:
        """Posts a callback, signed for its public address, to where that leads."""
        signed = signature(token, url, list(form.items()))
        async with httpx.AsyncClient() as client:
            answer = await client.post(here, data=form, headers={"X-Twilio-Signature": signed})
        return answer.status_code


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """A running one."""
    made = Provider()
    routes = [Route(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", made.take, methods=["POST"])]
    server = LocalServer(Starlette(routes=routes), "127.0.0.1", 0, what="provider")
    made.port = server.port
    serving = asyncio.create_task(server.run_here())
    try:
        yield made
    finally:
        if made.hold is not None:
            made.hold.set()
        server.should_exit = True
        await asyncio.wait([serving], timeout=5)
