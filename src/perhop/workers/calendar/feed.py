"""iCalendar feeds over HTTP, for calendar programs to subscribe to."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Generator, Mapping
from datetime import datetime, timedelta
from urllib.parse import quote

import uvicorn
from pydantic import SecretStr
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perhop.store import Database, StoreDownError
from perhop.workers.calendar.aside import Aside, AsideError
from perhop.workers.calendar.bookings import entry_of, site_of
from perhop.workers.calendar.hours import Resource
from perhop.workers.calendar.ical import Entry
from perhop.workers.calendar.tables import BookingRow
from perhop.workers.sdk import Site

__all__ = ["Feed", "feed_path"]

_PAST = timedelta(days=30)
_MOST = 5_000
"""Bookings in one feed."""

_PAGE = 200


def feed_path(secret: SecretStr, tenant: str, resource_id: str) -> str:
    """The path of a feed. Whoever knows it can read it: calendar programs have no other way to show who they are."""
    message = json.dumps([tenant, resource_id]).encode()
    key = hmac.new(secret.get_secret_value().encode(), message, hashlib.sha256).hexdigest()[:40]
    return f"/calendars/{key}/{quote(tenant, safe='')}/{quote(resource_id, safe='')}.ics"


class Feed:
    """Serves the bookings of the last month and of what is ahead.

    Args:
        aside: writes them.
        port: TCP; 0 takes any free one.

    Attributes:
        listening: set once :attr:`port` is in use.
    """

    def __init__(
        self,
        resources: Mapping[tuple[str, str], Resource],
        aside: Aside,
        *,
        host: str,
        port: int,
        secret: SecretStr,
        now: Callable[[], datetime],
    ) -> None:
        self._resources = resources
        self._aside = aside
        self._host = host
        self._secret = secret
        self._now = now
        self.port = port
        self.listening = asyncio.Event()

    async def run(self, site: Site) -> None:
        """Serves until cancelled.

        Raises:
            OSError: the address is taken.
        """

        async def calendar(request: Request) -> Response:
            return await self._answer(request, site.database)

        app = Starlette(routes=[Route("/calendars/{key}/{tenant}/{resource}.ics", calendar)])
        server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self.port))
            self.port = listener.getsockname()[1]
            serving = asyncio.get_running_loop().create_task(server.serve([listener]))
            self.listening.set()
            try:
                await asyncio.shield(serving)
            finally:
                server.should_exit = True
                await asyncio.wait([serving], timeout=2)

    async def _answer(self, request: Request, database: Database) -> Response:
        tenant, resource_id = request.path_params["tenant"], request.path_params["resource"]
        resource = self._resources.get((tenant, resource_id))
        wanted = feed_path(self._secret, tenant, resource_id)
        if resource is None or not hmac.compare_digest(request.scope["path"].encode(), wanted.encode()):
            return Response(status_code=404)
        try:
            async with database.session(reading=True) as session:
                entries = await _entries(session, resource, since=self._now() - _PAST)
            body = await self._aside.write(entries, title=resource.title or resource.id)
        except (StoreDownError, AsideError):
            return Response(status_code=503)
        headers = {"cache-control": "private, max-age=60"}
        return Response(body, media_type="text/calendar; charset=utf-8", headers=headers)


async def _entries(session: AsyncSession, resource: Resource, *, since: datetime) -> list[Entry]:
    """Page by page, so that others get their turn in between."""
    site = await site_of(session)
    order = (BookingRow.starts_at, BookingRow.id)
    mine = (BookingRow.tenant == resource.tenant, BookingRow.resource == resource.id, BookingRow.starts_at > since)
    entries: list[Entry] = []
    after: tuple[datetime, str] | None = None
    while len(entries) < _MOST:
        further = () if after is None else (tuple_(*order) > after,)
        rows = (await session.scalars(select(BookingRow).where(*mine, *further).order_by(*order).limit(_PAGE))).all()
        entries += [entry_of(row, site=site) for row in rows]
        if len(rows) < _PAGE:
            break
        after = (rows[-1].starts_at, rows[-1].id)
    return entries[:_MOST]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the worker's business."""
        yield
