"""The worker: finds and keeps contacts, leads and notes, and tells another system of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from perhop.config import Settings
from perhop.tools.function import FunctionTool
from perhop.tools.guard import Guard
from perhop.workers.crm.desk import Desk
from perhop.workers.crm.tables import SCHEMA
from perhop.workers.crm.telling import WEBHOOK, Telling
from perhop.workers.housekeeping import utc_now
from perhop.workers.sdk import Worker

__all__ = ["make_worker"]


def make_worker(
    settings: Settings, guard: Guard, *, now: Callable[[], datetime] = utc_now, retry_s: float = 2.0
) -> Worker:
    """The worker ``crm``.

    Args:
        guard: the way to the webhook.
        now: the time, with its zone.
        retry_s: before a webhook that was not taken is sent again; doubled each time, up to an hour.
    """
    own = settings.workers.crm
    worker = Worker("crm", version="1.0.0", description="Contacts, leads and notes", schemas=[SCHEMA])
    telling = None
    if own.webhook is not None:
        telling = Telling(own.webhook, guard, wall=lambda: now().timestamp())
        # A day and a half of trying.
        worker.deliver(WEBHOOK, idempotent=True, attempts=45, retry_s=retry_s, retry_most_s=3600.0)(telling.send)
    for tool in _tools(Desk(region=own.region, telling=telling, now=now)):
        worker.add(tool)
    return worker


def _tools(desk: Desk) -> list[FunctionTool[..., object]]:
    return [
        FunctionTool.of(
            desk.find_contact,
            title="look up a contact",
            effect="none",
            samples=["do you have my details", "look up the number {phone}", "look up {email}"],
            say="{summary}",
        ),
        FunctionTool.of(
            desk.remember_contact,
            title="remember how to reach you",
            effect="once",
            idempotent=True,
            samples=[
                "remember my number",
                "my number is {phone}",
                "my name is {name} and my number is {phone}",
                "my e-mail address is {email}",
            ],
            say="I have noted how to reach you.",
        ),
        FunctionTool.of(
            desk.create_lead,
            title="have somebody call you back",
            effect="once",
            idempotent=True,
            samples=[
                "call me back",
                "please call me back about {subject}",
                "I am interested in {subject}",
                "my number is {phone} and it is about {subject}",
            ],
            say="I have noted it. Somebody will get back to you.",
        ),
        FunctionTool.of(
            desk.add_note,
            title="add a note",
            effect="once",
            idempotent=True,
            samples=["add a note", "note that {text}", "add a note to contact {contact_id}"],
            say="I have noted it.",
        ),
    ]
