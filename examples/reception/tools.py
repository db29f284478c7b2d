"""What the front desk can do for a caller."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field

from perhop import Slot, ToolContext, tool
from perhop.text.verbalise import say_date, say_time

from .office import ADDRESS, DIRECTIONS, Department, Message, Office

__all__ = ["book_meeting", "connect_department", "directions", "opening_hours", "take_message"]

office = Office()

Name = Annotated[str, Field(min_length=1, max_length=60), Slot(prompt="Under which name?")]
Phone = Annotated[str, Field(pattern=r"^\+?[0-9() .-]{7,20}$"), Slot(prompt="At which number can they call you back?")]
WhichDepartment = Annotated[Department, Slot(prompt="Which department? Sales, support, billing or human resources?")]


@tool(
    effect="none",
    title="tell you when we are open",
    samples=[
        "when are you open",
        "what are your opening hours",
        "are you open on {day}",
        "when do you close on {day}",
        "what time do you open",
    ],
    say="{summary}",
)
def opening_hours(day: Annotated[dt.date | None, Slot(prompt="On which day?")] = None) -> dict[str, object]:
    """Says when the office is open.

    Args:
        day: The day the caller asks about, if they named one.
    """
    if day is None:
        summary = "We are open Monday to Thursday from 9 am to 6 pm, and on Fridays until 4 pm."
        return {"summary": summary, "open_now": office.is_open()}
    hours = office.hours(day)
    if hours is None:
        return {"summary": f"On {say_date(day)} we are closed. We are open Monday to Friday.", "open": False}
    opens, closes = hours
    summary = f"On {say_date(day)} we are open from {say_time(opens)} to {say_time(closes)}."
    return {"summary": summary, "open": True, "opens": opens, "closes": closes}


@tool(
    effect="none",
    title="tell you how to get here",
    samples=[
        "how do I get there",
        "how do I get to you by {means}",
        "I'm coming by {means}",
        "I'm coming on {means}",
        "where are you",
        "what is your address",
    ],
    say="{summary}",
)
def directions(
    means: Annotated[Literal["train", "car", "bus", "foot"] | None, Slot(prompt="How are you coming?")] = None,
) -> dict[str, str]:
    """Says where the office is and how to get there.

    Args:
        means: How the caller travels, if they said so.
    """
    way = DIRECTIONS[means] if means else "I can tell you the way by train, by car, by bus or on foot."
    return {"summary": f"{ADDRESS} {way}"}


@tool(
    title="take a message",
    samples=[
        "I'd like to leave a message",
        "can you take a message for {department}",
        "leave a message for {department}",
    ],
    say="I have noted your message for {department}. They will get back to you.",
    finish_on_hangup=True,
)
def take_message(
    department: WhichDepartment,
    message: Annotated[str, Field(min_length=1, max_length=1_000), Slot(prompt="What shall I tell them?")],
    phone: Phone | None = None,
    *,
    context: ToolContext,
) -> dict[str, object]:
    """Takes a message for a department.

    Args:
        department: Who it is for.
        message: What the caller wants them to know, in the caller's words.
        phone: Where to call back, if the caller gave a number.
    """
    office.leave(Message(f"{context.call_id}/{context.function_call_id}", department, message, phone))
    return {"department": department, "status": "noted"}


@tool(
    title="connect you to a department",
    samples=[
        "put me through to {department}",
        "connect me to {department}",
        "I'd like to speak to {department}",
        "can I talk to someone in {department}",
        "{department} please",
    ],
    say="I have told {department} that you are waiting. Their extension is {extension:digits}.",
)
def connect_department(department: WhichDepartment, *, context: ToolContext) -> dict[str, object]:
    """Tells a department that the caller wants to speak to them now.

    Args:
        department: Whom the caller wants.
    """
    return {"department": department, "extension": office.announce(context.call_id, department)}


@tool(
    title="book a meeting",
    samples=[
        "I'd like to book a meeting with {department} on {day} at {time}",
        "I'd like an appointment with {department} on {day}",
        "book a meeting with {department}",
        "can I come in on {day} at {time}",
        "make an appointment",
    ],
    say="Your meeting with {department} is booked for {day} at {time}.",
)
def book_meeting(
    department: WhichDepartment,
    day: Annotated[dt.date, Slot(prompt="On which day?")],
    time: Annotated[dt.time, Slot(prompt="At what time?")],
    name: Name | None = None,
    *,
    context: ToolContext,
) -> dict[str, object]:
    """Books half an hour with a department, at the office.

    Args:
        department: Whom to meet.
        day: The day, Monday to Friday.
        time: When it starts, on the hour or at half past.
        name: Who comes.
    """
    meeting = office.meet(department, day, time, name=name, call_id=context.call_id)
    return {
        "department": department,
        "day": meeting.day,
        "time": meeting.time,
        "name": meeting.name,
    }
