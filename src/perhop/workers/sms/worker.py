"""The worker: text messages and reminders to callers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated
from zoneinfo import ZoneInfo

import structlog
from pydantic import Field

from perhop.config import Settings
from perhop.text.verbalise import say_date, say_time
from perhop.tools.errors import ToolError
from perhop.tools.guard import Guard
from perhop.tools.schema import Slot
from perhop.workers.days import Day
from perhop.workers.housekeeping import pruning, utc_now
from perhop.workers.phones import normalise, textable
from perhop.workers.sdk import Site, Worker, WorkerContext
from perhop.workers.sdk.http import LocalServer
from perhop.workers.sms.book import check_allowed, opt_out, prune
from perhop.workers.sms.callbacks import callbacks
from perhop.workers.sms.sending import Sending
from perhop.workers.sms.tables import SCHEMA, MessageRow

__all__ = ["make_worker"]

_log = structlog.get_logger(__name__)

_MARGIN_S = 3.0

Phone = Annotated[
    str,
    Field(pattern=r"^\+?[0-9() .\-]{7,24}$"),
    Slot(prompt="What is your mobile number, area code first?"),
]
Text = Annotated[str, Field(min_length=1, max_length=1600), Slot(prompt="What should it say?")]
MessageId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), Slot(prompt="Which message do you mean?")]
OnDay = Annotated[Day, Slot(prompt="On which day is it?")]
Time = Annotated[dt.time, Slot(prompt="At what time is it?")]
About = Annotated[str, Field(min_length=1, max_length=200), Slot(prompt="What should I remind you of?")]


def make_worker(settings: Settings, guard: Guard, *, now: Callable[[], dt.datetime] = utc_now) -> Worker:
    """The worker ``sms``.

    Args:
        guard: the way to the provider.
        now: the time, in UTC.
    """
    own = settings.workers.sms
    zone = ZoneInfo(own.timezone)
    countries = own.countries or (own.region,)
    worker = Worker("sms", version="1.0.0", description="Text messages and reminders", schemas=[SCHEMA])
    sending = Sending(own, guard, now=now)
    timeout_s = own.twilio.timeout_s + _MARGIN_S if own.twilio is not None else 10.0
    # The provider has no keys by which it would know a message again: in doubt it is not sent a second time.
    worker.deliver("sms", idempotent=False, timeout_s=timeout_s, settled=sending.settled)(sending.send)

    async def queue(
        context: WorkerContext, phone: str, text: str, due_at: dt.datetime | None = None
    ) -> dict[str, object]:
        to = textable(phone, region=own.region, countries=countries)
        sender, at = sending.sender(context.tenant), now()
        if len(text) > own.max_chars:
            raise ToolError(f"A text message has at most {own.max_chars} characters. Make it shorter.")
        await check_allowed(
            context.session, tenant=context.tenant, call_id=context.call_id, sender=sender, phone=to, limits=own, now=at
        )
        key = context.effects.add("sms", {"to": to, "from": sender, "text": text}, due_at=due_at)
        context.session.add(
            MessageRow(
                id=key,
                tenant=context.tenant,
                call_id=context.call_id,
                sender=sender,
                phone=to,
                state="queued",
                due_at=due_at or at,
                created_at=at,
                updated_at=at,
            )
        )
        return {"message_id": key, "ending": to[-4:], "state": "queued"}

    @worker.tool(
        effect="once",
        title="send a text message",
        samples=["send me a text message", "text me", "send a text message to {phone}"],
        say="The message is on its way to the phone that ends in {ending:digits}.",
    )
    async def send_message(phone: Phone, text: Text, *, context: WorkerContext) -> dict[str, object]:
        """Sends a text message.

        Args:
            phone: The mobile number.
            text: What it says.
        """
        return await queue(context, phone, text)

    @worker.tool(
        effect="once",
        title="send a reminder",
        samples=["remind me", "send me a reminder", "text me a reminder", "send a reminder to {phone}"],
        say="You will get a reminder on the phone that ends in {ending:digits}.",
    )
    async def send_reminder(
        phone: Phone, day: OnDay, time: Time, about: About = "your appointment", *, context: WorkerContext
    ) -> dict[str, object]:
        """Reminds somebody of an appointment by text message, the day before or as the office has it.

        Args:
            phone: The mobile number.
            day: The day of the appointment.
            time: When it begins, in local time.
            about: What the appointment is, in a few words.
        """
        begins = dt.datetime.combine(day, time.replace(tzinfo=None), zone)
        if begins <= now():
            raise ToolError("That is already over. Ask for the day and time of the appointment.")
        due = begins - dt.timedelta(hours=own.remind_hours)
        text = f"Reminder: {about}, {say_date(day)} at {say_time(time)}. Reply STOP to get no messages."
        queued = await queue(context, phone, text, due if due > now() else None)
        return {**queued, "day": day, "time": time, "sent_on": max(due, now()).astimezone(zone).date()}

    @worker.tool(
        effect="once",
        title="cancel a message",
        samples=["cancel the reminder", "cancel the message", "cancel message {message_id}"],
        say="That message will not be sent.",
    )
    async def cancel_message(message_id: MessageId, *, context: WorkerContext) -> dict[str, object]:
        """Cancels a message or reminder that was not sent yet.

        Args:
            message_id: Its number.
        """
        row = await context.session.get(MessageRow, message_id, with_for_update=True)
        if row is None or row.tenant != context.tenant:
            raise ToolError("There is no such message.")
        if row.state not in ("queued", "cancelled"):
            raise ToolError("That message is already on its way.")
        row.state, row.updated_at = "cancelled", now()
        return {"message_id": message_id, "state": row.state}

    @worker.tool(
        effect="none",
        title="tell how far a message is",
        samples=["did the message arrive", "was the message sent", "where is message {message_id}"],
        say="The message is {state}.",
    )
    async def message_state(message_id: MessageId, *, context: WorkerContext) -> dict[str, object]:
        """Tells how far a message is.

        Args:
            message_id: Its number.
        """
        row = await context.session.get(MessageRow, message_id)
        if row is None or row.tenant != context.tenant:
            raise ToolError("There is no such message.")
        return {"message_id": row.id, "state": row.state, "error": row.error, "ending": row.phone[-4:]}

    @worker.tool(
        effect="once",
        title="stop sending messages",
        samples=["stop texting me", "send me no more messages", "no more messages to {phone}"],
        say="The phone that ends in {ending:digits} gets no more messages.",
    )
    async def stop_messages(phone: Phone, *, context: WorkerContext) -> dict[str, object]:
        """Sends no more text messages to a number, as if it had answered STOP.

        Args:
            phone: The mobile number.
        """
        to = normalise(phone, region=own.region)
        await opt_out(context.session, sender=sending.sender(context.tenant), phone=to, now=now())
        return {"ending": to[-4:]}

    @worker.background
    async def begin(site: Site) -> None:
        sending.use(site.database)

    keep = dt.timedelta(days=own.keep_days)
    worker.background(pruning("sms", lambda session: prune(session, before=now() - keep)))

    if own.twilio is not None and own.callback_port is not None:
        twilio, port = own.twilio, own.callback_port

        @worker.background
        async def listen(site: Site) -> None:
            server = LocalServer(
                callbacks(twilio, site.database, now=now), own.callback_host, port, what="callbacks of sms"
            )
            _log.info("sms callbacks", port=server.port)
            await server.run_until_cancelled()

    return worker
