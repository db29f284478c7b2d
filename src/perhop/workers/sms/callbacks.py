"""What the provider tells us over HTTP: how messages fare, and what people answer. Only what it signed counts."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perhop.config.sms import TwilioSettings
from perhop.store import Database, StoreDownError
from perhop.tools.bus.seldom import Seldom
from perhop.workers.sms.book import advance, opt_in, opt_out
from perhop.workers.sms.states import state_of
from perhop.workers.sms.twilio import signature

__all__ = ["INBOUND_PATH", "callbacks", "status_url"]

_log = structlog.get_logger(__name__)

INBOUND_PATH = "/sms/inbound"
MAX_BODY = 65_536
MAX_FIELDS = 100

_STOP: Final = frozenset(
    {"STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "OPT OUT"}
)
_START: Final = frozenset({"START", "UNSTOP", "YES"})
_NOTHING_TO_SAY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'

Form = list[tuple[str, str]]


def status_url(settings: TwilioSettings, message_id: str) -> str | None:
    """Where the provider tells what becomes of this message; None when it cannot reach us."""
    if settings.callback_url is None:
        return None
    return f"{str(settings.callback_url).rstrip('/')}/sms/status/{message_id}"


def callbacks(settings: TwilioSettings, database: Database, *, now: Callable[[], datetime]) -> Starlette:
    """The application behind ``callback_url``.

    A body that is too long, or not signed with the account's token, is refused with 403 and changes nothing.
    """
    seldom = Seldom()
    public = str(settings.callback_url).rstrip("/")
    token = settings.token.get_secret_value()

    async def signed(request: Request) -> dict[str, str] | None:
        form = await _form(request)
        # Our own idea of our address: behind a proxy, what the request says is another one.
        url = f"{public}{request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
        given = request.headers.get("x-twilio-signature", "")
        if form is None or not hmac.compare_digest(signature(token, url, form).encode(), given.encode()):
            if (times := seldom.now("unsigned")) is not None:
                _log.warning("sms callback refused", times=times)
            return None
        return dict(form)

    async def status(request: Request) -> Response:
        form = await signed(request)
        if form is None:
            return Response(status_code=403)
        state = state_of(form.get("MessageStatus", ""))
        if state is None:
            return Response(status_code=204)
        try:
            async with database.session() as session:
                known = await advance(
                    session,
                    request.path_params["message_id"],
                    state,
                    now=now(),
                    reference=form.get("MessageSid", "")[:64] or None,
                    error=form.get("ErrorCode", "")[:64] or None,
                )
        except StoreDownError:
            return Response(status_code=503)
        return Response(status_code=204 if known else 404)

    async def inbound(request: Request) -> Response:
        form = await signed(request)
        if form is None:
            return Response(status_code=403)
        word = " ".join(form.get("Body", "").upper().split()).strip(".!")
        sender, phone = form.get("To", "")[:16], form.get("From", "")[:16]
        try:
            async with database.session() as session:
                if word in _STOP:
                    await opt_out(session, sender=sender, phone=phone, now=now())
                elif word in _START:
                    await opt_in(session, sender=sender, phone=phone)
        except StoreDownError:
            return Response(status_code=503)
        # The provider itself confirms a STOP.
        return Response(_NOTHING_TO_SAY, media_type="text/xml")

    return Starlette(
        routes=[
            Route("/sms/status/{message_id:str}", status, methods=["POST"]),
            Route(INBOUND_PATH, inbound, methods=["POST"]),
        ]
    )


async def _form(request: Request) -> Form | None:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return None
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        return None
    return None if any("\0" in name + value for name, value in form) else form
