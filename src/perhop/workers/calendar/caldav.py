"""One calendar on a CalDAV server (RFC 4791): objects are stored, removed and asked for by time.

Only these four requests are needed, and they go through the guarded client, which no CalDAV library would.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import httpx2

from perhop.config.workers import CalDavSettings
from perhop.errors import PerhopError
from perhop.tools.guard import Guard, OutgoingLimits

__all__ = ["CalDavCalendar", "CalDavError", "ChangedError", "Stored"]

_LIMITS = OutgoingLimits(total_s=20.0, max_bytes=8 << 20, max_redirects=0)

_QUERY = """<?xml version="1.0" encoding="utf-8"?>
<c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">
  <d:prop><d:getetag/><c:calendar-data/></d:prop>
  <c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">
    <c:time-range start="{begin}" end="{end}"/>
  </c:comp-filter></c:comp-filter></c:filter>
</c:calendar-query>"""


class CalDavError(PerhopError):
    """The server answered with something else than what was asked for; the message holds its status."""


class ChangedError(CalDavError):
    """The object is not as it was when we last saw it; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the server has it."""

    data: bytes = field(repr=False)
    etag: str | None


class CalDavCalendar:
    """A calendar collection.

    Args:
        guard: the way out.
    """

    def __init__(self, settings: CalDavSettings, guard: Guard) -> None:
        self._url = str(settings.url).rstrip("/")
        self._guard = guard
        self._headers: dict[str, str] = {}
        if settings.user is not None and settings.password is not None:
            credentials = f"{settings.user}:{settings.password.get_secret_value()}".encode()
            self._headers["authorization"] = f"Basic {base64.b64encode(credentials).decode()}"

    async def put(self, uid: str, data: bytes, *, etag: str | None) -> str | None:
        """Stores an object.

        Args:
            etag: that of the object it replaces; None when there must be none.

        Returns:
            Its new one, if the server tells.

        Raises:
            ChangedError: there is another object.
            CalDavError: the server refuses.
            OutgoingError: it was not reached, or did not answer.
        """
        condition = {"if-match": etag} if etag is not None else {"if-none-match": "*"}
        headers = {"content-type": "text/calendar; charset=utf-8", **condition}
        response = await self._ask("PUT", self._object(uid), headers=headers, content=data)
        _check(response, (200, 201, 204))
        told: str | None = response.headers.get("etag")
        return told

    async def get(self, uid: str) -> Stored | None:
        """An object; None when there is none. Raises as :meth:`put` does."""
        response = await self._ask("GET", self._object(uid))
        if response.status_code in (404, 410):
            return None
        _check(response, (200,))
        return Stored(response.content, response.headers.get("etag"))

    async def delete(self, uid: str) -> None:
        """Removes an object, if it is there. Raises as :meth:`put` does."""
        _check(await self._ask("DELETE", self._object(uid)), (200, 204, 404, 410))

    async def between(self, begin: datetime, end: datetime) -> bytes:
        """The report on events, or recurrences of events, between two moments, as XML. Raises as :meth:`put` does."""
        body = _QUERY.format(begin=_stamp(begin), end=_stamp(end)).encode()
        headers = {"content-type": "application/xml; charset=utf-8", "depth": "1"}
        response = await self._ask("REPORT", f"{self._url}/", headers=headers, content=body)
        _check(response, (207,))
        return response.content

    async def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> httpx2.Response:
        return await self._guard.request(
            method, url, headers={**self._headers, **(headers or {})}, content=content, limits=_LIMITS
        )

    def _object(self, uid: str) -> str:
        return f"{self._url}/{quote(uid, safe='')}.ics"


def _check(response: httpx2.Response, expected: tuple[int, ...]) -> None:
    if response.status_code == 412:
        raise ChangedError("the calendar server has another object")
    if response.status_code not in expected:
        raise CalDavError(f"the calendar server answered with status {response.status_code}")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
